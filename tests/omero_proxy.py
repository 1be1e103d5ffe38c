"""An import proxy in front of an OMERO.server, in a node of its own."""

from pathlib import Path

from omero_imports import Importing
from omero_lab import address_of
from omero_plates import some_planes, write_ome_plate

from hcs_mesh.actors.imports.prover import OmeroProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.omero.import_store import OmeroImportStore
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.supervisors import Node
from omero_server.running import RunningServer

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
        self.new_proxy = lambda: ImportProxy(self.repository, self.folder / "journal", SETTINGS, prover=prover)
        await self.start_imports()

    async def start_imports(self) -> None:
        self.life = await self.node.start_actor("imports", self.new_proxy)

    async def stop_imports(self) -> None:
        await self.life.stop()
        await self.life.wait()

    async def stop(self) -> None:
        await self.stop_imports()
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
