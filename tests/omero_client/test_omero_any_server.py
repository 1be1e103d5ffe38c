"""The core of what the mesh does at OMERO, at the stand-in or at the real server that OMERO_HOST names."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from omero_imports import Import, Importing, importing
from omero_lab import Server, account, address_of, login
from omero_plates import some_planes, write_ome_plate
from omero_results import commit, gateway, job_of, pool_of, processed, results_of, some_labels, some_table
from waiting import eventually

from hcs_mesh.plates.local.errors import ImportRegistered, PlateNotFound
from hcs_mesh.plates.omero.address import SessionKey
from hcs_mesh.plates.omero.connection import Connection, close_quietly
from hcs_mesh.plates.omero.pixels import OmeroPixels
from hcs_mesh.plates.omero.planes import OmeroPlanes
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import FILE, RESULTS, TABLE
from hcs_mesh.plates.omero.session_keeper import SessionKeeper
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.plates.repository import StoredResult

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

PLANES = some_planes(2, 2, 3, 24, 32)


@pytest.fixture
def desk(any_omero: Server) -> Iterator[Importing]:
    with importing(any_omero, origin=f"mesh-{uuid4().hex}") as one:
        yield one


@pytest.fixture
def an_import(any_omero: Server, desk: Importing, tmp_path: Path) -> Import:
    """An import of a small plate, not begun."""
    path = write_ome_plate(tmp_path / "plate.ome.tiff", PLANES)
    return desk.of("import-1", path, owner=account(any_omero, "ada")[0])


@pytest.fixture
def plate_id(an_import: Import) -> int:
    """A plate that the mesh has imported."""
    (plate_id,) = an_import.whole()
    return plate_id


@pytest.fixture
def pool(any_omero: Server) -> Iterator[ConnectionPool]:
    pool = pool_of(any_omero)
    yield pool
    pool.close()


@pytest.fixture
def stored(plate_id: int, pool: ConnectionPool, tmp_path: Path) -> StoredResult:
    """A well of it with results."""
    result = commit(results_of(pool, tmp_path / "spool"), plate_id)
    assert isinstance(result, StoredResult)
    return result


def until(condition: Callable[[], object], what: str) -> None:
    asyncio.run(eventually(condition, 50, what))


def test_a_session_that_was_handed_in_is_kept_by_one_keeper_after_the_other(any_omero: Server) -> None:
    connection = Connection(address_of(any_omero), login("ada", any_omero))
    ended: list[SessionKey] = []
    keeper = SessionKeeper(address_of(any_omero), every_s=0.25, on_ended=ended.append)
    keeper.keep(connection.key)
    try:
        until(lambda: ended or keeper.n_kept == 1, "that it is kept")
        first = keeper.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: ended or (keeper.pid != first and keeper.n_kept == 1), "that it is kept again")
        assert ended == []
        assert connection.event_context().userName == account(any_omero, "ada")[0]
    finally:
        keeper.close()
        close_quietly(connection)


def test_an_import_is_finished_once_and_found_again(an_import: Import) -> None:
    assert not an_import.reconcile().registered
    ids = an_import.whole()
    standing = an_import.reconcile()
    assert (standing.registered, standing.plate_ids, set(standing.complete)) == (True, ids, {"plate.ome.tiff"})
    assert an_import.register() == ids
    with pytest.raises(ImportRegistered):
        an_import.transfer()


def test_an_import_that_is_given_up_leaves_nothing_that_it_would_find_again(an_import: Import) -> None:
    an_import.transfer()
    assert set(an_import.reconcile().complete) == {"plate.ome.tiff"}
    an_import.discard()
    standing = an_import.reconcile()
    assert (standing.registered, set(standing.complete)) == (False, set())


def test_a_plate_has_the_structure_and_the_planes_that_its_file_says(
    any_omero: Server, desk: Importing, plate_id: int
) -> None:
    name = account(any_omero, "ada")[0]
    plate = OmeroSource(desk.identities).plate(plate_id, name)
    assert (plate.wells, plate.fields("A02"), plate.n_images) == (("A01", "A02"), (1, 2), 12)
    assert plate.channels == ("channel 0", "channel 1", "channel 2")
    assert plate.pixel_size_um == pytest.approx(0.65)
    planes = OmeroPlanes()
    with planes.at(address_of(any_omero), desk.identities):
        for image in plate.images():
            plane = planes(plate.root, image.file, image.page, requester=name)
            np.testing.assert_array_equal(plane, PLANES[int(image.well[1:]) - 1, image.field - 1, image.c])


def test_a_plate_of_a_private_group_is_not_there_for_somebody_else(any_omero: Server, plate_id: int) -> None:
    others = pool_of(any_omero, "grace")
    with pytest.raises(PlateNotFound):
        OmeroPlates(others).plate(plate_id)
    others.close()


def test_results_are_told_again_as_they_were_stored(
    pool: ConnectionPool, plate_id: int, stored: StoredResult, tmp_path: Path
) -> None:
    (told,) = results_of(pool, tmp_path / "another spool").results(job_of(plate_id))
    assert msgspec.structs.replace(told, folder=stored.folder) == stored
    assert stored.notes == ()


def test_a_table_has_its_rows_and_finds_its_images(any_omero: Server, plate_id: int, stored: StoredResult) -> None:
    with gateway(any_omero) as connection:
        well = _well(connection, plate_id, stored.well)
        (annotation,) = well.listAnnotations(ns=TABLE)
        table = connection.c.sf.sharedResources().openTable(annotation.getFile()._obj)
        numbers = list(range(len(table.getHeaders())))
        columns = {one.name: list(one.values) for one in table.read(numbers, 0, table.getNumberOfRows()).columns}
        assert table.getMetadata("job").val == job_of(plate_id)
        table.close()
        images = [well.getImage(index).getId() for index in range(2)]
    wanted = list(zip(*some_table()[1:], strict=True))
    assert columns["Image"] == [images[0], images[0], images[1]]
    assert columns["area_um2"][:2] == list(wanted[4][:2])
    assert columns["round"] == list(wanted[5])


def test_objects_are_masks_on_their_plane(any_omero: Server, plate_id: int, stored: StoredResult) -> None:
    painted = np.zeros((24, 32), np.uint16)
    with gateway(any_omero) as connection:
        image = _well(connection, plate_id, stored.well).getImage(1)
        for roi in connection.getRoiService().findByPlane(image.getId(), 0, 0, None).rois:
            (mask,) = roi.copyShapes()
            x, y, width, height = (int(getattr(mask, name).val) for name in ("x", "y", "width", "height"))
            bits = np.unpackbits(np.frombuffer(mask.bytes, np.uint8))[: width * height].reshape(height, width)
            painted[y : y + height, x : x + width][bits == 1] = int(mask.textValue.val)
    np.testing.assert_array_equal(painted, some_labels())


def test_files_and_the_record_of_a_well_stand_at_it(any_omero: Server, plate_id: int, stored: StoredResult) -> None:
    with gateway(any_omero) as connection:
        well = _well(connection, plate_id, stored.well)
        (report,) = well.listAnnotations(ns=FILE)
        assert b"".join(report.getFileInChunks()) == b'{"seed": 0}'
        (record,) = well.listAnnotations(ns=RESULTS)
        told = dict(record.getValue())
    assert (told["job"], told["well"], told["objects"]) == (job_of(plate_id), stored.well, "4")


@pytest.mark.usefixtures("stored")
def test_processed_planes_are_images_of_a_plate_of_their_own(pool: ConnectionPool, plate_id: int) -> None:
    plates = OmeroPlates(pool)
    (derived,) = [one.id for one in plates.plates() if one.name.endswith(f"({job_of(plate_id)})")]
    found = plates.with_places(derived)
    assert (found.plate.wells, found.plate.channels) == (("A01",), ("blurred", "flat"))
    for image in found.plate.images():
        expected = processed(image.field, found.plate.channels[image.c])
        np.testing.assert_array_equal(OmeroPixels(pool).read(found, image), expected)


def _well(connection: Any, plate_id: int, label: str) -> Any:
    """A well of a plate as the gateway has it; its own labels are A1 for A01."""
    wells = connection.getObject("Plate", plate_id).listChildren()
    return next(one for one in wells if one.getWellPos() == f"{label[0]}{int(label[1:])}")
