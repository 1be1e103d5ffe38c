"""Keeps children alive: performs, in tasks of its own, what the roster decides."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from .backoff import Backoff, delay_s
from .child import Child, Exit, Kind, Running, exit_of
from .errors import ChildStartFailed, DuplicateChild, NoSuchChild, SupervisorNotRunning, SupervisorRunning
from .intensity import RestartIntensity
from .reports import Occurrence, Reporter, State, SupervisionReport, TreeRow, tell
from .strategy import (
    Booted,
    GiveUp,
    Halted,
    Instruction,
    OnExhausted,
    Phase,
    Restart,
    Roster,
    Row,
    Start,
    Stop,
    Strategy,
    Wait,
)
from .surroundings import Surroundings

KILL_S = 5.0
"""How long a killed child may take to be gone before it is abandoned."""

_STATES: dict[Phase, State] = {
    Phase.WAITING: "starting",
    Phase.STARTING: "starting",
    Phase.RUNNING: "running",
    Phase.STOPPING: "stopping",
    Phase.BACKOFF: "backoff",
    Phase.FINISHED: "stopped",
    Phase.STOPPED: "stopped",
    Phase.QUARANTINED: "quarantined",
    Phase.FAILED: "failed",
}


class _Slot:
    """One child's specification beside what runs of it."""

    def __init__(self, spec: Child | Supervisor) -> None:
        self.spec = spec
        self.running: Running | None = None
        self.starting: asyncio.Task[None] | None = None
        self.timer: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        self.n_starts = 0
        self.n_restarts = 0
        self.last_error = ""
        self.start_error: Exception | None = None


class Supervisor:
    """Starts its children in order, restarts them by its strategy, stops them in reverse."""

    kind: Kind = "supervisor"

    def __init__(
        self,
        name: str,
        children: Iterable[Child | Supervisor] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: RestartIntensity | None = None,
        on_exhausted: OnExhausted | str = OnExhausted.ESCALATE,
        restart: Restart = Restart.PERMANENT,
        shutdown_s: float = math.inf,
        backoff: Backoff | None = None,
        surroundings: Surroundings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.name = name
        self.children = tuple(children)
        self.strategy = strategy
        self.intensity = intensity or RestartIntensity()
        self.on_exhausted = OnExhausted(on_exhausted)
        self.restart = restart
        self.shutdown_s = shutdown_s
        self.backoff = backoff or Backoff()
        self._surroundings = surroundings or Surroundings()
        if reporter is not None:
            self._surroundings = replace(self._surroundings, reporter=reporter)
        self._owns_surroundings = surroundings is not None or reporter is not None
        self._task: asyncio.Task[Exit] | None = None
        self._reset()

    def _reset(self) -> None:
        names = [child.name for child in self.children]
        for name in names:
            if names.count(name) > 1:
                raise DuplicateChild(f"supervisor {self.name} has two children named {name}.", hint="Rename one.")
        self._roster = Roster(self.strategy, self.intensity, self.on_exhausted)
        self._roster.rows.extend(Row(child.name, child.restart) for child in self.children)
        self._slots = {child.name: _Slot(child) for child in self.children}
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._dying = False
        self._gave_up = ""
        self._start_error: Exception | None = None

    @property
    def pid(self) -> int | None:
        """The process it lives in."""
        return os.getpid()

    @property
    def state(self) -> State:
        """Where the supervisor itself stands."""
        if self._task is None or self._task.done():
            return "failed" if self._gave_up else "stopped"
        if self._roster.quarantined:
            return "quarantined"
        if self._roster.halting:
            return "stopping"
        return "running" if self._roster.booted else "starting"

    async def start(self) -> Supervisor:
        """Start every child in order and return when all have been started.

        Raises:
            SupervisorRunning: it has been started and has not ended.
            ChildStartFailed: a child did not come up; those before it have been stopped again.
        """
        if self._task is not None and not self._task.done():
            raise SupervisorRunning(f"supervisor {self.name} is already running.")
        self._reset()
        self._up = asyncio.Event()
        self._over = asyncio.Event()
        # A task of its own: its scopes are opened and closed in it, whoever calls start and stop.
        self._task = asyncio.create_task(self._run(), name=f"supervisor {self.name}")
        try:
            await self._up.wait()
        except asyncio.CancelledError:
            await self.kill()
            raise
        if self._roster.booted:
            return self
        exit = await self.wait()
        if isinstance(self._start_error, ChildStartFailed):
            raise self._start_error  # It already names the child; each level need not add to it.
        hint = getattr(self._start_error, "hint", "")
        reason = f"{self._roster.culprit}: {self._start_error}" if self._start_error else exit.error or exit.reason
        raise ChildStartFailed(f"{self.name} did not start: {reason}", hint=hint) from self._start_error

    async def wait(self) -> Exit:
        """Return how it ended, once it has."""
        if self._task is None:
            return Exit(reason="shutdown")
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return Exit(reason="killed")
        error = self._task.exception()
        return exit_of(error) if error is not None else self._task.result()

    async def stop(self) -> None:
        """Stop the children in reverse order, each within its time, and return when all are gone."""
        if self._task is not None and not self._task.done():
            self._apply(self._roster.halt())
            await asyncio.wait([self._task])

    async def kill(self) -> None:
        """Kill every child at once and return when that is done."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the numbers of children and restarts, and the last error below."""
        slots = self._slots.values()
        errors = [slot.last_error for slot in slots if slot.last_error]
        return {
            "children": len(self._slots),
            "restarts": sum(slot.n_restarts for slot in slots),
            "last_error": self._gave_up or (errors[-1] if errors else ""),
        }

    async def start_child(self, child: Child | Supervisor) -> Running:
        """Add a child at run time and return it started.

        Raises:
            DuplicateChild: there is one of that name.
            ChildStartFailed: it did not come up, and has been forgotten.
            SupervisorNotRunning: this supervisor is not running.
        """
        self._require_running()
        if child.name in self._slots:
            raise DuplicateChild(f"{self.name} already has a child named {child.name}.", hint="Use restart_child.")
        slot = self._slots[child.name] = _Slot(child)
        self._apply(self._roster.add(child.name, child.restart))
        await self._until(lambda: slot.n_starts > 0 or child.name not in self._roster)
        return self._started(slot)

    async def restart_child(self, name: str) -> Running:
        """Stop the child of that name here or below, and return it started afresh.

        Raises:
            NoSuchChild: there is none of that name.
            ChildStartFailed: it did not come up again; its restarts go on.
            SupervisorNotRunning: this supervisor is not running.
        """
        owner = self._owner(name)
        slot = owner._slots[name]
        n_starts, slot.start_error = slot.n_starts, None
        owner._apply(owner._roster.recycle(name))
        down = (Phase.BACKOFF, Phase.FAILED, Phase.QUARANTINED, Phase.STOPPED)
        await owner._until(lambda: slot.n_starts > n_starts or owner._phase(name) in down)
        return owner._started(slot)

    async def stop_child(self, name: str, *, forget: bool = False) -> None:
        """Stop the child of that name here or below; it stays down until restart_child.

        Raises:
            NoSuchChild: there is none of that name.
            SupervisorNotRunning: this supervisor is not running.
        """
        owner = self._owner(name)
        owner._apply(owner._roster.stop(name, forget=forget))
        await owner._until(lambda: owner._phase(name) is not Phase.STOPPING)

    def child(self, name: str) -> Running | None:
        """Return what runs under that name here or below, or None while it is down.

        Raises:
            NoSuchChild: there is none of that name.
            SupervisorNotRunning: this supervisor is not running.
        """
        return self._owner(name)._slots[name].running

    def tree(self, parent: str = "", state: State | None = None, restarts: int = 0) -> tuple[TreeRow, ...]:
        """Return a row for itself and for everything below, in start order."""
        rows = [
            TreeRow(
                name=self.name,
                parent=parent,
                kind="supervisor",
                pid=self.pid,
                state=state or self.state,
                restarts=restarts,
                last_error=self._gave_up,
            )
        ]
        for name, slot in self._slots.items():
            phase = self._phase(name)
            state = "stopped" if self._task is None or phase is None else _STATES[phase]
            if isinstance(slot.spec, Supervisor):
                rows += slot.spec.tree(self.name, None if state == "running" else state, slot.n_restarts)
                continue
            statistics = slot.running.statistics() if slot.running else {}
            rows.append(
                TreeRow(
                    name=name,
                    parent=self.name,
                    kind=slot.spec.kind,
                    pid=slot.running.pid if slot.running else None,
                    state=state,
                    restarts=slot.n_restarts,
                    mailbox=int(statistics.get("mailbox", 0)),
                    last_error=str(statistics.get("last_error", "")) or slot.last_error,
                )
            )
        return tuple(rows)

    def _phase(self, name: str) -> Phase | None:
        return self._roster[name].phase if name in self._roster else None

    def _require_running(self) -> None:
        if self._task is None or self._task.done() or self._roster.leaving:
            raise SupervisorNotRunning(f"supervisor {self.name} is not running.")

    def _owner(self, name: str) -> Supervisor:
        self._require_running()
        owner = self._find(name)
        if owner is None:
            raise NoSuchChild(f"nothing named {name} is under {self.name}.", hint="`hcs-mesh ps` lists the names.")
        owner._require_running()
        return owner

    def _find(self, name: str) -> Supervisor | None:
        if name in self._slots:
            return self
        below = (slot.spec for slot in self._slots.values())
        found = (spec._find(name) for spec in below if isinstance(spec, Supervisor))
        return next((owner for owner in found if owner), None)

    def _started(self, slot: _Slot) -> Running:
        if slot.running is not None:
            return slot.running
        cause = slot.start_error
        hint = getattr(cause, "hint", "")
        raise ChildStartFailed(f"{slot.spec.name} did not start: {cause or 'it was stopped'}", hint=hint) from cause

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._require_running()
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((reached, waiter))
            await waiter

    def _wake(self) -> None:
        for reached, waiter in tuple(self._waiters):
            if waiter.done() or self._dying or reached():
                self._waiters.remove((reached, waiter))
                if not waiter.done():
                    waiter.set_result(None)

    async def _run(self) -> Exit:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    self._apply(self._roster.boot())
                    await self._over.wait()
                finally:
                    self._dying = True
        finally:
            self._dying = True
            try:
                await self._kill_all()
            finally:
                self._up.set()
                self._wake()
        if self._gave_up:
            return Exit(reason="failed", error=self._gave_up)
        return Exit(reason="shutdown")

    async def _kill_all(self) -> None:
        async def end(running: Running) -> None:
            await running.kill()
            await running.wait()

        alive = [slot.running for slot in self._slots.values() if slot.running]
        if alive:
            await asyncio.wait([asyncio.create_task(end(running)) for running in alive], timeout=KILL_S)

    def _apply(self, instructions: list[Instruction]) -> None:
        if self._dying:
            return
        for instruction in instructions:
            match instruction:
                case Start(name=name):
                    slot = self._slots[name]
                    slot.starting = self._tasks.create_task(self._start(slot))
                case Stop(name=name):
                    self._begin_stop(self._slots[name])
                case Wait(name=name, attempt=attempt):
                    slot = self._slots[name]
                    wait_s = delay_s(slot.spec.backoff, attempt, self.intensity, self._surroundings.chance())
                    slot.timer = self._tasks.create_task(self._wait(slot, wait_s))
                    self._report("restarting", slot, delay_s=wait_s)
                case GiveUp(name=name):
                    self._give_up(self._slots[name])
                case Booted():
                    self._up.set()
                case Halted():
                    self._over.set()
        for name, slot in tuple(self._slots.items()):
            phase = self._phase(name)
            if slot.timer is not None and phase is not Phase.BACKOFF:
                slot.timer.cancel()
                slot.timer = None
            if phase is None:
                del self._slots[name]
        self._wake()

    async def _wait(self, slot: _Slot, wait_s: float) -> None:
        await self._surroundings.sleep(wait_s)
        slot.timer = None
        self._apply(self._roster.waited(slot.spec.name))

    async def _start(self, slot: _Slot) -> None:
        name = slot.spec.name
        if isinstance(slot.spec, Supervisor) and not slot.spec._owns_surroundings:
            slot.spec._surroundings = self._surroundings
        try:
            running = await slot.spec.start()
        except Exception as error:
            slot.start_error = error
            if not self._roster.booted:
                self._start_error = error
            exit = exit_of(error)
            slot.last_error = exit.error
            self._report("start_failed", slot, exit)
            self._apply(self._roster.start_failed(name, self._surroundings.now_s()))
            return
        slot.running = running
        slot.ended = asyncio.Event()
        slot.n_restarts += slot.n_starts > 0
        slot.n_starts += 1
        self._report("started", slot)
        if not self._dying:
            self._tasks.create_task(self._watch(slot, running))
        self._apply(self._roster.started(name, self._surroundings.now_s()))

    async def _watch(self, slot: _Slot, running: Running) -> None:
        try:
            exit = await running.wait()
        except Exception as error:
            exit = exit_of(error)
        self._gone(slot, exit)

    def _gone(self, slot: _Slot, exit: Exit) -> None:
        if slot.ended.is_set():
            return
        name = slot.spec.name
        asked = self._roster[name].due is not None
        if not asked and exit.is_abnormal:
            slot.last_error = exit.error or exit.signal or exit.reason
        self._report("stopped" if asked else "failed" if exit.is_abnormal else "ended", slot, exit)
        slot.running = None
        slot.ended.set()
        self._apply(
            self._roster.ended(
                name,
                abnormal=exit.is_abnormal,
                counted=exit.blame == "child",
                excused=exit.blame == "nobody",
                now_s=self._surroundings.now_s(),
            )
        )

    def _begin_stop(self, slot: _Slot) -> None:
        if slot.running is not None:
            self._tasks.create_task(self._stop(slot, slot.running))
        elif slot.starting is not None:
            slot.starting.cancel()
            self._tasks.create_task(self._abort(slot, slot.starting))

    async def _abort(self, slot: _Slot, starting: asyncio.Task[None]) -> None:
        await asyncio.wait([starting])
        if slot.running is not None:
            await self._stop(slot, slot.running)  # It came up in the very moment.
        elif starting.cancelled():
            now_s = self._surroundings.now_s()
            self._apply(self._roster.ended(slot.spec.name, abnormal=False, now_s=now_s))

    async def _stop(self, slot: _Slot, running: Running) -> None:
        asking = self._tasks.create_task(self._ask_to_stop(running))
        if not await self._ends_within(slot, slot.spec.shutdown_s):
            error = f"did not end within {slot.spec.shutdown_s:g} s"
            self._report("killed", slot, Exit(reason="killed", error=error))
            await running.kill()
            if not await self._ends_within(slot, KILL_S):
                abandoned = Exit(reason="killed", error=f"still there {KILL_S:g} s after it was killed")
                self._report("abandoned", slot, abandoned)
                self._gone(slot, abandoned)
        asking.cancel()

    async def _ask_to_stop(self, running: Running) -> None:
        try:
            await running.stop()
        except Exception:
            await running.kill()  # One that cannot even be asked is not waited for.

    async def _ends_within(self, slot: _Slot, limit_s: float) -> bool:
        ended = asyncio.ensure_future(slot.ended.wait())
        racing: set[asyncio.Future[object]] = {ended}  # type: ignore[arg-type]
        if limit_s != math.inf:
            racing.add(asyncio.ensure_future(self._surroundings.sleep(limit_s)))  # type: ignore[arg-type]
        try:
            await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in racing:
                future.cancel()
        return slot.ended.is_set()

    def _give_up(self, slot: _Slot) -> None:
        limit = f"more than {self.intensity.max_restarts} restarts within {self.intensity.window_s:g} s"
        if slot.start_error is not None and not self._roster.booted and self._roster.leaving:
            limit = "it did not start"
        self._gave_up = f"gave up on {slot.spec.name}: {limit}; last error: {slot.last_error or 'none'}"
        quarantine = self.on_exhausted is OnExhausted.QUARANTINE
        self._report("quarantined" if quarantine else "gave_up", slot, Exit(reason="failed", error=self._gave_up))

    def _report(self, occurrence: Occurrence, slot: _Slot, exit: Exit | None = None, *, delay_s: float = 0.0) -> None:
        spec, running = slot.spec, slot.running
        report = SupervisionReport(
            occurrence=occurrence,
            supervisor=self.name,
            child=spec.name,
            kind=spec.kind,
            pid=running.pid if running is not None else None,
            reason=exit.reason if exit else "",
            error=exit.error if exit else "",
            traceback=exit.traceback if exit else "",
            blame=exit.blame if exit else "",
            restarts=slot.n_restarts,
            delay_s=delay_s,
            at_unix_s=self._surroundings.unix_s(),
        )
        tell(report, self._surroundings.reporter)
