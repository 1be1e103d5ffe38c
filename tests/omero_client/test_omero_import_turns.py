"""Imports that wait for a connection which others of the same person have, as the import proxy drives them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from omero_imports import Importing, importing, n_of, secret
from omero_plates import some_planes, write_ome_plate
from omero_proxy import Place

from hcs_mesh.messages.imports import ImportOrder, RetryImport, SubmitImport
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]
__all__ = ["secret"]


@pytest.fixture
def narrow(own_omero: RunningServer, secret: Path) -> Iterator[Importing]:
    with importing(own_omero, users=(), minter=secret, n_connections=2) as desk:
        yield desk


async def another(place: Place, seed: int = 0) -> str:
    """Hand over a plate of ada's beside the place's own."""
    source = place.folder / f"source {seed}" / "plate.ome.tiff"
    source.parent.mkdir()
    write_ome_plate(source, some_planes(1, 1, 1, 16, 16, seed=seed))
    order = ImportOrder(path=str(source))
    import_id: str = await place.imports.ask(SubmitImport(order=order, key=f"k{seed}", on_behalf_of="ada"))
    return import_id


async def test_an_import_waits_for_a_connection_without_holding_what_others_wait_for(
    own_omero: RunningServer, narrow: Importing, tmp_path: Path
) -> None:
    place = Place(tmp_path, own_omero, narrow)
    await place.start()
    own_omero.control.tell("hold", operation="ManagedRepository.import")
    first = await place.submit()
    await place.until(first, "running", "waiting", reason="making images")
    others = [await another(place, n) for n in range(3)]
    for other in others:
        status = await place.until(other, "running", "waiting", reason="1 of the 2 connections")
        assert (status.phase, status.attempts) == ("transferring", 0)
    own_omero.control.tell("release", operation="ManagedRepository.import")
    for one in (first, *others):
        await place.until(one, "done", "failed")
    await place.stop()
    assert n_of(own_omero, "Plate") == 4


async def test_an_import_that_has_failed_leaves_its_connection_to_the_next(
    own_omero: RunningServer, narrow: Importing, tmp_path: Path
) -> None:
    place = Place(tmp_path, own_omero, narrow)
    await place.start()
    own_omero.control.tell(
        "fail", operation="ManagedRepository.verifyChecksums", times=1, **{"with": "ApiUsageException"}
    )
    first = await place.submit()
    assert (await place.until(first, "failed")).phase == "verifying"
    second = await another(place)
    await place.until(second, "done")
    await place.imports.ask(RetryImport(import_id=first))
    await place.until(first, "done")
    await place.stop()
    assert [n_of(own_omero, kind) for kind in ("Fileset", "Plate")] == [2, 2]


async def test_what_asks_a_server_that_is_back_waits_for_no_connection_that_other_imports_have(
    own_omero: RunningServer, narrow: Importing, tmp_path: Path
) -> None:
    place = Place(tmp_path, own_omero, narrow)
    await place.start()
    own_omero.control.tell("hold", operation="ManagedRepository.import")
    first = await place.submit()
    await place.until(first, "running", "waiting", reason="making images")
    own_omero.control.tell("fail", operation="IQuery.projection", times=1, **{"with": "drop"})
    second = await another(place)
    status = await place.until(second, "waiting", reason="1 of the 2 connections")
    # What it had asked when the line was dropped was answered since: it waits for what sending takes alone.
    assert status.phase == "transferring"
    own_omero.control.tell("release", operation="ManagedRepository.import")
    for one in (first, second):
        await place.until(one, "done")
    await place.stop()
