"""What a supervisor does about its children: events in, instructions out (pure).

The roster knows no clock, no task and no process. The shell tells it what happened and performs
what it answers; stops run last to first, starts first to last, as in Erlang/OTP's supervisor.
"""

from collections import deque
from dataclasses import dataclass, field

from .intensity import RestartIntensity, grant
from .strategy import (
    ALIVE,
    Booted,
    GiveUp,
    Halted,
    Instruction,
    OnExhausted,
    Phase,
    Restart,
    Start,
    Stop,
    Strategy,
    Wait,
)


@dataclass(slots=True)
class Row:
    """One child as the roster sees it."""

    name: str
    restart: Restart
    phase: Phase = Phase.WAITING
    due: Phase | None = None
    """The phase to take once it has been stopped; set while it is alive and has to stop."""
    tried: bool = False
    tentative: bool = False
    forget: bool = False
    failures: int = 0
    started_s: float = 0.0


@dataclass(slots=True)
class Roster:
    """The children of one supervisor, in order."""

    strategy: Strategy
    intensity: RestartIntensity
    on_exhausted: OnExhausted = OnExhausted.ESCALATE
    rows: list[Row] = field(default_factory=list)
    booted: bool = False
    halting: bool = False
    """Everything is being stopped, in order."""
    leaving: bool = False
    """And it will not come back."""
    halted: bool = False
    culprit: str = ""
    restarts_s: deque[float] = field(default_factory=deque)

    def __getitem__(self, name: str) -> Row:
        """Return the row of a child.

        Raises:
            KeyError: there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        """Say whether there is a child of that name."""
        return any(row.name == name for row in self.rows)

    @property
    def quarantined(self) -> bool:
        """Whether the branch has been given up and stays down."""
        return any(Phase.QUARANTINED in (row.phase, row.due) for row in self.rows)

    def boot(self) -> list[Instruction]:
        """Begin to start the children, in order."""
        return self._settle()

    def add(self, name: str, restart: Restart) -> list[Instruction]:
        """Take in a child at run time; it is forgotten again if its first start fails."""
        self.rows.append(Row(name, restart, tentative=True))
        return self._settle()

    def started(self, name: str, now_s: float) -> list[Instruction]:
        """A child's start has returned."""
        row = self[name]
        row.tried, row.tentative, row.started_s = True, False, now_s
        if row.phase is Phase.STARTING:
            row.phase = Phase.RUNNING
        return self._settle()

    def start_failed(self, name: str, now_s: float) -> list[Instruction]:
        """A child's start has raised."""
        row = self[name]
        row.tried = True
        if row.due is not None:
            self._put_down(row)
        elif row.tentative or row.restart is Restart.TEMPORARY:
            self.rows.remove(row)
        elif not self.booted and self.on_exhausted is OnExhausted.ESCALATE:
            # A tree that cannot come up says so at once; retrying would only hide the reason.
            return [self._give_up(row), *self._settle()]
        else:
            return [self._fail(row, counted=True, excused=False, now_s=now_s), *self._settle()]
        return self._settle()

    def ended(
        self, name: str, *, abnormal: bool, counted: bool = True, excused: bool = False, now_s: float
    ) -> list[Instruction]:
        """A running or stopping child is gone.

        ``counted`` charges an unasked end to the intensity; ``excused`` restarts without a wait.
        """
        row = self[name]
        if row.due is not None or self.halting:
            self._put_down(row)
        elif row.restart is Restart.TEMPORARY:
            self.rows.remove(row)
        elif row.restart is Restart.TRANSIENT and not abnormal:
            row.phase = Phase.FINISHED
        else:
            if now_s - row.started_s > self.intensity.window_s:
                row.failures = 0
            return [self._fail(row, counted=counted, excused=excused, now_s=now_s), *self._settle()]
        return self._settle()

    def waited(self, name: str) -> list[Instruction]:
        """The wait before a child's restart is over."""
        row = self[name]
        if row.phase is Phase.BACKOFF:
            row.phase = Phase.WAITING
        return self._settle()

    def stop(self, name: str, *, forget: bool = False) -> list[Instruction]:
        """Somebody asks for this child to be stopped; it stays so until asked for."""
        row = self[name]
        row.forget = forget
        self._send_down(row, Phase.STOPPED)
        return self._settle()

    def recycle(self, name: str) -> list[Instruction]:
        """Somebody asks for this child to be started afresh, whatever it does now."""
        row = self[name]
        row.failures = 0
        self._send_down(row, Phase.WAITING)
        return self._settle()

    def halt(self) -> list[Instruction]:
        """Stop everything, last to first."""
        self.halting = self.leaving = True
        self._send_all_down(Phase.STOPPED)
        return self._settle()

    def _fail(self, row: Row, *, counted: bool, excused: bool, now_s: float) -> Instruction:
        if counted and not grant(self.restarts_s, self.intensity, now_s):
            return self._give_up(row)
        row.failures += not excused
        row.phase = Phase.BACKOFF
        for other in self._companions(row):
            if other.phase in ALIVE or other.phase is Phase.FINISHED:
                other.forget = other.forget or other.restart is Restart.TEMPORARY
                self._send_down(other, other.due or Phase.WAITING)
        return Wait(row.name, 0 if excused else row.failures)

    def _companions(self, row: Row) -> list[Row]:
        match self.strategy:
            case Strategy.ONE_FOR_ONE:
                return []
            case Strategy.ONE_FOR_ALL:
                return [other for other in self.rows if other is not row]
            case Strategy.REST_FOR_ONE:
                return self.rows[self.rows.index(row) + 1 :]

    def _give_up(self, row: Row) -> Instruction:
        self.halting, self.culprit = True, row.name
        self.restarts_s.clear()
        quarantine = self.on_exhausted is OnExhausted.QUARANTINE
        self.leaving = self.leaving or not quarantine
        row.phase = Phase.QUARANTINED if quarantine else Phase.FAILED
        self._send_all_down(Phase.QUARANTINED if quarantine else Phase.STOPPED)
        return GiveUp(row.name)

    def _send_all_down(self, due: Phase) -> None:
        for row in tuple(self.rows):
            if row.phase in ALIVE or row.phase in (Phase.WAITING, Phase.BACKOFF):
                self._send_down(row, due)

    def _send_down(self, row: Row, due: Phase) -> None:
        row.due = due
        if row.phase not in ALIVE:
            self._put_down(row)

    def _put_down(self, row: Row) -> None:
        row.phase, row.due = row.due or Phase.STOPPED, None
        if row.forget or (row.tentative and row.phase is not Phase.WAITING):
            self.rows.remove(row)

    def _settle(self) -> list[Instruction]:
        found: list[Instruction] = []
        ordered = self.halting or self.strategy is not Strategy.ONE_FOR_ONE
        for row in reversed(self.rows):
            if row.due is None:
                continue
            if row.phase is not Phase.STOPPING:
                row.phase = Phase.STOPPING
                found.append(Stop(row.name))
            if ordered:
                break  # Those before it are stopped once it has ended.
        if self.halting and not any(row.phase in ALIVE for row in self.rows):
            self.halting = False
            if self.leaving and not self.halted:
                self.halted = True
                found.append(Halted())
        for index, row in enumerate(self.rows):
            if row.phase is Phase.WAITING and not self.halting and self._may_start(index):
                row.phase = Phase.STARTING
                found.append(Start(row.name))
        if not self.booted and not self.leaving and not any(map(_untried, self.rows)):
            self.booted = True
            found.append(Booted())
        return found

    def _may_start(self, index: int) -> bool:
        if self.halted:
            return False
        if self.strategy is Strategy.ONE_FOR_ONE:
            return not any(map(_untried, self.rows[:index]))
        if any(row.due is not None for row in self.rows):
            return False
        if self.strategy is Strategy.ONE_FOR_ALL and any(row.phase is Phase.BACKOFF for row in self.rows):
            return False
        coming = (Phase.WAITING, Phase.STARTING, Phase.BACKOFF)
        return not any(row.phase in coming for row in self.rows[:index])


def _untried(row: Row) -> bool:
    return not row.tried and row.phase in (Phase.WAITING, Phase.STARTING)
