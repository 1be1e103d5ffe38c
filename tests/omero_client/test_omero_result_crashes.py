"""A server that is killed while results are written, and a repeat: one of each thing, and nothing left over."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from omero_plates import logged_in
from omero_results import inventory, job_of, make_plate, pool_of, processed, results_of, some_labels, write_well

from hcs_mesh.plates.omero import regions
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroError
from hcs_mesh.plates.omero.masks import Labels
from hcs_mesh.plates.omero.pixels import OmeroPixels
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.regions import read_labels
from hcs_mesh.plates.omero.result_keys import LABELS, ResultKey
from hcs_mesh.plates.omero.results import OmeroResults
from hcs_mesh.plates.omero.saving import find_keyed
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

SAVE = "IUpdate.saveAndReturnIds"
STEPS = (
    "RawFileStore.write", "RawFileStore.save", "SharedResources.newTable", "Table.addData", "Table.setAllMetadata",
    "RawPixelsStore.setPlane", "RawPixelsStore.save", "IPixels.setChannelGlobalMinMax",
)  # fmt: skip
"""In the order in which a commit comes to them, savings apart."""
MOST_LIVES = 40
ONE_OF_EACH = {
    "OriginalFile": 3, "FileAnnotation": 3, "MapAnnotation": 5, "Roi": 4, "Mask": 4, "Plate": 1, "Well": 2,
    "Image": 2, "Pixels": 2, "WellSample": 2, "WellAnnotationLink": 3, "PlateAnnotationLink": 2,
    "ImageAnnotationLink": 3, "RoiAnnotationLink": 4, "AnnotationAnnotationLink": 3,
}  # fmt: skip
"""What one well's results add: a pipeline, a text and a table; a record, labels, a plate and two images."""


@pytest.fixture
def plate_id(own_omero: RunningServer) -> int:
    return make_plate(own_omero)


@pytest.fixture
def pool(own_omero: RunningServer) -> Iterator[ConnectionPool]:
    pool = pool_of(own_omero)
    yield pool
    pool.close()


@pytest.fixture
def results(pool: ConnectionPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OmeroResults:
    # So that there are several batches of the few objects.
    monkeypatch.setattr(regions, "OBJECTS_AT_ONCE", 3)
    return results_of(pool, tmp_path / "spool")


def commit_through_lives(
    server: RunningServer, spool: Path, plate_id: int, operations: Iterable[str], *, after: bool, nth: int = 1
) -> int:
    """Commit a sealed attempt again and again, to a server that dies at one operation a life; how often it died."""
    killing = iter(operations)
    for n_died in range(MOST_LIVES):
        if operation := next(killing, ""):
            server.control.tell("kill_at", operation=operation, nth=nth, after=after)
        pool = pool_of(server)
        try:
            results_of(pool, spool).commit_well(plate_id, job_of(plate_id), "A01", 1)
        except OmeroError:
            server.wait_until_dead()
            server.start()
        else:
            return n_died
        finally:
            pool.close()
    raise AssertionError(f"not finished after {MOST_LIVES} lives")


def added(server: RunningServer, before: dict[str, int]) -> dict[str, int]:
    with logged_in(server, "ada") as client:
        return {kind: n - before[kind] for kind, n in inventory(client).items()}


def labels_of(connection: Connection, plate_id: int) -> Labels:
    """The one set of labels, as they are attached."""
    key = ResultKey(job=job_of(plate_id), plate_id=plate_id, well="A01", path="nuclei.ome.tiff")
    (labels,) = find_keyed(connection, LABELS, key, group_id=-1)
    return read_labels(connection, labels.id, (24, 32))


def sealed(server: RunningServer, results: OmeroResults, plate_id: int) -> dict[str, int]:
    """An attempt that waits for its commit; what the server holds before it."""
    write_well(results.results_folder(plate_id, job_of(plate_id), "A01", 1), plate_id)
    with logged_in(server, "ada") as client:
        return inventory(client)


@pytest.mark.parametrize(
    "after",
    [pytest.param(True, id="its-answer-lost"), pytest.param(False, id="nothing-done", marks=pytest.mark.slow)],
)
def test_a_server_killed_at_every_step_ends_up_with_one_of_each(
    own_omero: RunningServer,
    pool: ConnectionPool,
    results: OmeroResults,
    plate_id: int,
    tmp_path: Path,
    after: bool,
) -> None:
    before = sealed(own_omero, results, plate_id)
    n_died = commit_through_lives(own_omero, tmp_path / "spool", plate_id, STEPS, after=after)
    assert n_died == len(STEPS)
    assert added(own_omero, before) == ONE_OF_EACH
    found = OmeroPlates(pool).with_places(max(one.id for one in OmeroPlates(pool).plates()))
    for image in found.plate.images():
        expected = processed(image.field, found.plate.channels[image.c])
        np.testing.assert_array_equal(OmeroPixels(pool).read(found, image), expected)


@pytest.mark.parametrize("nth", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_server_killed_after_each_few_savings_ends_up_with_one_of_each(
    own_omero: RunningServer, pool: ConnectionPool, results: OmeroResults, plate_id: int, tmp_path: Path, nth: int
) -> None:
    before = sealed(own_omero, results, plate_id)
    n_died = commit_through_lives(own_omero, tmp_path / "spool", plate_id, repeat(SAVE), after=True, nth=nth)
    assert n_died >= 12 // nth
    assert added(own_omero, before) == ONE_OF_EACH
    np.testing.assert_array_equal(pool.read(lambda connection: labels_of(connection, plate_id)), some_labels())


def test_a_commit_that_a_crash_cut_short_is_finished_by_the_sweep(
    own_omero: RunningServer, pool: ConnectionPool, results: OmeroResults, plate_id: int, tmp_path: Path
) -> None:
    before = sealed(own_omero, results, plate_id)
    own_omero.control.tell("kill_at", operation="Table.addData", nth=1, after=True)
    with pytest.raises(OmeroError):
        results.commit_well(plate_id, job_of(plate_id), "A01", 1)
    own_omero.wait_until_dead()
    own_omero.start()
    # As after a restart of the mesh: what it had in memory is gone.
    again = results_of(pool, tmp_path / "spool")
    with suppress(OmeroError):
        again.results(job_of(plate_id))
    (finished,) = again.sweep(job_of(plate_id))
    assert (finished.well, finished.attempt) == ("A01", 1)
    assert again.sweep(job_of(plate_id)) == ()
    assert added(own_omero, before) == ONE_OF_EACH


@pytest.mark.parametrize(
    ("operation", "nth"), [("RawPixelsStore.save", 2), ("IQuery.get", 1)], ids=["before-images", "after-images"]
)
def test_another_attempt_replaces_what_a_lost_one_had_begun(
    own_omero: RunningServer,
    pool: ConnectionPool,
    results: OmeroResults,
    plate_id: int,
    tmp_path: Path,
    operation: str,
    nth: int,
) -> None:
    before = sealed(own_omero, results, plate_id)
    own_omero.control.tell("kill_at", operation=operation, nth=nth)
    with pytest.raises(OmeroError):
        results.commit_well(plate_id, job_of(plate_id), "A01", 1)
    own_omero.wait_until_dead()
    own_omero.start()
    # The disk that the first attempt lay on is gone, and the second gives other pixels.
    other = results_of(pool, tmp_path / "another spool")
    with suppress(OmeroError):
        other.results(job_of(plate_id))
    folder = other.results_folder(plate_id, job_of(plate_id), "A01", 2)
    write_well(folder, plate_id, attempt=2, seed=7)
    assert other.commit_well(plate_id, job_of(plate_id), "A01", 2).attempt == 2
    assert added(own_omero, before) == ONE_OF_EACH
    (fetched,) = results_of(pool, tmp_path / "a third host").results(job_of(plate_id))
    assert Path(fetched.folder, "report.json").read_text() == '{"seed": 7}'
    np.testing.assert_array_equal(pool.read(lambda connection: labels_of(connection, plate_id)), some_labels(7))
    found = OmeroPlates(pool).with_places(max(one.id for one in OmeroPlates(pool).plates()))
    for image in found.plate.images():
        expected = processed(image.field, found.plate.channels[image.c], seed=7)
        np.testing.assert_array_equal(OmeroPixels(pool).read(found, image), expected)
