"""Keeps children alive: what an author of a tree, its parent and the console see of a supervisor."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .backoff import Backoff
from .child import Child, Exit, Kind, Running, exit_of
from .errors import ChildStartFailed, DuplicateChild, NoSuchChild, SupervisorNotRunning, SupervisorRunning
from .intensity import RestartIntensity
from .reports import Reporter, State, TreeRow
from .roster import Roster
from .shift import Shift
from .slot import Slot
from .strategy import OnExhausted, Phase, Restart, Strategy
from .surroundings import Surroundings
from .tree_rows import STATES, row


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
        self._inherits = surroundings is None and reporter is None
        self._task: asyncio.Task[Exit] | None = None
        self._shift = self._new_shift()

    @property
    def pid(self) -> int | None:
        """The process it lives in."""
        return os.getpid()

    @property
    def state(self) -> State:
        """Where the supervisor itself stands."""
        if self._task is None or self._task.done():
            return "failed" if self._shift.gave_up else "stopped"
        if self._shift.roster.quarantined:
            return "quarantined"
        if self._shift.roster.halting:
            return "stopping"
        return "running" if self._shift.roster.booted else "starting"

    async def start(self) -> Supervisor:
        """Start every child in order and return when all have been started.

        Raises:
            SupervisorRunning: it has been started and has not ended.
            ChildStartFailed: a child did not come up; those before it have been stopped again.
        """
        if self._task is not None and not self._task.done():
            raise SupervisorRunning(f"supervisor {self.name} is already running.")
        shift = self._shift = self._new_shift()
        # A task of its own: its scopes are opened and closed in it, whoever calls start and stop.
        self._task = asyncio.create_task(shift.run(), name=f"supervisor {self.name}")
        try:
            await shift.up.wait()
        except asyncio.CancelledError:
            await self.kill()
            raise
        if shift.roster.booted:
            return self
        how = await self.wait()
        cause = shift.start_error
        if isinstance(cause, ChildStartFailed) and cause.__cause__ is not None:
            raise cause  # It already names the child, and each level above need not add itself.
        if cause is None:
            raise ChildStartFailed(f"{self.name} did not start: {how.error or how.reason}")
        raise _not_started(shift.roster.culprit, cause) from cause

    async def wait(self) -> Exit:
        """Return how it ended, once it has."""
        if self._task is None:
            return Exit(reason="shutdown")
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return Exit(reason="killed", error=f"supervisor {self.name} was killed")
        error = self._task.exception()
        return exit_of(error) if error is not None else self._task.result()

    async def stop(self) -> None:
        """Stop the children in reverse order, each within its time, and return when all are gone."""
        if self._task is not None and not self._task.done():
            self._shift.apply(self._shift.roster.halt())
            await asyncio.wait([self._task])

    async def kill(self) -> None:
        """Kill every child at once and return when that is done."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the numbers of children and restarts, and why it gave up, if it did."""
        slots = self._shift.slots.values()
        n_restarts = sum(slot.n_restarts for slot in slots)
        return {"children": len(slots), "restarts": n_restarts, "last_error": self._shift.gave_up}

    async def start_child(self, child: Child | Supervisor) -> Running:
        """Add a child at run time and return it started.

        Raises:
            DuplicateChild: there is one of that name.
            ChildStartFailed: it did not come up, and has been forgotten.
            SupervisorNotRunning: this supervisor is not running.
        """
        self._require_running()
        shift = self._shift
        if child.name in shift.slots:
            raise DuplicateChild(f"{self.name} already has a child named {child.name}.", hint="Use restart_child.")
        self._hand_down(child)
        slot = shift.slots[child.name] = Slot(child)
        shift.apply(shift.roster.add(child.name, child.restart))
        await shift.until(lambda: slot.n_starts > 0 or child.name not in shift.roster)
        return self._started(slot)

    async def restart_child(self, name: str) -> Running:
        """Stop the child of that name here or below, and return it started afresh.

        Raises:
            NoSuchChild: there is none of that name.
            ChildStartFailed: it did not come up again; its restarts go on.
            SupervisorNotRunning: its supervisor is not running.
        """
        owner = self.owner(name)
        if owner is not self:
            return await owner.restart_child(name)
        shift = self._shift
        slot = shift.slots[name]
        n_starts, slot.start_error = slot.n_starts, None
        shift.apply(shift.roster.recycle(name))
        down = (None, Phase.BACKOFF, Phase.FAILED, Phase.QUARANTINED, Phase.STOPPED)
        # A start that was under way is cut short, and where it came up all the same it is not the one asked for.
        await shift.until(
            lambda: (slot.n_starts > n_starts and shift.phase(name) is Phase.RUNNING) or shift.phase(name) in down
        )
        started = self._started(slot)
        if not shift.roster.quarantined:
            shift.gave_up = ""
        return started

    async def stop_child(self, name: str, *, forget: bool = False) -> None:
        """Stop the child of that name here or below; it stays down until restart_child.

        Raises:
            NoSuchChild: there is none of that name.
            SupervisorNotRunning: its supervisor is not running.
        """
        owner = self.owner(name)
        if owner is not self:
            return await owner.stop_child(name, forget=forget)
        shift = self._shift
        shift.apply(shift.roster.stop(name, forget=forget))
        down = (None, Phase.STOPPED, Phase.QUARANTINED)
        await shift.until(lambda: shift.phase(name) in down)
        return None

    def child(self, name: str) -> Running | None:
        """Return what runs under that name here or below, or None while it is down.

        Raises:
            NoSuchChild: there is none of that name.
            SupervisorNotRunning: its supervisor is not running.
        """
        owner = self.owner(name)
        return self._shift.slots[name].running if owner is self else owner.child(name)

    def owner(self, name: str) -> Supervisor:
        """Return the supervisor, this one or one below, that has a child of that name.

        Raises:
            NoSuchChild: there is none of that name.
            SupervisorNotRunning: it is not running.
        """
        found = self.find(name)
        if found is None:
            raise NoSuchChild(f"nothing named {name} is under {self.name}.", hint="`hcs-mesh ps` lists the names.")
        if found is self:
            self._require_running()
            return self
        return found.owner(name)

    def find(self, name: str) -> Supervisor | None:
        """Return the supervisor, this one or one below, that has a child of that name, if any."""
        if name in self._shift.slots:
            return self
        below = (slot.spec for slot in self._shift.slots.values())
        found = (spec.find(name) for spec in below if isinstance(spec, Supervisor))
        return next((owner for owner in found if owner is not None), None)

    def tree(self) -> tuple[TreeRow, ...]:
        """Return a row for itself and for everything below, in start order."""
        return tuple(self.rows("", self.state, 0))

    def rows(self, parent: str, state: State, restarts: int) -> list[TreeRow]:
        """Return the tree's rows as seen by a parent that knows the state and the restarts."""
        last_error = self._shift.gave_up
        own = TreeRow(
            name=self.name,
            parent=parent,
            kind="supervisor",
            pid=self.pid,
            state=state,
            restarts=restarts,
            last_error=last_error,
        )
        rows = [own]
        for name, slot in self._shift.slots.items():
            phase = self._shift.phase(name)
            below = STATES[phase] if phase is not None else "stopped"
            if (self._task is None or self._task.done()) and below != "failed":
                below = "stopped"
            if isinstance(slot.spec, Supervisor):
                seen = slot.spec.state if below == "running" else below
                rows += slot.spec.rows(self.name, seen, slot.n_restarts)
            else:
                rows.append(row(self.name, slot, below))
        return rows

    def inherit(self, surroundings: Surroundings) -> None:
        """Take over the parent's clock and reporter, unless it was given its own."""
        if self._inherits:
            self._surroundings = surroundings

    def given_up(self, why: str) -> None:
        """Pass on to everything below why it stays down."""
        for slot in self._shift.slots.values():
            slot.spec.given_up(why)

    def _new_shift(self) -> Shift:
        names = [child.name for child in self.children]
        for child in self.children:
            if names.count(child.name) > 1:
                raise DuplicateChild(f"supervisor {self.name} has two children named {child.name}.", hint="Rename one.")
            self._hand_down(child)
        roster = Roster(self.strategy, self.intensity, self.on_exhausted)
        return Shift(self.name, roster, self.children, self._surroundings)

    def _hand_down(self, child: Child | Supervisor) -> None:
        if isinstance(child, Supervisor):
            child.inherit(self._surroundings)

    def _require_running(self) -> None:
        if self._task is None or self._task.done() or self._shift.roster.leaving:
            raise SupervisorNotRunning(f"supervisor {self.name} is not running.")

    def _started(self, slot: Slot) -> Running:
        if slot.running is not None:
            return slot.running
        raise _not_started(slot.spec.name, slot.start_error) from slot.start_error


def _not_started(name: str, cause: Exception | None) -> ChildStartFailed:
    why = str(cause) or type(cause).__name__ if cause is not None else "it was stopped"
    return ChildStartFailed(f"{name} did not start: {why}", hint=getattr(cause, "hint", ""))
