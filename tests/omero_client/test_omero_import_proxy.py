"""The import proxy in front of an OMERO.server: the same phases, the same journal, and a certificate at the end."""

import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from anyio.to_thread import run_sync
from omero_imports import Importing, importing, n_of, secret
from omero_lab import address_of, login
from omero_plates import some_planes, write_ome_plate
from waiting import eventually

from hcs_mesh.actors.imports.prover import OmeroProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local.certifying import load
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.import_store import OmeroImportStore
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.supervisors import Node
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio]
__all__ = ["secret"]

SETTINGS = ImportSettings(
    settle_s=0.01, first_retry_s=0.1, longest_retry_s=0.5, max_attempts=200, certify_same_disk=True
)


class Place:
    """A node with an import proxy and an inspector."""

    def __init__(self, folder: Path, server: RunningServer, desk: Importing) -> None:
        self.folder = folder
        self.server = server
        self.desk = desk
        self.repository = OmeroImportStore(desk.imports, OmeroSource(desk.identities))
        self.node = Node("hub")
        self.imports = self.node.find("imports")
        self.source = folder / "source" / "plate.ome.tiff"
        self.source.parent.mkdir()
        write_ome_plate(self.source, some_planes(2, 2, 2, 256, 256))

    async def start(self) -> None:
        await self.node.start_actor("inspector", Inspector)
        prover = OmeroProver(
            self.repository.for_import,
            self.folder / "data",
            self.folder / "keys",
            SETTINGS,
            address=address_of(self.server),
        )
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.folder / "journal", SETTINGS, prover=prover)
        )

    async def stop(self) -> None:
        await self.life.stop()
        await self.life.wait()
        await self.node.close()

    async def submit(self) -> str:
        order = ImportOrder(path=str(self.source), screen="by the mesh")
        import_id: str = await self.imports.ask(SubmitImport(order=order, key="k", on_behalf_of="ada"))
        return import_id

    async def until(self, import_id: str, *states: str, reason: str = "") -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state not in states or reason not in status.reason:
            assert status.state != "failed", status.reason
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status


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
