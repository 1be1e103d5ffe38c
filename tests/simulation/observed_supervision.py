"""What supervisors do, held against their own promises: restarts within the intensity, companions, order, one life."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from dataclasses import replace

from virtual_world import Violation, World

from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors import Child, Exit, OnExhausted, Running, Strategy, SupervisionReport, Supervisor

ENDS = ("failed", "ended", "stopped")
GIVES_UP = ("gave_up", "quarantined")


class ObservedSupervision:
    """Reads the reports of every supervisor in one life of a hub, and keeps its own account of them."""

    def __init__(self, world: World) -> None:
        self.leaving = False
        """The whole tree is being stopped."""
        self._world = world
        self._watched: dict[str, Supervisor] = {}
        self._parents: dict[str, str] = {}
        self._restarts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._charged: dict[tuple[str, str], bool] = {}
        self._begun: defaultdict[str, set[str]] = defaultdict(set)
        self._up: defaultdict[str, list[str]] = defaultdict(list)
        self._due: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._gave_up: set[str] = set()
        self._requested: Counter[str] = Counter()
        self._lives: dict[str, asyncio.Task[Exit]] = {}

    def watch(self, supervisor: Supervisor) -> Supervisor:
        """Be told of a supervisor before it starts."""
        self._watched[supervisor.name] = supervisor
        supervisor.children = tuple(
            child if isinstance(child, Supervisor) else self._alone(child) for child in supervisor.children
        )
        for name in self._children(supervisor.name):
            self._parents[name] = supervisor.name
        return supervisor

    async def restart(self, name: str) -> None:
        """Have somebody restart a child, who is told nothing but that it has begun or why not."""
        self._world.note(f"somebody restarts {name}")
        self._requested[name] += 1
        try:
            await self._watched["top"].restart_child(name)
        except MeshError as error:
            self._world.note(f"{name} is not restarted: {error}")
        finally:
            self._requested[name] -= 1

    def __call__(self, report: SupervisionReport) -> None:
        """Take in a report."""
        self._world.note(f"{report.supervisor}/{report.child} {report.occurrence} {report.error[:80]}")
        supervisor, child = report.supervisor, report.child
        if report.occurrence == "started":
            self._starts(supervisor, child)
        elif report.occurrence == "start_failed":
            self._charged[supervisor, child] = True
            self._begun.pop(child, None)
        elif report.occurrence in ENDS:
            if report.error.startswith("MailboxFull"):
                raise Violation(f"{child} dies of a full mailbox: {report.error}")
            self._charged[supervisor, child] = report.blame == "child"
            # One that fails or is killed while others are stopped before it has not been stopped itself.
            in_order = report.occurrence == "stopped" and report.reason == "shutdown"
            self._ends(supervisor, child, in_order=in_order)
        elif report.occurrence == "restarting":
            self._due[supervisor, child] = set(self._companions(supervisor, child))
            self._is_granted(supervisor, child)
        elif report.occurrence in GIVES_UP:
            self._is_exhausted(supervisor, child)
            self._gave_up.add(supervisor)
            # It begins to count anew for whoever asks it to start again.
            self._restarts.pop(supervisor, None)

    # -- one life per name ------------------------------------------------------------------------

    def _alone(self, child: Child) -> Child:
        async def start() -> Running:
            running = await child.start()
            before = self._lives.get(child.name)
            if before is not None and not before.done():
                raise Violation(f"two lives of {child.name} are running")
            self._lives[child.name] = asyncio.get_running_loop().create_task(_end_of(running))
            return running

        return replace(child, start=start)

    # -- companions, and order --------------------------------------------------------------------

    def _starts(self, supervisor: str, child: str) -> None:
        left = self._due.pop((supervisor, child), set())
        if left:
            raise Violation(
                f"{child} is started again while {', '.join(sorted(left))} of {supervisor} still runs, "
                f"which is {self._watched[supervisor].strategy}"
            )
        self._up[supervisor].append(child)
        self._begun[supervisor].add(child)

    def _ends(self, supervisor: str, child: str, *, in_order: bool) -> None:
        up = self._up[supervisor]
        if in_order and child in up and not self._requested[child]:
            order = self._children(supervisor)
            behind = [other for other in up if order.index(other) > order.index(child)]
            if behind:
                raise Violation(f"{child} of {supervisor} is stopped before {behind[-1]}, which was started after it")
            if not self._may_be_stopped(supervisor, child):
                raise Violation(f"{child} of {supervisor} is stopped, and nothing happened that asks for it")
        if child in up:
            up.remove(child)
        for left in self._due.values():
            left.discard(child)
        if child in self._watched:
            # A new run of a branch begins anew.
            self._restarts.pop(child, None)
            self._begun.pop(child, None)
            self._up.pop(child, None)
            self._gave_up.discard(child)
            for key in [key for key in self._due if key[0] == child]:
                del self._due[key]

    def _companions(self, supervisor: str, child: str) -> list[str]:
        order, up = self._children(supervisor), self._up[supervisor]
        match self._watched[supervisor].strategy:
            case Strategy.ONE_FOR_ONE:
                return []
            case Strategy.ONE_FOR_ALL:
                return [other for other in up if other != child]
            case Strategy.REST_FOR_ONE:
                return [other for other in up if order.index(other) > order.index(child)]

    def _may_be_stopped(self, supervisor: str, child: str) -> bool:
        # Also one whose start was under way when another failed, and that has come up since.
        if self.leaving or any(of == supervisor and child in self._companions(of, who) for of, who in self._due):
            return True
        above: str | None = supervisor
        while above is not None:
            if above in self._gave_up or self._requested[above]:
                return True
            above = self._parents.get(above)
        return False

    def _children(self, supervisor: str) -> list[str]:
        return [spec.name for spec in self._watched[supervisor].children]

    # -- the intensity ----------------------------------------------------------------------------

    def _is_granted(self, supervisor: str, child: str) -> None:
        n, limit = self._wanted(supervisor, child), self._watched[supervisor].intensity
        if n > limit.max_restarts:
            raise Violation(
                f"{supervisor} restarted {n} times within {limit.window_s:g} s, and {limit.max_restarts} are granted"
            )

    def _is_exhausted(self, supervisor: str, child: str) -> None:
        n, watched = self._wanted(supervisor, child), self._watched[supervisor]
        booted = self._begun[supervisor].issuperset(self._children(supervisor))
        if not booted and watched.on_exhausted is OnExhausted.ESCALATE:
            return  # A tree that cannot come up says so at once.
        limit = watched.intensity
        if n <= limit.max_restarts:
            raise Violation(
                f"{supervisor} gives up at {n} restarts within {limit.window_s:g} s, "
                f"and {limit.max_restarts} are granted"
            )

    def _wanted(self, supervisor: str, child: str) -> int:
        """How many restarts were wanted within the window, with this one."""
        restarts = self._restarts[supervisor]
        if self._charged.pop((supervisor, child), False):
            restarts.append(self._world.now)
        while restarts and self._world.now - restarts[0] > self._watched[supervisor].intensity.window_s:
            restarts.popleft()
        return len(restarts)


async def _end_of(running: Running) -> Exit:
    return await running.wait()
