"""What others have saved under the names that the mesh gives is neither believed, nor touched, nor in the way."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
from omero_imports import ask
from omero_plates import logged_in
from omero_results import commit, job_of, make_plate, pool_of, processed, results_of, some_labels

from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.record_texts import record_text
from hcs_mesh.plates.omero.result_keys import FILE, IMAGE, LABELS, PIPELINE, PLATE, RESULTS, TABLE, ResultKey
from hcs_mesh.plates.omero.results import OmeroResults
from hcs_mesh.plates.repository import StoredResult
from omero_server.running import RunningServer, running_server

pytestmark = pytest.mark.needs("omero")

SETUP: dict[str, Any] = {
    "groups": [{"name": "shared", "permissions": "rwra--"}, {"name": "aside", "permissions": "rwra--"}],
    "users": [
        {"name": "ada", "password": "pw-ada", "groups": ["shared", "aside"]},
        {"name": "grace", "password": "pw-grace", "groups": ["shared"]},
    ],
}
IMAGE_PATH = "s1_blurred.ome.tiff#32x24x1x2x1-uint16"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """People who may annotate what is another's."""
    with running_server(tmp_path_factory.mktemp("omero"), setup=SETUP) as server:
        yield server


@pytest.fixture
def pool(server: RunningServer) -> Iterator[ConnectionPool]:
    pool = pool_of(server)
    yield pool
    pool.close()


@pytest.fixture
def results(pool: ConnectionPool, tmp_path: Path) -> OmeroResults:
    return results_of(pool, tmp_path / "spool")


class Plates(NamedTuple):
    """One of grace's, whose ids are the lower ones, and ada's."""

    hers: int
    adas: int

    def key(self, path: str = "", *, well: str = "A01") -> ResultKey:
        return ResultKey(job=job_of(self.adas), plate_id=self.adas, well=well, path=path)

    def first_image(self, client: Any) -> int:
        """An image of grace's."""
        query = f"select ws.image.id from WellSample ws where ws.well.plate.id = {self.hers} order by ws.image.id"
        return int(ask(client, query)[0][0])


@pytest.fixture
def plates(server: RunningServer) -> Plates:
    return Plates(make_plate(server, "grace"), make_plate(server))


def saved(client: Any, made: Any) -> int:
    return int(client.getSession().getUpdateService().saveAndReturnObject(made).getId().getValue())


def forged(client: Any, kind: str, namespace: str, key: ResultKey, description: str = "sha1: 0") -> Any:
    """An annotation with a key of ada's job, not saved yet."""
    from omero import model
    from omero.rtypes import rstring

    made = getattr(model, f"{kind}I")()
    made.setNs(rstring(namespace))
    made.setName(rstring(key.text))
    made.setDescription(rstring(description))
    if kind == "MapAnnotation":
        made.setMapValue([model.NamedValue("job", key.job)])
    return made


def unlinked(key: ResultKey, *, table: bool = False) -> Any:
    """A file that looks like one of which an upload was cut short."""
    from omero import model
    from omero.rtypes import rlong, rstring

    file = model.OriginalFileI()
    file.setPath(rstring(f"{key.folder}{key.name}" if table else key.folder))
    file.setName(rstring(key.name))
    file.setSize(rlong(0))
    file.setMimetype(rstring("OMERO.tables" if table else "application/json"))
    return file


def forged_file(client: Any, plates: Plates, namespace: str, path: str, *, well: str = "A01") -> int:
    from omero import model

    made = forged(client, "FileAnnotation", namespace, plates.key(path, well=well))
    made.setFile(model.OriginalFileI(saved(client, unlinked(plates.key("hers"))), False))
    return saved(client, made)


def forged_at(client: Any, kind: str, number: int, namespace: str, key: ResultKey) -> int:
    """A key-value annotation at one of grace's objects."""
    from omero import model

    link = getattr(model, f"{kind}AnnotationLinkI")()
    link.setParent(getattr(model, f"{kind}I")(number, False))
    link.setChild(forged(client, "MapAnnotation", namespace, key))
    return saved(client, link)


FORGERIES: dict[str, Callable[[Any, Plates], int]] = {
    "file": lambda client, plates: forged_file(client, plates, FILE, "report.json"),
    "table": lambda client, plates: forged_file(client, plates, TABLE, "cells.csv"),
    "table-as-file": lambda client, plates: forged_file(client, plates, FILE, "cells.csv"),
    "pipeline": lambda client, plates: forged_file(client, plates, PIPELINE, "pipeline.py", well=""),
    "no-file": lambda client, plates: saved(client, forged(client, "MapAnnotation", FILE, plates.key("report.json"))),
    "labels": lambda client, plates: saved(
        client, forged(client, "MapAnnotation", LABELS, plates.key("nuclei.ome.tiff"))
    ),
    "record": lambda client, plates: saved(client, forged(client, "MapAnnotation", RESULTS, plates.key())),
    "plate": lambda client, plates: forged_at(client, "Plate", plates.hers, PLATE, plates.key(well="")),
    "image": lambda client, plates: forged_at(
        client, "Image", plates.first_image(client), IMAGE, plates.key(IMAGE_PATH)
    ),
    "unlinked-file": lambda client, plates: saved(client, unlinked(plates.key("report.json"))),
    "unlinked-table": lambda client, plates: saved(client, unlinked(plates.key("cells.csv"), table=True)),
}


def is_whole(result: StoredResult) -> None:
    """The files are those that ``write_well`` writes."""
    folder = Path(result.folder)
    assert (folder / "report.json").read_text() == '{"seed": 0}'
    np.testing.assert_array_equal(tifffile.imread(folder / "nuclei.ome.tiff"), some_labels())
    for field in (1, 2):
        for output in ("blurred", "flat"):
            found = tifffile.imread(folder / f"s{field}_{output}.ome.tiff")
            np.testing.assert_array_equal(found, processed(field, output))


def hers(client: Any) -> list[list[Any]]:
    """What grace has of all that results are made of."""
    kinds = ("Annotation", "OriginalFile", "Image", "WellSample", "Plate", "Roi")
    query = "select one.id from {} one where one.details.owner.omeName = 'grace' order by one.id"
    return [ask(client, query.format(kind)) for kind in kinds]


@pytest.mark.parametrize("kind", FORGERIES)
def test_what_another_has_saved_under_a_key_is_not_in_the_way(
    server: RunningServer, pool: ConnectionPool, results: OmeroResults, plates: Plates, tmp_path: Path, kind: str
) -> None:
    with logged_in(server, "grace") as client:
        FORGERIES[kind](client, plates)
        before = hers(client)
        assert commit(results, plates.adas).n_objects == 4
        assert hers(client) == before
    (fetched,) = results_of(pool, tmp_path / "another host").results(job_of(plates.adas))
    is_whole(fetched)


def test_a_finished_record_that_another_has_saved_is_not_believed(
    server: RunningServer, results: OmeroResults, plates: Plates
) -> None:
    job = job_of(plates.adas)
    told = record_text(StoredResult(job=job, plate_id=plates.adas, well="A01", attempt=1, n_objects=999))
    with logged_in(server, "grace") as client:
        saved(client, forged(client, "MapAnnotation", RESULTS, plates.key(), told))
    assert results.results(job) == ()
    assert commit(results, plates.adas).n_objects == 4
    assert [one.n_objects for one in results.results(job)] == [4]


def test_a_record_in_another_group_than_the_plates_is_not_believed(
    server: RunningServer, results: OmeroResults, plates: Plates
) -> None:
    job = job_of(plates.adas)
    told = record_text(StoredResult(job=job, plate_id=plates.adas, well="A01", attempt=1, n_objects=999))
    with logged_in(server, "ada") as client:
        # As who leads that group could, in ada's name.
        session = client.getSession()
        session.setSecurityContext(session.getAdminService().lookupGroup("aside"))
        saved(client, forged(client, "MapAnnotation", RESULTS, plates.key(), told))
    assert results.results(job) == ()
    assert commit(results, plates.adas).n_objects == 4
    assert [one.n_objects for one in results.results(job)] == [4]


def test_who_reads_anothers_results_reads_what_the_owner_has(
    server: RunningServer, results: OmeroResults, plates: Plates, tmp_path: Path
) -> None:
    job = job_of(plates.adas)
    commit(results, plates.adas)
    told = record_text(StoredResult(job=job, plate_id=plates.adas, well="A01", attempt=1, n_objects=999))
    with logged_in(server, "grace") as client:
        saved(client, forged(client, "MapAnnotation", RESULTS, plates.key(), told))
    theirs = pool_of(server, "grace")
    # One spool: what was fetched for one is there for the other.
    (asked,) = results_of(theirs, tmp_path / "spool 2").results(job)
    (read,) = OmeroResults(theirs, tmp_path / "spool 2", owner_of=lambda job: "ada").results(job)
    theirs.close()
    assert (asked.n_objects, read.n_objects) == (999, 4)
    assert asked.folder != read.folder
    is_whole(read)


def test_what_another_links_to_the_owners_annotations_is_no_part_of_the_result(
    server: RunningServer, pool: ConnectionPool, results: OmeroResults, plates: Plates, tmp_path: Path
) -> None:
    from omero import model
    from omero.rtypes import rdouble, rstring

    commit(results, plates.adas)
    with logged_in(server, "grace") as client:
        image_id = plates.first_image(client)
        [[labels, labelled]] = ask(
            client,
            "select l.child.id, l.parent.id from ImageAnnotationLink l "
            f"where l.child.ns = '{LABELS}' and l.child.name = '{plates.key('nuclei.ome.tiff').text}'",
        )
        [[note]] = ask(
            client,
            f"select a.id from MapAnnotation a where a.ns = '{IMAGE}' and a.name = '{plates.key(IMAGE_PATH).text}'",
        )
        link = model.ImageAnnotationLinkI()
        link.setParent(model.ImageI(image_id, False))
        link.setChild(model.MapAnnotationI(note, False))
        saved(client, link)
        mask = model.MaskI()
        for name, value in (("X", 0), ("Y", 0), ("Width", 8), ("Height", 1)):
            getattr(mask, f"set{name}")(rdouble(value))
        mask.setBytes(b"\xff")
        mask.setTextValue(rstring("7"))
        region = model.RoiI()
        region.setName(rstring("7"))
        region.addShape(mask)
        region.setImage(model.ImageI(labelled, False))
        region.linkAnnotation(model.MapAnnotationI(labels, False))
        saved(client, region)
    elsewhere = results_of(pool, tmp_path / "another host")
    (fetched,) = elsewhere.results(job_of(plates.adas))
    is_whole(fetched)
