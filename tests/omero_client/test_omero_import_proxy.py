"""The import proxy in front of an OMERO.server: the same phases, the same journal, and a certificate at the end."""

import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from anyio.to_thread import run_sync
from companions import STACKS, write_stacks
from msgspec import UNSET
from omero_imports import METAXPRESS, OME_TIFF, Importing, importing, n_of, secret
from omero_lab import address_of, login
from omero_plates import logged_in, set_sizes
from omero_proxy import Place
from waiting import eventually

from hcs_mesh.messages.imports import (
    CancelImport,
    ImportOrder,
    SubmitImport,
)
from hcs_mesh.plates.local.certificate_shelf import load
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]
__all__ = ["secret"]


@pytest.fixture
def minted(own_omero: RunningServer, secret: Path) -> Iterator[Importing]:
    with importing(own_omero, users=(), minter=secret, patience_s=2.0) as desk:
        yield desk


@pytest.fixture
async def place(tmp_path: Path, own_omero: RunningServer, minted: Importing) -> AsyncIterator[Place]:
    found = Place(tmp_path, own_omero, minted)
    await found.start()
    yield found
    await found.stop()


async def test_an_import_comes_to_its_plate_and_its_certificate(place: Place) -> None:
    status = await place.until(await place.submit(), "done", "failed")
    assert [n_of(place.server, kind) for kind in ("Fileset", "Plate", "Screen")] == [1, 1, 1]
    certificate = load(Path(status.certificate)).certificate
    assert certificate.plate_ids == status.plate_ids
    assert certificate.repository.endswith("/Fileset:1")
    assert [plane.page for plane in certificate.planes] == [0, 7]


async def test_a_plate_known_by_its_names_comes_to_omero_and_to_a_certificate_of_the_users_files(place: Place) -> None:
    source = write_stacks(place.folder / "stacks")
    own = {path.relative_to(source).as_posix(): path.stat().st_size for path in source.rglob("*.tif")}
    order = ImportOrder(path=str(source), pattern=STACKS, name="By names", delete_source=False)
    import_id = await place.imports.ask(SubmitImport(order=order, key="names", on_behalf_of="ada"))
    status = await place.until(import_id, "done", "failed")
    assert [n_of(place.server, kind) for kind in ("Fileset", "Plate", "Image")] == [1, 1, 4]
    assert (status.n_files, status.n_bytes, status.n_bytes_done) == (len(own), sum(own.values()), sum(own.values()))
    certificate = load(Path(status.certificate)).certificate
    assert {file.path: file.size for file in certificate.files} == own
    assert certificate.plate_ids == status.plate_ids
    assert [plane.file for plane in certificate.planes] == ["t1/B2_s5_DAPI.tif", "t2/H12_s6_GFP.tif"]


async def test_a_plate_over_whose_metadata_omeros_reader_fails_comes_to_its_plate_and_its_certificate(
    place: Place, shared_data: Path
) -> None:
    source = shared_data / METAXPRESS
    import_id = await place.imports.ask(
        SubmitImport(order=ImportOrder(path=str(source)), key="misleads", on_behalf_of="ada")
    )
    status = await place.until(import_id, "done")
    assert [n_of(place.server, kind) for kind in ("Fileset", "Plate", "Image")] == [1, 1, 1]
    certificate = load(Path(status.certificate)).certificate
    assert {file.path: file.size for file in certificate.files} == {
        path.relative_to(source).as_posix(): path.stat().st_size for path in source.rglob("*.*")
    }
    assert [plane.file for plane in certificate.planes] == ["TimePoint_1/9987_B02.TIF"]


async def test_an_import_without_a_plate_says_where_its_images_are(place: Place, shared_data: Path) -> None:
    order = ImportOrder(path=str(shared_data / OME_TIFF), dataset="Confocal")
    import_id = await place.imports.ask(SubmitImport(order=order, key="images", on_behalf_of="ada"))
    status = await place.until(import_id, "done", "failed")
    told = "1 image is in OMERO in Confocal (Dataset:1) and lies on no plate (Image:1)"
    assert [note.partition(";")[0] for note in status.notes] == [told]
    # It stands in the journal: the next life of the mesh says so too.
    await place.life.stop()
    await place.life.wait()
    await place.start_imports()
    assert (await place.until(import_id, "done")).notes == status.notes


async def test_an_upload_that_the_server_lost_is_sent_again_from_what_is_held(place: Place) -> None:
    place.server.control.tell("hold", operation="ManagedRepository.verifyChecksums")
    import_id = await place.submit()
    await eventually(
        lambda: place.server.control.tell("held")["held"]["ManagedRepository.verifyChecksums"], 60.0, "verifying"
    )
    # Nobody needs it any more: that is what was promised when it was held.
    shutil.rmtree(place.source.parent)
    place.server.kill()
    threading.Thread(target=place.server.start).start()
    status = await place.until(import_id, "done", "failed")
    assert [one.phase for one in status.history].count("settling") == 1
    assert [one.phase for one in status.history].count("transferring") >= 2
    assert [n_of(place.server, kind) for kind in ("Fileset", "Plate")] == [1, 1]


@pytest.fixture(params=[True, False], ids=["mounted", "elsewhere"])
def mounted_or_not(request: pytest.FixtureRequest, own_omero: RunningServer, secret: Path) -> Iterator[Importing]:
    managed = own_omero.managed if request.param else None
    with importing(own_omero, users=(), minter=secret, managed=managed) as desk:
        yield desk


async def test_planes_of_a_source_that_is_away_are_proved_by_the_servers_files_or_not_at_all(
    own_omero: RunningServer, mounted_or_not: Importing, tmp_path: Path
) -> None:
    place = Place(tmp_path, own_omero, mounted_or_not)
    await place.start()
    own_omero.control.tell("hold", operation="ManagedRepository.verifyChecksums")
    import_id = await place.submit()
    await eventually(
        lambda: own_omero.control.tell("held")["held"]["ManagedRepository.verifyChecksums"], 60.0, "verifying"
    )
    shutil.rmtree(place.source.parent)
    own_omero.control.tell("release", operation="ManagedRepository.verifyChecksums")
    status = await place.until(import_id, "done", "failed")
    await place.stop()
    told = load(Path(status.certificate)).certificate
    is_mounted = mounted_or_not.imports.managed is not None
    assert [(plane.file, plane.page) for plane in told.planes] == (
        [("plate.ome.tiff", 0), ("plate.ome.tiff", 7)] if is_mounted else []
    )
    assert (told.planes_note is UNSET) == is_mounted


async def test_what_the_servers_disk_lost_is_uploaded_anew_from_what_is_held(place: Place) -> None:
    place.server.control.tell("hold", operation="ManagedRepository.verifyChecksums")
    import_id = await place.submit()
    await eventually(
        lambda: place.server.control.tell("held")["held"]["ManagedRepository.verifyChecksums"], 60.0, "verifying"
    )
    shutil.rmtree(place.source.parent)
    (there,) = place.server.managed.rglob(place.source.name)
    there.write_bytes(bytes(1) + there.read_bytes()[1:])
    place.server.control.tell("release", operation="ManagedRepository.verifyChecksums")
    status = await place.until(import_id, "done")
    assert [one.phase for one in status.history].count("settling") == 1
    assert any("not what was sent" in one.note for one in status.history if one.phase == "transferring")
    assert [n_of(place.server, kind) for kind in ("Fileset", "Plate")] == [1, 1]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [({"Z": 10_000_000}, "at OMERO claims"), ({"X": 400_000, "Y": 400_000}, "298.0 GiB each, and at most 2 GiB")],
)
async def test_an_import_whose_plate_claims_absurd_sizes_at_omero_is_done_without_a_certificate(
    place: Place, sizes: dict[str, int], said: str
) -> None:
    place.server.control.tell("hold", operation="IUpdate.saveArray")
    import_id = await place.submit()
    await eventually(lambda: place.server.control.tell("held")["held"].get("IUpdate.saveArray"), 60.0, "annotating")
    with logged_in(place.server, "ada") as client:
        set_sizes(client, 1, **sizes)
    place.server.control.tell("release", operation="IUpdate.saveArray")
    status = await place.until(import_id, "done")
    assert status.certificate == ""
    assert status.certificate_note.startswith("not certified: ")
    assert said in status.certificate_note


async def test_an_import_waits_until_its_owner_logs_in_and_then_goes_on(
    tmp_path: Path, own_omero: RunningServer
) -> None:
    with importing(own_omero, users=()) as desk:
        place = Place(tmp_path, own_omero, desk)
        await place.start()
        import_id = await place.submit()
        await place.until(import_id, "waiting", reason="waits for ada to log in")
        own = await run_sync(lambda: Connection(address_of(own_omero), login("ada")))
        await run_sync(lambda: desk.identities.logged_in(Person(user="ada"), own.key))
        await place.until(import_id, "done", "failed")
        await place.stop()
        await run_sync(own.close)


async def test_who_cancels_is_answered_while_the_server_makes_images_and_nothing_is_left(place: Place) -> None:
    place.server.control.tell("hold", operation="ManagedRepository.import")
    import_id = await place.submit()
    waiting = await place.until(import_id, "waiting", reason="waiting for OMERO to finish making images")
    assert waiting.phase == "importing"
    cancelled = await place.imports.ask(CancelImport(import_id=import_id), timeout_s=60.0)
    assert cancelled.state == "cancelled"
    # It was not waited for, and what it makes after all has nothing to belong to.
    assert place.server.control.tell("held")["held"] == {"ManagedRepository.import": 1}
    await eventually(lambda: n_of(place.server, "Fileset") == 0, 60.0, "the removal of what was stored")
    place.server.control.tell("release", operation="ManagedRepository.import")
    await place.stop_imports()
    assert [n_of(place.server, kind) for kind in ("Fileset", "Plate", "Image")] == [0, 0, 0]


async def test_who_cancels_does_not_wait_for_images_that_somebody_before_had_asked_for(
    place: Place, minted: Importing
) -> None:
    place.server.control.tell("hold", operation="ManagedRepository.import")
    import_id = await place.submit()
    await place.until(import_id, "waiting", reason="waiting for OMERO to finish making images")
    # The life after knows nothing of what was asked for, but that images may come.
    await place.stop_imports()
    place.server.control.tell("expire", session=None, user="ada", reaped=True)
    minted.imports.patience_s = 900.0
    await place.start_imports()
    left = await place.until(import_id, "waiting", reason="what it was asked for before the mesh was interrupted")
    assert "if no images come within 15 min" in left.reason
    cancelled = await place.imports.ask(CancelImport(import_id=import_id), timeout_s=60.0)
    assert cancelled.state == "cancelled"
    await eventually(lambda: n_of(place.server, "Fileset") == 0, 60.0, "the removal of what was stored")
