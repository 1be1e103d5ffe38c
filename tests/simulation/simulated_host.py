"""Another host as a node of the mesh, in a virtual world: its tree, its executors, and its line to the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analysis import QUICK, SimulatedChild
from memory_wire import Faults, MemoryDialer, MemoryListener
from observed_supervision import ObservedSupervision
from simulated_hub import unfinished
from virtual_world import Process, Violation, World

from hcs_mesh.actors.analysis.executor_door import ExecutorDoor
from hcs_mesh.actors.nodes.joined_nodes import UPLINK, door_of
from hcs_mesh.actors.nodes.uplink import Uplink
from hcs_mesh.config.errors import MeshError
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.supervisors import (
    Child,
    Node,
    OnExhausted,
    RestartIntensity,
    SupervisionReport,
    Supervisor,
    Surroundings,
)
from hcs_mesh.transport.deliveries import Deliver

if TYPE_CHECKING:
    from hosts import Hosts

EXECUTOR = "executor.0"


class HostLine(MemoryDialer):
    """A connection between hosts: it may stand still one way, and each side learns of its break by itself.

    As under a key each connection has a name of its own, so that who dials again is somebody new.
    """

    def __init__(
        self, host: Host, process: Process, find: Callable[[], MemoryListener | None], deliver: Deliver
    ) -> None:
        self._host = host
        super().__init__(host.world, process, host.next_line(), find, deliver, Faults(), key=host.name)
        process.on_death.append(self._ends_with_its_process)

    def stand_still(self, way: str, for_s: float) -> None:
        """Hold back what is said this way; it arrives later, unless the connection breaks."""
        self._last[way] = max(self._last[way], self.world.now + for_s)

    def break_off(self) -> None:
        listener, name = self.listener, self.name
        super().break_off()
        if self.listener is None and listener is not None:
            self._is_missed(listener, name)
            self.name = self._host.next_line()

    def _ends_with_its_process(self) -> None:
        if self.listener is not None:
            self._is_missed(self.listener, self.name)

    def _is_missed(self, listener: MemoryListener, name: str) -> None:
        """The mesh hears no more over it, and learns it soon, or not before it has waited in vain."""
        listener.dialers.pop(name, None)
        link = listener.links.get(name)
        if link is not None:
            late_s = self.world.random.choice((0.01, 0.5, 10.0))
            listener.process.call_later(late_s, lambda: listener.forget(link, "the connection broke"))


class HostChild(SimulatedChild):
    """An executor's process on another host, where every life of the host counts its processes from the same number."""

    def __init__(self, lab: Hosts, host: Host, name: str) -> None:
        super().__init__(lab, host, name)
        self._pid = host.next_pid()
        lab.homes[self.process.pid] = host

    @property
    def pid(self) -> int:
        return self._pid


class Host:
    """A machine with an executor that joins the mesh, dies, and comes back in another life."""

    def __init__(self, lab: Hosts, name: str) -> None:
        self.world: World = lab.world
        self.name = name
        self.n_lives = 0
        self.leaving = False
        self.lost_until = 0.0
        """Until then nobody on it reaches the mesh."""
        self.process: Process
        self.node: Node
        self.inner: MemoryListener
        self.top: Supervisor | None = None
        self.children: dict[str, SimulatedChild] = {}
        self.line: HostLine | None = None
        self.supervision: ObservedSupervision
        self._lab = lab
        self._n_lines = self._n_pids = self._n_reports = 0
        self.begin()

    @property
    def life(self) -> str:
        return f"{self.name}.{self.n_lives}"

    @property
    def up(self) -> bool:
        return not self.process.dead and self.top is not None and self.top.state == "running"

    def next_line(self) -> str:
        self._n_lines += 1
        return f"{self.life}.{self._n_lines}"

    def next_pid(self) -> int:
        self._n_pids += 1
        return 6 + self._n_pids

    def begin(self) -> None:
        """Start the machine anew: it keeps nothing of the life before."""
        self.n_lives += 1
        self._n_lines = self._n_pids = self._n_reports = 0
        self.top, self.line, self.children = None, None, {}
        self.process = self.world.process(self.life)
        self.process.on_death.append(self._again)
        self.process.run(self._live(self.process))

    def stop(self, *, within_s: float = 60.0) -> None:
        """Stop in order, and see that nothing is left over."""
        self.leaving = self.supervision.leaving = True

        async def leave() -> None:
            assert self.top is not None
            await self.top.stop()
            await self.node.close()

        leaving = self.process.run(leave())
        if not self.world.run_until(leaving.done, within_s):
            raise Violation(f"{self.name} has not stopped after {within_s:g} s: {unfinished(self.process)}")
        leaving.result()

    def _again(self) -> None:
        if not self.leaving:
            self.world.later(self._lab.away_s, self.begin)

    async def _live(self, process: Process) -> None:
        self.node = node = Node("hub")
        self.inner = MemoryListener(self.world, process, node._deliver)
        node.inner = self.inner  # type: ignore[assignment]
        self.supervision = ObservedSupervision(self.world)
        self.top = self._tree(node, process)
        try:
            await self.top.start()
        except MeshError as error:
            self.world.note(f"{self.name} does not start: {error}")
            process.kill()
            return
        ended = await self.top.wait()
        if not self.leaving:
            self.world.note(f"{self.name} ends: {ended.error}")
            process.kill()

    def _tree(self, node: Node, process: Process) -> Supervisor:
        # As ``JoinedNode`` in mesh/joined_node.py plants it.
        watch, life = self.supervision.watch, self.life

        def uplink() -> Uplink:
            return Uplink(
                lambda: self._dial(node, process),  # type: ignore[arg-type,return-value]
                lambda: tuple((name, child.pid) for name, child in self.children.items()),
                self._end,
                self.rows,
                lambda: self._n_reports,
                life,
            )

        executors = watch(
            Supervisor(
                "executors",
                [Child(EXECUTOR, self._start, kind="process", backoff=QUICK, shutdown_s=3.0)],
                intensity=RestartIntensity(max_restarts=20, window_s=10.0),
                on_exhausted=OnExhausted.QUARANTINE,
            )
        )
        door = node.actor(door_of(EXECUTOR), lambda: ExecutorDoor(EXECUTOR), kind=ExecutorDoor, backoff=QUICK)
        joining = node.actor(UPLINK, uplink, kind=Uplink, backoff=QUICK)
        surroundings = Surroundings(
            now_s=process.time,
            sleep=asyncio.sleep,
            chance=self.world.random.random,
            unix_s=self.world.unix_s,
            reporter=self._hear,
        )
        return watch(Supervisor("node", [executors, door, joining], surroundings=surroundings))

    def _hear(self, report: SupervisionReport) -> None:
        self._n_reports += 1
        self.supervision(report)

    def _dial(self, node: Node, process: Process) -> HostLine:
        self.line = line = HostLine(self, process, self._find, node._deliver)
        return line

    def _find(self) -> MemoryListener | None:
        return self._lab.gate if self.world.now >= self.lost_until else None

    def rows(self) -> tuple[ActorRow, ...]:
        assert self.top is not None
        return tuple(
            ActorRow(
                name=row.name,
                parent=row.parent,
                kind=row.kind,
                pid=row.pid if row.kind == "process" else None,
                state=row.state,
                restarts=row.restarts,
                last_error=row.last_error,
            )
            for row in self.top.tree()
        )

    async def _start(self) -> SimulatedChild:
        # As ``Processes`` in mesh/processes.py does it, but for the operating system's part.
        node, process = self.node, asyncio.get_running_loop()
        expected = node.expect(EXECUTOR)
        child = HostChild(self._lab, self, EXECUTOR)
        try:
            hello = asyncio.ensure_future(expected)
            await asyncio.wait([hello, child.exit], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            child.process.kill()
            raise
        if child.exit.done():
            raise RuntimeError("it ended before it was ready")
        self.children[EXECUTOR] = child

        async def watch() -> None:
            await child.wait()
            if self.children.get(EXECUTOR) is child:
                del self.children[EXECUTOR]
            node.peer_died(EXECUTOR, "it is gone")

        process.create_task(watch())
        return child

    def _end(self, name: str, why: str) -> None:
        child: Any = self.children.get(name)
        if child is not None:
            self.world.note(f"{name} of {self.name} is ended: {why}")
            child.charge("nobody")
            self.process.create_task(child.kill())
