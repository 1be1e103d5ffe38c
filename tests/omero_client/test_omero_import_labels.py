"""Where imported plates belong and what is said of them, each thing once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omero_imports import METAXPRESS, OME_TIFF, Importing, ask, importing
from omero_plates import logged_in, some_planes, write_ome_plate

from hcs_mesh.plates.labels import Target
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
    one = desk.of("labels-1", shared_data / METAXPRESS)
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


def test_what_the_import_says_of_itself_at_its_end_stands_there_once(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("labels-annotated", shared_data / METAXPRESS)
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
    one = desk.of("labels-name", shared_data / METAXPRESS, name="plate 12")
    one.transfer()
    [plate_id] = one.register(name="plate 12")
    with logged_in(omero, "ada") as client:
        assert ask(client, f"select plate.name from Plate plate where plate.id = {plate_id}") == [["plate 12"]]
