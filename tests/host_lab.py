"""Two hosts in one process: a mesh with its join desk, and a node with an executor and an uplink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from free_ports import free_port
from waiting import eventually

from hcs_mesh.actors.analysis.executor_door import ExecutorDoor
from hcs_mesh.actors.analysis.remote_executor import RemoteExecutor
from hcs_mesh.actors.nodes.join_desk import JoinDesk
from hcs_mesh.actors.nodes.joined_nodes import JoinedNodes, RemoteNode
from hcs_mesh.actors.nodes.uplink import Uplink
from hcs_mesh.messages.compute import CancelWell, CompilePipeline, ExecutorDown, ExecutorUp, RunWell
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.plates.model import Plate, build_plate
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import KeyRing, PeerGone, Principal, ServerKey, new_pair, tcp_endpoint

PLATE: Plate = build_plate([], id=1, name="p", channels=(), root="/")
THERE = "executor.cpu0@hostb"


class Scheduler(Actor[ExecutorUp | ExecutorDown]):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int]] = []

    async def receive(self, message: ExecutorUp | ExecutorDown) -> None:
        self.heard.append((type(message).__name__, message.executor, message.pid))


class Executor(Actor[CompilePipeline | RunWell | CancelWell]):
    """Computes when it is let, and counts."""

    def __init__(self) -> None:
        self.n_runs = self.n_checks = 0
        self.checks: asyncio.Future[None] | None = None
        self.may_end = asyncio.Event()
        self.dies = False

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        match message:
            case RunWell():
                return self.defer(self._run(message))
            case CompilePipeline():
                self.n_checks += 1
                return "nuclei" if self.checks is None else self.defer(self._check(self.checks))
        return None

    async def _check(self, may_end: asyncio.Future[None]) -> str:
        await may_end
        return "nuclei"

    async def _run(self, message: RunWell) -> StoredResult:
        self.n_runs += 1
        await self.may_end.wait()
        if self.dies:
            raise PeerGone("the executor's process ended")
        return StoredResult(job=message.job, plate_id=1, well=message.well, attempt=message.attempt, n_objects=7)


def well(name: str = "A01") -> RunWell:
    return RunWell(job="job-1", well=name, attempt=1, source="", source_name="", plate=PLATE, folder="/results")


def row(name: str, parent: str = "", **more: Any) -> ActorRow:
    return ActorRow(**{"name": name, "parent": parent, "kind": "process", "pid": None, "state": "running", **more})


class Hosts:
    """Host A with its desk, and host B with an executor and an uplink, in one process."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.a, self.b = Node("hub"), Node("hub")
        self.scheduler, self.executor = Scheduler(), Executor()
        self.nodes = JoinedNodes()
        self.running = [("executor.cpu0", 11)]
        self.rows = [row("node", kind="supervisor"), row("executor.cpu0", "node", pid=11)]
        self.n_reports = 0
        self.ended: list[str] = []
        self.appeared: list[str] = []
        self.starting: list[asyncio.Task[Any]] = []
        self.uplink: Any = None
        self.life = "the first"

    def appear(self, name: str, node: RemoteNode) -> None:
        if name not in self.appeared:
            self.appeared.append(name)
            self.starting.append(asyncio.ensure_future(self.a.start_actor(name, lambda: RemoteExecutor(name, node))))

    async def start(self, *, grace_s: float) -> None:
        mesh, host = new_pair(), new_pair()
        ring = KeyRing(self.data / "keys")
        ring.allow(Principal(name="hostb", role="node"), host.public)
        endpoint = tcp_endpoint("127.0.0.1", free_port())
        await self.a.start_actor("scheduler", lambda: self.scheduler)
        desk = JoinDesk(self.data, self.nodes, hang_up=self.a.hang_up, appear=self.appear, grace_s=grace_s)
        await self.a.start_actor("nodes", lambda: desk)
        self.a.listen_front(endpoint, mesh, ring)
        await self.b.start_actor("executor.cpu0", lambda: self.executor)
        await self.b.start_actor("door.cpu0", lambda: ExecutorDoor("executor.cpu0"))

        def uplink() -> Uplink:
            return Uplink(
                lambda: self.b.dial(endpoint, host, ServerKey(public=mesh.public)),
                lambda: tuple(self.running),
                lambda name, why: self.ended.append(name),
                lambda: tuple(self.rows),
                lambda: self.n_reports,
                self.life,
            )

        self.begin = lambda name="uplink": self.b.start_actor(name, uplink)
        self.uplink = await self.begin()
        await self.joined()

    async def die(self, *, life: str, pid: int) -> None:
        """Let host B be killed, and its door with all that it keeps, and be back in another life."""
        for name in ("uplink", "door.cpu0"):
            killed: Any = self.b.cells[name].life
            await killed.kill()
            await killed.wait()
        self.life, self.running[:] = life, [("executor.cpu0", pid)]
        await eventually(lambda: self.nodes.node("hostb").link is None, what="the end of its connection")
        await self.b.start_actor("door.cpu0", lambda: ExecutorDoor("executor.cpu0"))
        self.uplink = await self.begin()

    async def joined(self) -> None:
        await eventually(lambda: self.nodes.running() and self.appeared and THERE in self.a.cells, what="joining")
        # The desk knows it before its answer has come.
        await eventually(lambda: self.uplink.actor.statistics()["state"] == "joined as hostb", what="its answer")

    def become(self, *rows: ActorRow) -> None:
        """Let something happen to the children of host B."""
        self.rows[1:] = rows
        self.n_reports += 1

    def cut(self) -> None:
        """Let the link break, as a partition does once it is noticed."""
        node = self.nodes.node("hostb")
        assert node.link is not None
        self.a.hang_up(node.link, "cut")


@asynccontextmanager
async def hosts(data: Path, *, grace_s: float = 30.0) -> AsyncIterator[Hosts]:
    made = Hosts(data)
    try:
        await made.start(grace_s=grace_s)
        yield made
    finally:
        made.executor.may_end.set()
        for node in (made.b, made.a):
            for cell in node.cells.values():
                life: Any = cell.life
                if life is not None:
                    await life.kill()
                    await life.wait()
        await made.b.close()
        await made.a.close()
