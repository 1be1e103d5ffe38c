"""One run of a supervisor, from its start to its end: performs what the roster decides."""

import asyncio
import math
from collections.abc import Callable, Iterable

from .backoff import delay_s
from .child import Exit, Running, Specification, exit_of
from .reports import Occurrence, SupervisionReport, tell
from .roster import Roster, Row
from .slot import ChildLife, Slot
from .strategy import (
    Booted,
    GiveUp,
    Halted,
    Instruction,
    OnExhausted,
    Phase,
    Start,
    Stop,
    Wait,
)
from .surroundings import Surroundings

KILL_S = 10.0
"""How long a killed child may take to be gone before it is abandoned.

Longer than an actor has to lay down its work and for its ``ended``: none begins anew beside what keeps to its time.
"""


_DOWN = (None, Phase.FINISHED, Phase.STOPPED, Phase.QUARANTINED)
"""Where a child stays until somebody starts it again."""


class Shift:
    """The roster, the slots and the tasks of one run."""

    def __init__(self, name: str, roster: Roster, specs: Iterable[Specification], surroundings: Surroundings) -> None:
        self.name = name
        self.roster = roster
        self.slots = {spec.name: Slot(spec) for spec in specs}
        roster.rows.extend(Row(slot.spec.name, slot.spec.restart) for slot in self.slots.values())
        self.up = asyncio.Event()
        """Set once every child has been started, or the run has ended before."""
        self.gave_up = ""
        self.start_error: Exception | None = None
        self._surroundings = surroundings
        self._over = asyncio.Event()
        self._dying = False
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def phase(self, name: str) -> Phase | None:
        """Return where a child is in its life, or None if it has been forgotten."""
        return self.roster[name].phase if name in self.roster else None

    async def until(self, reached: Callable[[], bool]) -> bool:
        """Wait for a condition that the roster's changes may fulfil; False if the run ended first."""
        while not reached():
            if self._dying:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((reached, waiter))
            await waiter
        return True

    async def run(self) -> Exit:
        """Start the children, keep them alive until halted or given up, and say how it ended.

        Cancelling it kills every child.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    self.apply(self.roster.boot())
                    await self._over.wait()
                finally:
                    self._dying = True
        finally:
            self._dying = True
            try:
                await self._kill_all()
            finally:
                self.up.set()
                self._wake()
        if self.gave_up:
            return Exit(reason="failed", error=self.gave_up)
        return Exit(reason="shutdown")

    def _wake(self) -> None:
        for reached, waiter in tuple(self._waiters):
            if waiter.done() or self._dying or reached():
                self._waiters.remove((reached, waiter))
                if not waiter.done():
                    waiter.set_result(None)

    async def _kill_all(self) -> None:
        async def end(running: Running) -> None:
            await running.kill()
            await running.wait()

        alive = [slot.running for slot in self.slots.values() if slot.running]
        for slot in self.slots.values():
            slot.life = None
        if alive:
            await asyncio.wait([asyncio.create_task(end(running)) for running in alive], timeout=KILL_S)

    def apply(self, instructions: list[Instruction]) -> None:
        """Perform what the roster answered."""
        if self._dying:
            return
        for instruction in instructions:
            match instruction:
                case Start(name=name):
                    slot = self.slots[name]
                    slot.starting = self._tasks.create_task(self._start(slot))
                case Stop(name=name):
                    self._begin_stop(self.slots[name])
                case Wait(name=name, attempt=attempt):
                    slot = self.slots[name]
                    wait_s = delay_s(slot.spec.backoff, attempt, self.roster.intensity, self._surroundings.chance())
                    slot.timer = self._tasks.create_task(self._wait(slot, wait_s))
                    self._report("restarting", slot, delay_s=wait_s)
                case GiveUp(name=name):
                    self._give_up(self.slots[name])
                case Booted():
                    self.up.set()
                case Halted():
                    self._over.set()
        self._take_note()

    def _take_note(self) -> None:
        """Follow the phases: timers, who is told that something stays down, what is forgotten, who waits."""
        for name, slot in tuple(self.slots.items()):
            phase = self.phase(name)
            if phase in _DOWN and not self.roster.leaving:
                self._tell_given_up(slot)
            if slot.timer is not None and phase is not Phase.BACKOFF:
                slot.timer.cancel()
                slot.timer = None
            if phase is None:
                del self.slots[name]
        self._wake()

    def _tell_given_up(self, slot: Slot) -> None:
        """Whoever asks it, or anything below it, learns at once that it does not come back by itself."""
        if not slot.told_given_up:
            slot.told_given_up = True
            quarantined = self.roster.quarantined
            slot.spec.given_up(f"{self.name} was set aside: {self.gave_up}" if quarantined else "it was stopped")

    async def _wait(self, slot: Slot, wait_s: float) -> None:
        await self._surroundings.sleep(wait_s)
        slot.timer = None
        self.apply(self.roster.waited(slot.spec.name))

    async def _start(self, slot: Slot) -> ChildLife | None:
        name = slot.spec.name
        try:
            running = await slot.spec.start()
        except Exception as error:  # noqa: BLE001 - the supervisor: whatever a start fails with, it decides what follows
            slot.start_error = error
            if not self.roster.booted:
                self.start_error = error
            how = exit_of(error)
            slot.last_error = how.error
            self._report("start_failed", slot, how)
            self.apply(self.roster.start_failed(name, self._surroundings.now_s()))
            return None
        slot.life = life = ChildLife(running)
        slot.told_given_up = False
        slot.n_restarts += slot.n_starts > 0
        slot.n_starts += 1
        self._report("started", slot)
        if not self._dying:
            life.watching = self._tasks.create_task(self._watch(slot, life))
        self.apply(self.roster.started(name, self._surroundings.now_s()))
        return life

    async def _watch(self, slot: Slot, life: ChildLife) -> None:
        try:
            how = await life.running.wait()
        except Exception as error:  # noqa: BLE001 - the supervisor: an end that cannot be told is an abnormal end
            how = exit_of(error)
        self._gone(slot, life, how)

    def _gone(self, slot: Slot, life: ChildLife, how: Exit) -> None:
        if life.over.is_set():
            return
        name = slot.spec.name
        asked = self.roster[name].due is not None
        if not asked and how.is_abnormal:
            slot.last_error = how.error or how.signal or how.reason
        self._report("stopped" if asked else "failed" if how.is_abnormal else "ended", slot, how)
        slot.life = None
        life.over.set()
        self.apply(
            self.roster.ended(
                name,
                abnormal=how.is_abnormal,
                counted=how.blame == "child",
                excused=how.blame == "nobody",
                now_s=self._surroundings.now_s(),
            )
        )

    def _begin_stop(self, slot: Slot) -> None:
        if slot.life is not None:
            self._tasks.create_task(self._stop(slot, slot.life))
        elif slot.starting is not None:
            slot.starting.cancel()
            self._tasks.create_task(self._abort(slot, slot.starting))

    async def _abort(self, slot: Slot, starting: asyncio.Task[ChildLife | None]) -> None:
        await asyncio.wait([starting])
        if starting.cancelled():
            now_s = self._surroundings.now_s()
            self.apply(self.roster.ended(slot.spec.name, abnormal=False, now_s=now_s))
        elif (life := starting.result()) is not None:
            await self._stop(slot, life)  # It came up in the very moment.

    async def _stop(self, slot: Slot, life: ChildLife) -> None:
        """End this life, and only this: by the time its end is noticed here, the slot may hold the next one."""
        asking = self._tasks.create_task(self._ask_to_stop(life.running))
        if not await self._is_over_within(life, slot.spec.shutdown_s):
            error = f"did not end within {slot.spec.shutdown_s:g} s"
            self._report("killed", slot, Exit(reason="killed", error=error))
            await life.running.kill()
            if not await self._is_over_within(life, KILL_S):
                abandoned = Exit(reason="killed", error=f"still there {KILL_S:g} s after it was killed")
                self._report("abandoned", slot, abandoned)
                if life.watching is not None:
                    life.watching.cancel()
                self._gone(slot, life, abandoned)
        asking.cancel()

    async def _ask_to_stop(self, running: Running) -> None:
        try:
            await running.stop()
        except Exception:  # noqa: BLE001 - the supervisor: it must stop its children whatever they do
            await running.kill()  # One that cannot even be asked is not waited for.

    async def _is_over_within(self, life: ChildLife, limit_s: float) -> bool:
        over = asyncio.ensure_future(life.over.wait())
        racing: set[asyncio.Future[object]] = {over}  # type: ignore[arg-type]
        if limit_s != math.inf:
            racing.add(asyncio.ensure_future(self._surroundings.sleep(limit_s)))
        try:
            await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in racing:
                future.cancel()
        return life.over.is_set()

    def _give_up(self, slot: Slot) -> None:
        limit = f"more than {self.roster.intensity.max_restarts} restarts within {self.roster.intensity.window_s:g} s"
        if slot.start_error is not None and not self.roster.booted and self.roster.leaving:
            limit = "it did not start"
        self.gave_up = f"gave up on {slot.spec.name}: {limit}; last error: {slot.last_error or 'none'}"
        quarantine = self.roster.on_exhausted is OnExhausted.QUARANTINE
        self._report("quarantined" if quarantine else "gave_up", slot, Exit(reason="failed", error=self.gave_up))

    def _report(self, occurrence: Occurrence, slot: Slot, how: Exit | None = None, *, delay_s: float = 0.0) -> None:
        spec, running = slot.spec, slot.running
        report = SupervisionReport(
            occurrence=occurrence,
            supervisor=self.name,
            child=spec.name,
            kind=spec.kind,
            pid=running.pid if running is not None else None,
            reason=how.reason if how else "",
            error=how.error if how else "",
            traceback=how.traceback if how else "",
            blame=how.blame if how else "",
            restarts=slot.n_restarts,
            delay_s=delay_s,
            at_unix_s=self._surroundings.unix_s(),
        )
        tell(report, self._surroundings.reporter)
