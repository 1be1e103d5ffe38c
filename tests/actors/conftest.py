"""A node with a real publisher, bridge, ring and front, whose scheduler and metadata answer from a table."""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
import zmq
from waiting import eventually

from hcs_mesh.actors.viewing.plane_history import PlaneHistory
from hcs_mesh.actors.viewing.publisher import Publisher
from hcs_mesh.actors.viewing.ring_keeper import RingKeeper
from hcs_mesh.actors.viewing.viewer_bridge import ViewerBridge
from hcs_mesh.messages.compute import GetJob, JobStatus, ListJobs, WellStatus
from hcs_mesh.messages.frames import PlanesCommitted
from hcs_mesh.messages.metadata import GetPlate, ListPlates
from hcs_mesh.messages.planes import acquired_planes
from hcs_mesh.plates.errors import PlaceAway
from hcs_mesh.plates.model import Image, Plate, PlateSummary, build_plate
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Dialer, KeyPair, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.transport.whereabouts import DataLock, Whereabouts, owner_secret, publish

SIDE = 64


class Tables(Actor[GetJob | ListJobs | GetPlate | ListPlates]):
    """Scheduler and metadata cache in one."""

    def __init__(self, plates: dict[int, Plate], jobs: dict[str, JobStatus], away: set[int]) -> None:
        self._plates = plates
        self._away = away
        self._jobs = jobs

    async def receive(self, message: GetJob | ListJobs | GetPlate | ListPlates) -> Any:
        from hcs_mesh.actors.viewing.errors import NothingToShow

        match message:
            case GetJob(job=job):
                if job not in self._jobs:
                    raise NothingToShow(f"there is no job {job}", hint="hcs-mesh jobs lists them")
                return self._jobs[job]
            case ListJobs():
                return tuple(one.listed() for one in reversed(self._jobs.values()))
            case GetPlate(plate_id=plate_id):
                if plate_id in self._away:
                    raise PlaceAway(f"plate {plate_id} lies where nobody answers")
                if plate_id not in self._plates:
                    raise NothingToShow(f"there is no plate {plate_id}", hint="hcs-mesh plates lists them")
                return self._plates[plate_id]
            case ListPlates():
                return tuple(
                    PlateSummary(id=one.id, name=one.name, n_wells=1, n_fields=1, n_images=1)
                    for one in self._plates.values()
                )


class StreamingMesh:
    """What a test of streaming needs of a mesh."""

    def __init__(self, folder: Path, *, n_credits: int = 2, n_slots: int = 6) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.plates: dict[int, Plate] = {}
        self.away: set[int] = set()
        self.jobs: dict[str, JobStatus] = {}
        self.stored: dict[str, list[StoredResult]] = {}
        self.keeper = RingKeeper(folder / "planes", slot_bytes=1 << 20, n_slots=n_slots, owner="ada")
        self.n_credits = n_credits
        self.node: Node | None = None
        self.lives: list[Any] = []
        self.lock: DataLock | None = None
        self.viewer_key = new_pair()
        self.mesh_key = new_pair()
        self.endpoint = ipc_endpoint(folder, "front")

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        return tuple(self.stored.get(job, ()))

    def add_plate(self, plate_id: int, wells: tuple[str, ...], *, channels: tuple[str, ...] = ("DNA", "GFP")) -> Plate:
        root = self.folder / f"plate{plate_id}"
        root.mkdir()
        images = []
        for well in wells:
            for c, _ in enumerate(channels):
                name = f"{well}_{c}.tif"
                value = 1000 * plate_id + 100 * wells.index(well) + c
                tifffile.imwrite(root / name, np.full((SIDE, SIDE), value, np.uint16))
                images.append(Image(well, 1, c, 0, 0, "plane", name, 0, SIDE, SIDE, "uint16"))
        plate = build_plate(images, id=plate_id, name=f"plate {plate_id}", channels=channels, root=str(root))
        self.plates[plate_id] = plate
        return plate

    def add_job(self, job: str, plate_id: int) -> None:
        wells = tuple(WellStatus(well=well) for well in self.plates[plate_id].wells)
        self.jobs[job] = JobStatus(job=job, plate_id=plate_id, wells=wells)

    async def start(self) -> None:
        self.node = node = Node("hub")
        self.ring = ring = KeyRing(self.folder / "keys")
        ring.allow(Principal(name="ada", role="viewer"), self.viewer_key.public)
        # A viewer that a test has frozen stays one, however long the test takes on a busy machine.
        node.listen_front(self.endpoint, self.mesh_key, ring, silence_s=60.0)
        for tables in ("scheduler", "metadata"):
            self.lives.append(await node.start_actor(tables, lambda: Tables(self.plates, self.jobs, self.away)))
        await self._start_publisher()
        self.lives.append(await node.start_actor("viewers", ViewerBridge))

    async def _start_publisher(self) -> None:
        assert self.node is not None
        history = PlaneHistory(self)
        life = await self.node.start_actor(
            "publisher", lambda: Publisher(self.keeper.renew, history, n_credits=self.n_credits)
        )
        self.lives.insert(0, life)

    async def restart_publisher(self) -> None:
        """Let the publisher end without a farewell, and start it anew."""
        life = self.lives.pop(0)
        await life.kill()
        await life.wait()
        await self._start_publisher()

    def committed_anew(self, plate_id: int) -> PlanesCommitted:
        """The news that newer files hold all the plate's planes."""
        planes = []
        for record in acquired_planes(self.plates[plate_id]):
            newer = f"{uuid.uuid4().hex}.tif"
            shutil.copy(Path(record.root, record.file), Path(record.root, newer))
            planes.append(msgspec.structs.replace(record, file=newer))
        return PlanesCommitted(plate_id=plate_id, planes=tuple(planes))

    def publish_whereabouts(self) -> None:
        """Let viewers of other processes find the mesh by its data folder."""
        self.lock = DataLock(self.folder)
        secret = owner_secret(self.folder)
        secret.parent.mkdir(exist_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(f'public = "{self.viewer_key.public}"\nsecret = "{self.viewer_key.secret}"\n')
        publish(self.folder, Whereabouts(pid=os.getpid(), endpoints=(self.endpoint,), public_key=self.mesh_key.public))

    async def stop(self) -> None:
        for life in reversed(self.lives):
            await life.stop()
            await life.wait()
        self.lives.clear()
        # One turn of the loop for what was said last to leave.
        await asyncio.sleep(0)
        if self.node is not None:
            await self.node.close()
            self.node = None
        self.keeper.close()

    def dial(self, context: zmq.Context[Any], deliver: Any, *, key: KeyPair | None = None, **options: Any) -> Dialer:
        server, key = ServerKey(public=self.mesh_key.public), key or self.viewer_key
        return Dialer(context, self.endpoint, deliver, name="viewer", key=key, server=server, **options)

    def let_in(self, name: str) -> KeyPair:
        """The key of one viewer more."""
        pair = new_pair()
        self.ring.allow(Principal(name=name, role="viewer"), pair.public)
        return pair

    def statistics(self, actor: str) -> dict[str, Any]:
        assert self.node is not None
        return self.node.cells[actor].statistics()

    @property
    def slots_held(self) -> int:
        assert self.keeper._ring is not None
        return self.keeper._ring.statistics().n_held


@asynccontextmanager
async def streaming_mesh(
    folder: Path, *, before: Callable[[StreamingMesh], None] = lambda mesh: None, **options: int
) -> AsyncIterator[StreamingMesh]:
    mesh = StreamingMesh(folder, **options)
    before(mesh)
    mesh.add_plate(1, ("A01", "B02"))
    await mesh.start()
    try:
        yield mesh
    finally:
        await mesh.stop()
        if mesh.lock is not None:
            mesh.lock.release()


class Streaming:
    """The names that streaming tests share; their modules cannot import each other."""

    side = SIDE
    mesh = staticmethod(streaming_mesh)
    until = staticmethod(eventually)


@pytest.fixture(scope="session")
def streaming() -> type[Streaming]:
    """A mesh to stream from, and the wait for what it leads to."""
    return Streaming
