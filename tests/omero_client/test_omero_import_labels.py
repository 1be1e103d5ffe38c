"""Where imported plates belong and what is said of them, each thing once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omero_imports import METAXPRESS, OME_TIFF, Importing, ask, importable, importing
from omero_lab import address_of, login
from omero_plates import logged_in, save_plate, some_planes, write_ome_plate
from omero_results import make_plate, pool_of

from hcs_mesh.plates import Plate
from hcs_mesh.plates.labels import Target
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.labelling import Labelling
from hcs_mesh.plates.omero.plate_metadata import metadata_of
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.plates.omero.standing import FiledFileset
from hcs_mesh.plates.omero.targets import find_plate
from hcs_mesh.plates.planners import Plan
from hcs_mesh.plates.repository import StoredFileset
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")

TARGET = Target(
    screen="siRNA 7",
    project="Nuclei",
    dataset="fixed",
    description="the second run",
    tags=("control", "day 2"),
    key_values=(("dye", "DAPI"), ("dose", "3 µM")),
    comment="a bubble in B02",
)


@pytest.fixture
def desk(omero: RunningServer) -> Iterator[Importing]:
    with importing(omero) as one:
        yield one


def with_metadata_at(found: Plan, said: dict[str, tuple[tuple[str, str], ...]]) -> Plan:
    """A plan as it is where functions of the facility's say something of its plates."""
    return msgspec.structs.replace(
        found,
        filesets=tuple(
            msgspec.structs.replace(
                fileset,
                plates=tuple(msgspec.structs.replace(one, metadata=said.get(one.name, ())) for one in fileset.plates),
            )
            for fileset in found.filesets
        ),
    )


def said_of(client: Any, kind: str, number: int) -> dict[str, list[Any]]:
    """What OMERO's own gateway shows at an object."""
    from omero.gateway import BlitzGateway

    said: dict[str, list[Any]] = {}
    for one in BlitzGateway(client_obj=client).getObject(kind, number).listAnnotations():
        said.setdefault(type(one).__name__, []).append((one.getNs(), one.getValue()))
    return said


def test_a_plate_belongs_to_its_screen_and_says_what_was_said_of_it(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("labels-1", importable(shared_data / METAXPRESS))
    one.transfer()
    one.verify()
    [plate_id] = one.register(TARGET)
    assert one.register(TARGET) == (plate_id,)
    with logged_in(omero, "ada") as client:
        [[description, screen]] = ask(
            client,
            "select plate.description, screen.name from ScreenPlateLink link join link.parent screen "
            f"join link.child plate where plate.id = {plate_id}",
        )
        said = said_of(client, "Plate", plate_id)
    assert (description, screen) == ("the second run", "siRNA 7")
    assert sorted(value for _, value in said["TagAnnotationWrapper"]) == ["control", "day 2"]
    assert said["CommentAnnotationWrapper"] == [("hcs-mesh/comment", "a bubble in B02")]
    pairs = dict(said["MapAnnotationWrapper"])
    assert pairs["openmicroscopy.org/omero/client/mapAnnotation"] == [("dye", "DAPI"), ("dose", "3 µM")]
    assert dict(pairs["hcs-mesh/import"]) == {
        "mark": "this-mesh/labels-1",
        "import": "labels-1",
        "source": str(one.root),
        "owner": "ada",
    }


def test_what_a_facility_reads_of_a_plate_stands_at_it_in_omero(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    source = write_ome_plate(tmp_path / "read.ome.tiff", some_planes(1, 1, 1, 16, 16))
    metadata = (("barcode", "HCS-0042"), ("log", "line\n" * 1000), ("robot", "7"))
    one = desk.of("labels-read", source)
    one.plan = with_metadata_at(one.plan, {one.plan.filesets[0].plates[0].name: metadata})
    [plate_id] = one.whole()
    assert one.register() == (plate_id,)
    with logged_in(omero, "ada") as client:
        said = said_of(client, "Plate", plate_id)["MapAnnotationWrapper"]
    read = [pairs for namespace, pairs in said if namespace == "hcs-mesh/plate-metadata"]
    assert read[0] == [("barcode", "HCS-0042"), ("robot", "7")]
    assert [pairs[0][0] for pairs in read[1:]] == ["log"]
    shown = OmeroSource(desk.identities).labels(plate_id, "ada")
    assert sorted(shown.key_values) == sorted(metadata)


def test_several_plates_of_a_fileset_have_what_was_read_of_each_by_their_names(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    with logged_in(omero, "ada") as client:
        ids = [save_plate(client, name, n_rows=1, n_columns=1, n_fields=1) for name in ("x", "y", "twin", "twin")]
    plates = tuple(Plate(id=0, name=name, metadata=(("is", name),)) for name in ("y", "x", "twin", "elsewhere"))
    planned = StoredFileset(planner="any", files=(), plates=plates)
    filed = FiledFileset(1, 0, {}, handed_over=True, image_ids=(), plate_ids=tuple(ids), finished=True)
    connection = Connection(address_of(omero), login("ada"))
    assert metadata_of(connection, filed, planned) == {ids[0]: (("is", "x"),), ids[1]: (("is", "y"),)}
    connection.close()


def test_what_the_import_says_of_itself_at_its_end_stands_there_once(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("labels-annotated", importable(shared_data / METAXPRESS))
    [plate_id] = one.whole()
    with logged_in(omero, "ada") as client:
        before = said_of(client, "Plate", plate_id)
        for name, value in (("import", "labels-annotated"), ("source", str(one.root)), ("checked", "by ada")):
            for _ in range(2):
                told = one.at.annotate(plate_id, key=name, namespace="hcs-mesh/import", name=name, value=value)
                assert (told.plate_id, told.value) == (plate_id, value)
        after = said_of(client, "Plate", plate_id)
    added = [one for one in after["MapAnnotationWrapper"] if one not in before["MapAnnotationWrapper"]]
    assert added == [("hcs-mesh/import", [("checked", "by ada")])]


def test_a_mark_that_somebody_else_has_made_keeps_no_plate_from_its_labels(omero: RunningServer) -> None:
    omero.control.tell("set_permissions", group="lab", permissions="rwra--")
    plate_id = make_plate(omero)

    def label(connection: Connection, **said: Any) -> None:
        target, _ = find_plate(connection, plate_id)
        context = {"omero.group": str(target.group_id)}
        labelling = Labelling(connection, group_id=target.group_id, context=context)
        labelling.label(key="this-mesh/forged", plates={plate_id: ""}, images=(), metadata={}, **said)
        labelling.attach(plate_id, namespace="hcs-mesh/import", name="source", value="/data")

    for user, said in (("grace", Target()), ("ada", Target(tags=("control",)))):
        pool = pool_of(omero, user)
        with pool.connection() as connection:
            label(connection, target=said, provenance=())
        pool.close()
    with logged_in(omero, "ada") as client:
        assert said_of(client, "Plate", plate_id)["TagAnnotationWrapper"] == [(None, "control")]
        query = "select a.details.owner.omeName from PlateAnnotationLink l join l.child a where l.parent.id ="
        owners = [name for (name,) in ask(client, f"{query} {plate_id} and a.ns = 'hcs-mesh/import'")]
    assert sorted(owners) == ["ada", "ada", "grace", "grace"]
    omero.control.tell("set_permissions", group="lab", permissions="rw----")


def test_a_second_plate_finds_the_screen_and_the_tags_of_the_first(
    omero: RunningServer, desk: Importing, tmp_path: Path
) -> None:
    target = Target(screen="shared by two", tags=("both",))
    for n in range(2):
        source = write_ome_plate(tmp_path / f"{n}.ome.tiff", some_planes(1, 1, 1, 16, 16, seed=n))
        desk.of(f"labels-two-{n}", source).whole(target=target)
    with logged_in(omero, "ada") as client:
        assert ask(client, "select count(s.id) from Screen s where s.name = 'shared by two'") == [[1]]
        assert ask(client, "select count(t.id) from TagAnnotation t where t.textValue = 'both'") == [[1]]
        [[n_plates]] = ask(client, "select count(l.id) from ScreenPlateLink l where l.parent.name = 'shared by two'")
    assert n_plates == 2


def test_images_on_no_plate_go_into_the_dataset_of_the_project(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    assert desk.of("labels-images", shared_data / OME_TIFF).whole(target=TARGET) == ()
    with logged_in(omero, "ada") as client:
        rows = ask(
            client,
            "select p.name, d.name from ProjectDatasetLink link join link.parent p join link.child d "
            "join d.imageLinks il",
        )
        [[n_screens]] = ask(client, "select count(s.id) from Screen s where s.name = 'fixed'")
    assert rows == [["Nuclei", "fixed"]]
    assert n_screens == 0


def test_a_single_plate_has_the_name_it_was_given(omero: RunningServer, desk: Importing, shared_data: Path) -> None:
    one = desk.of("labels-name", importable(shared_data / METAXPRESS), name="plate 12")
    one.transfer()
    [plate_id] = one.register(name="plate 12")
    with logged_in(omero, "ada") as client:
        assert ask(client, f"select plate.name from Plate plate where plate.id = {plate_id}") == [["plate 12"]]
