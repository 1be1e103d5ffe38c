"""As much of a mesh as computes on plates in OMERO: a hub in this process, an executor in one of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tifffile
from omero_lab import address_of, login
from omero_plates import Planes, import_files, logged_in, some_planes, write_ome_plate

from hcs_mesh.actors.analysis.patience import Patience
from hcs_mesh.actors.analysis.scheduler import Scheduler
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.config import OmeroSettings, Settings
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.compute import AwaitJob, ExecutorDown, ExecutorUp, GetJob, JobStatus, SubmitJob
from hcs_mesh.messages.omero import PersonLoggedIn
from hcs_mesh.omero_planes import omero_planes
from hcs_mesh.plates.local.results import JobFolder
from hcs_mesh.plates.omero import open_identities
from hcs_mesh.plates.omero.address import Person, SessionKey, reading_of
from hcs_mesh.plates.omero.away import why_away
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.source import OmeroSource
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.processes import Processes
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.supervisor import Supervisor
from hcs_mesh.transport import Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.transport.messages import Role
from omero_server.running import RunningServer

PLANES = some_planes(2, 2, 3, 40, 48)
COPIED = """
from hcs_mesh.pipelines import Pipeline, channel, max_projection

pipeline = Pipeline(
    name="copied",
    steps=[channel(1, to="stack"), max_projection("stack", to="copy")],
    keep=["copy"],
)
"""
EXECUTOR = "executor.cpu0"


def imported(server: RunningServer, folder: Path, user: str = "ada", planes: Planes = PLANES) -> int:
    """Import a plate of a person's own; its id."""
    folder.mkdir(exist_ok=True)
    path = write_ome_plate(folder / "plate.ome.tiff", planes)
    with logged_in(server, user) as client:
        return next(number for kind, number in import_files(client, [path], folder) if kind == "Plate")


class Shelf:
    """Results in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        return JobFolder(self._folder, plate_id, job).begin(well, attempt)

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        return JobFolder(self._folder, plate_id, job).publish(well, attempt)

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        return ()

    def sweep(self, job: str, **_: Any) -> tuple[StoredResult, ...]:
        return ()


class Hub:
    """The hub, and what people say to it by their keys."""

    def __init__(
        self, folder: Path, server: RunningServer, identities: Identities, lending: dict[str, float] | None = None
    ) -> None:
        self.folder = folder
        self.lending = lending or {}
        self.server = server
        self.identities = identities
        self.node = Node("hub")
        self.n_jobs = 0
        self._ring = KeyRing(folder / "keys")
        self._mesh_key = new_pair()
        self._sockets = Path(tempfile.mkdtemp(prefix="hub"))
        self._front = ipc_endpoint(self._sockets, "front")
        self._dialled: dict[str, Dialer] = {}

    async def start(self, settings: Settings, stack: ExitStack) -> None:
        layout = DataLayout(self.folder)
        layout.logs.mkdir(parents=True)
        self.inner = inner = ipc_endpoint(self._sockets, "inner")
        self.node.listen_inner(inner)
        self.node.listen_front(self._front, self._mesh_key, self._ring)
        self.processes = processes = Processes(self.node, inner, layout, settings)
        reading = reading_of(settings.omero)
        assert reading is not None
        source = OmeroSource(self.identities, fresh_s=0.0)
        shelf: Any = Shelf(self.folder / "results")

        def scheduler() -> Scheduler:
            patience = Patience(first_s=0.05, longest_s=1.0, n_waits=1000)
            return Scheduler(
                shelf,
                layout.journal("jobs"),
                running_executors=processes.running,
                away=lambda plate_id, owner: why_away(self.identities, owner),
                patience=patience,
            )

        def up(name: str, pid: int) -> None:
            self.node.find("scheduler").tell(ExecutorUp(executor=name, pid=pid))

        def down(name: str, pid: int) -> None:
            self.node.find("scheduler").tell(ExecutorDown(executor=name, pid=pid))

        self.node.open_mailbox("scheduler", Scheduler)
        spec = processes.spec("executor", EXECUTOR)
        assert spec.omero is not None
        executor = processes.child(
            msgspec.structs.replace(spec, omero=msgspec.structs.replace(spec.omero, **self.lending)),
            on_up=up,
            on_down=down,
        )
        self._root = Supervisor(
            "hub",
            [
                self.node.actor("metadata", lambda: MetadataCache(source), kind=MetadataCache),
                executor,
                self.node.actor("scheduler", scheduler, kind=Scheduler),
                omero_planes(reading, self.identities, self.node, stack.enter_context),
            ],
        )
        await self._root.start()

    async def stop(self) -> None:
        for dialer in self._dialled.values():
            dialer.close()
        await self._root.stop()
        await self._root.wait()
        await self.node.close()
        shutil.rmtree(self._sockets)

    def front(self, name: str, role: Role = "user") -> Any:
        """The link of a person who has a key of this mesh."""
        if name not in self._dialled:
            pair = new_pair()
            self._ring.allow(Principal(name=name, role=role), pair.public)
            self._dialled[name] = Dialer(
                self.node.context,
                self._front,
                lambda link, envelope: None,
                name=name,
                key=pair,
                server=ServerKey(public=self._mesh_key.public),
            )
        return self._dialled[name].link

    async def log_in(self, user: str) -> SessionKey:
        """Hand in a session as a person's own, and tell who waits for it."""

        def own() -> SessionKey:
            connection = Connection(address_of(self.server), login(user))
            self.identities.logged_in(Person(user=user), connection.key)
            connection.close()
            return connection.key

        key = await asyncio.to_thread(own)
        self.node.find("scheduler").tell(PersonLoggedIn(user=user))
        return key

    async def submit(self, user: str, plate_id: int) -> str:
        self.n_jobs += 1
        request = SubmitJob(plate_id=plate_id, source=COPIED, key=str(self.n_jobs))
        job: str = await self.front(user).ask("scheduler", request, timeout_s=60.0)
        return job

    async def until_over(self, job: str) -> JobStatus:
        status = await self.node.find("scheduler").ask(GetJob(job=job))
        while status.state == "running":
            status = await self.node.find("scheduler").ask(AwaitJob(job=job, revision=status.revision))
        return status

    async def until_reason(self, job: str, part: str) -> None:
        status = await self.node.find("scheduler").ask(GetJob(job=job))
        while part not in status.reason:
            assert status.state == "running", status
            status = await self.node.find("scheduler").ask(AwaitJob(job=job, revision=status.revision))


def must_be_copied(status: JobStatus, planes: Planes = PLANES) -> None:
    """See to it that a job's results are the very pixels that were imported."""
    assert (status.state, status.reason, status.faults) == ("done", "", ()), status
    assert len(status.wells) == len(planes)
    for well in status.wells:
        of_well = planes[int(well.well[1:]) - 1]
        for field, of_field in enumerate(of_well, start=1):
            (name,) = (file for file in well.files if f"_s{field:03d}_" in file)
            np.testing.assert_array_equal(tifffile.imread(Path(well.folder, name)), of_field[1])


def _minter_secret(folder: Path) -> Path:
    folder.mkdir()
    secret = folder / "minter-secret"
    secret.touch(mode=0o600)
    secret.write_text(login("minter").password.reveal())
    return secret


@asynccontextmanager
async def running_hub(
    folder: Path,
    server: RunningServer,
    *,
    mounted: bool = False,
    minter: bool = False,
    lending: dict[str, float] | None = None,
) -> AsyncIterator[Hub]:
    """A hub at a server, with the managed repository mounted or not, and a minter or none.

    ``lending`` says how long the executor goes by what it was lent, where that is not as it is shipped.
    """
    secret = _minter_secret(folder)
    omero = OmeroSettings(
        host=server.host,
        port=server.port,
        ca_file=str(server.certificate),
        managed_repository=str(server.managed) if mounted else "",
        minter="minter" if minter else "",
        minter_secret_file=str(secret),
    )
    with open_identities(omero) as identities, ExitStack() as stack:
        hub = Hub(folder, server, identities, lending)
        await hub.start(Settings(omero=omero), stack)
        try:
            yield hub
        finally:
            await hub.stop()


def everything_written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that lies in a folder: name and content."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
