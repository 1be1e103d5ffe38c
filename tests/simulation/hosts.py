"""Jobs on executors of other hosts: the real join desk, uplinks and doors under breaks, deaths and second lives."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from analysis import ATTEMPTS, FAULTS_S, FOLDER, QUICK, Lab, ObservedLink, Plates, SmallScheduler, given_back
from death_watch import DeathWatch
from memory_wire import Faults, MemoryListener
from simulated_host import EXECUTOR, Host
from simulated_hub import Hub
from virtual_world import Process, Violation, World

from hcs_mesh.actors.analysis import executor_door, remote_executor, well_runs
from hcs_mesh.actors.analysis.executors_elsewhere import ExecutorsElsewhere
from hcs_mesh.actors.nodes.join_desk import JoinDesk
from hcs_mesh.actors.nodes.joined_nodes import JoinedNodes, name_elsewhere
from hcs_mesh.actors.threads import Threads
from hcs_mesh.mesh_node import MeshNode
from hcs_mesh.messages.compute import RunWell
from hcs_mesh.supervisors import Supervisor
from hcs_mesh.transport import Link, PeerGone, Principal

HOSTS = ("hosta", "hostb")
NODE = Principal(name="node", role="node")
SILENCE_S = 1.0
GRACE_S = 3.0
HANGS_S = 20.0
"""A well that hangs is given up after so long."""
GIVEN_BACK_S = 12.0
"""After a cancellation, once there are no more faults; less than a hanging well takes to be given up."""
TOLD_S = 15.0
"""Within which, once there are no more faults, the mesh knows how all the hosts stand."""
LET_GO_S = 0.5
"""Within which an actor lets go of what nobody waits for."""


class Asked(NamedTuple):
    """A well that a host was asked for: in which of its lives, and what came of it."""

    life: str
    answer: asyncio.Future[Any]


class Hosts(Lab):
    """One schedule."""

    commit_grace_s = 0.5
    cancels = 0.5
    hangs = 0.03
    n_troubles = 7

    def __init__(self, world: World, data: Path) -> None:
        self.gate: MemoryListener | None = None
        """Where other hosts dial in."""
        self.homes: dict[int, Host] = {}
        self.scheduler: SmallScheduler | None = None
        self.asked: dict[tuple[str, str, int], Asked] = {}
        self.newest: dict[tuple[str, str], tuple[int, float]] = {}
        """The latest attempt at each well, and since when there is one."""
        self._data = data
        super().__init__(world)
        # Each executor is beside its door, and what comes twice comes so from the mesh.
        self.joined, self.executor_faults = False, Faults(slowest_s=0.02)
        # A well that takes a whole host down, and not its executor alone.
        self.takes_hosts = world.random.random() < 0.7
        self.away_s = world.random.choice((0.05, 0.3, 2.5, GRACE_S + 3.0))
        """How long a host that dies is away."""
        self.hosts = [Host(self, name) for name in HOSTS]
        self.watch = DeathWatch(world, self.hosts)

    # -- the mesh's own side ----------------------------------------------------------------------

    def _node(self) -> MeshNode:
        return MeshNode("hub", JoinedNodes())

    def _link(self, *arguments: Any, **named: Any) -> Link:
        link = ObservedLink(*arguments, **named)
        link.on_run = partial(self._is_asked, link)
        return link

    def _tree(self, hub: Hub) -> Supervisor:
        # As in mesh/tree.py.
        node, watch = hub.node, hub.supervision.watch
        assert isinstance(node, MeshNode)
        joined = node.joined
        self.gate = MemoryListener(self.world, hub.process, node._deliver, principal=NODE, make_link=self._link)
        node.fronts.append(self.gate)  # type: ignore[arg-type]
        elsewhere = ExecutorsElsewhere(node, watch(Supervisor("executors elsewhere", on_exhausted="quarantine")))

        def scheduling() -> SmallScheduler:
            self.scheduler = SmallScheduler(
                self.repository,  # type: ignore[arg-type]
                FOLDER,
                attempts_per_well=ATTEMPTS,
                segment_bytes=4096,
                running_executors=joined.running,
                end_executor=joined.end,  # type: ignore[arg-type]
                disk=hub.disk,
                threads=Threads("scheduler", pool=self.world.pool(hub.process, 0.1)),
            )
            return self.scheduler

        def desk() -> JoinDesk:
            return JoinDesk(
                self._data, joined, hang_up=node.hang_up, appear=elsewhere.appear, silence_s=SILENCE_S, grace_s=GRACE_S
            )

        scheduler = node.actor("scheduler", scheduling, kind=SmallScheduler, backoff=QUICK, shutdown_s=5.0)
        analysis = watch(Supervisor("analysis", [elsewhere.supervisor, scheduler]))
        plates = node.actor("metadata", Plates, kind=Plates, backoff=QUICK)
        joining = watch(Supervisor("joining", [node.actor("nodes", desk, kind=JoinDesk, backoff=QUICK)]))
        self.watch.begin(hub, joined)
        return watch(Supervisor("top", [plates, analysis, joining], surroundings=hub.surroundings()))

    # -- what the world does, and what it sees ----------------------------------------------------

    def strike(self, process: Process) -> None:
        host = self.homes[process.pid]
        if self.takes_hosts and not host.process.dead:
            host.process.kill()
        process.kill()

    def _cancelled(self, job: str) -> None:
        super()._cancelled(job)
        healed_in_s = 0.0 if self.calm else FAULTS_S

        def look() -> None:
            scheduler = self.scheduler
            if scheduler is None or not self.hub.up:
                return
            for executor, at in scheduler._scheduling._executors.items():
                if at is not None and at[0] == job:
                    raise Violation(f"{executor} is still at well {at[1]} of {job}, which was cancelled long ago")

        self.world.later(healed_in_s + GIVEN_BACK_S, look)

    def _is_asked(self, link: Link, request: RunWell, answer: asyncio.Future[Any]) -> None:
        one = request.job, request.well, request.attempt
        life = link.name.rpartition(".")[0]
        self.world.note(f"{life} is asked for well {one}")
        before = self.asked.get(one)
        if before is not None and not given_back(before.answer):
            if before.life != life:
                raise Violation(f"attempt {one} is asked of two lives: {before.life} and {life}")
            if _answered(before.answer):
                raise Violation(f"attempt {one} was answered, and is asked for again")
        self.asked[one] = Asked(life, answer)
        newest, since = self.newest.setdefault(one[:2], (request.attempt, self.world.now))
        if request.attempt > newest:
            self.newest[one[:2]] = request.attempt, self.world.now
        elif request.attempt < newest and self.world.now > max(since, self.frozen_until) + LET_GO_S:
            raise Violation(f"attempt {one} is asked for again, and attempt {newest} is another one's by now")
        if (request.job, request.well) in self.repository.kept:
            raise Violation(f"well {request.well} of {request.job} is kept, and computed again")

    def _troubles(self) -> tuple[Callable[[], None], ...]:
        return (
            self._disturb,
            self._disturb,
            self._disturb,
            self._disturb,
            self._kill_host,
            self._kill_host,
            self._kill_executor,
            self._freeze,
            self._kill_scheduler,
            self._kill_desk,
            lambda: self.hub.restart("scheduler", "nodes", "joining", "analysis", "executors elsewhere"),
            lambda: self.hub.crash(power=True),
        )

    def _some_host(self) -> Host:
        return self.world.random.choice(self.hosts)

    def _kill_host(self) -> None:
        self._some_host().process.kill()

    def _kill_executor(self) -> None:
        for child in self._some_host().children.values():
            child.process.kill()

    def _kill_desk(self) -> None:
        cell = self.hub.node.cells.get("nodes") if self.hub.up else None
        if cell is not None and cell.life is not None:
            self.world.note("the desk is killed")
            self.hub.process.run(cell.life.kill())  # type: ignore[attr-defined]

    def _disturb(self) -> None:
        """A line stands still one way or both, and then goes on, or breaks."""
        host, chance = self._some_host(), self.world.random
        line = host.line
        if line is None or host.process.dead:
            return
        for_s = chance.random() * chance.choice((0.5, 3.0, 6.0))
        ways = chance.choice((("up",), ("down",), ("up", "down"), ()))
        self.world.note(f"the line of {host.name} stands still for {for_s:.1f} s: {ways}")
        for way in ways:
            line.stand_still(way, for_s)
        if not ways or chance.random() < 0.7:
            breaks_in_s = chance.random() * for_s
            host.lost_until = max(host.lost_until, self.world.now + chance.choice((breaks_in_s, for_s)))
            self.world.later(breaks_in_s if ways else 0.0, line.break_off)

    # -- what must hold ---------------------------------------------------------------------------

    def _rests(self) -> None:
        if not self.world.run_until(self._all_are_known, TOLD_S):
            raise Violation(self._unknown() or "the hub does not come up, although the faults are over")
        if not self.world.run_until(lambda: not self.watch.missed(), TOLD_S):
            raise Violation(f"a death is never heard of: {self.watch.missed()}")
        self.watch.end()
        for host in self.hosts:
            host.stop()

    def _all_are_known(self) -> bool:
        return self.hub.up and not self._unknown()

    def _unknown(self) -> str:
        """What the scheduler does not know of the executors, which are all idle."""
        assert self.scheduler is not None
        known = self.scheduler._scheduling._executors
        for host in self.hosts:
            name = name_elsewhere(EXECUTOR, host.name)
            if not host.up or not host.children:
                return f"{host.name} does not come up"
            if name not in known:
                return f"{name} is up, and the scheduler does not know it"
            if known[name] is not None:
                return f"{name} is never given back: it is at {known[name]}"
        return ""


def _answered(answer: asyncio.Future[Any]) -> bool:
    """Whether an answer has come, and not merely the end of a connection."""
    return answer.done() and not answer.cancelled() and not isinstance(answer.exception(), PeerGone)


def play(world: World) -> None:
    """Run one schedule.

    Raises:
        Violation: something that must hold does not.
    """
    modules: tuple[Any, ...] = (well_runs, remote_executor, executor_door)
    before = [module.WELL_TIMEOUT_S for module in modules]
    for module in modules:
        module.WELL_TIMEOUT_S = HANGS_S
    try:
        with tempfile.TemporaryDirectory() as data:
            Hosts(world, Path(data)).play()
    finally:
        for module, seconds in zip(modules, before, strict=True):
            module.WELL_TIMEOUT_S = seconds
