"""The console desk: answers whoever looks inside, and restarts, pauses and resumes for those who may."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, assert_never

from ..config import get_logger
from ..messages.console import (
    ActorDetail,
    GetTrace,
    Hop,
    InspectActor,
    PauseActor,
    RestartActor,
    ResumeActor,
    TailJournal,
    TailLog,
    WhoAmI,
)
from ..supervisors import Actor
from .log_tail import read_journal, read_logs
from .threads import Threads

log = get_logger(__name__)

Inbox = WhoAmI | InspectActor | TailLog | TailJournal | GetTrace | RestartActor | PauseActor | ResumeActor


class Inside(Protocol):
    """What the desk can do with the mesh that it belongs to."""

    def detail(self, actor: str) -> ActorDetail:
        """Everything that is known of one name.

        Raises:
            NoSuchChild: there is none of that name.
        """
        ...

    def logs_of(self, actor: str) -> tuple[tuple[Path, str], ...]:
        """The log files in which a name's lines are, its own first, and the name that picks them out, or nothing.

        Raises:
            NoSuchChild: there is none of that name.
        """
        ...

    def journal(self, name: str) -> Path:
        """The folder of a journal.

        Raises:
            NoSuchJournal: there is none of that name.
        """
        ...

    async def hops(self, trace: str) -> tuple[Hop, ...]:
        """What every process knows of a trace."""
        ...

    def latest_traces(self, n: int) -> tuple[Hop, ...]:
        """The first hop of each of the latest traces."""
        ...

    async def restart(self, actor: str) -> None:
        """Stop one and start it afresh.

        Raises:
            NoSuchChild: there is none of that name.
            ChildStartFailed: it did not come up again.
        """
        ...

    async def set_paused(self, actor: str, *, paused: bool) -> None:
        """Pause or resume one.

        Raises:
            NoSuchChild, ActorUnknown: there is none of that name.
            CannotPause: it is a supervisor, or this desk.
        """
        ...


class ConsoleDesk(Actor[Inbox]):
    """Shows the inside of the mesh; what it changes, it logs with the name of who asked."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._threads = Threads("console", n_threads=2)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        inside = self._inside
        match message:
            case WhoAmI():
                return self.context.principal
            case InspectActor(actor=actor):
                return inside.detail(actor)
            case TailLog(actor=actor, n_lines=n_lines, since=since):
                logs = inside.logs_of(actor)
                return self.defer(self._threads.run(lambda: read_logs(logs, n_lines=n_lines, since=since)))
            case TailJournal(journal=journal, n_records=n_records):
                folder = inside.journal(journal)
                return self.defer(self._threads.run(lambda: read_journal(folder, n_records=n_records)))
            case GetTrace(trace=trace, n_latest=n_latest):
                return self.defer(self._trace(trace)) if trace else inside.latest_traces(n_latest)
            case RestartActor(actor=actor):
                self._note("restart", actor)
                return self.defer(inside.restart(actor))
            case PauseActor(actor=actor):
                self._note("pause", actor)
                return self.defer(inside.set_paused(actor, paused=True))
            case ResumeActor(actor=actor):
                self._note("resume", actor)
                return self.defer(inside.set_paused(actor, paused=False))
            case _:
                assert_never(message)

    async def _trace(self, trace: str) -> tuple[Hop, ...]:
        for first in self._inside.latest_traces(1_000):
            if first.message == trace:
                return await self._inside.hops(first.trace)
        return await self._inside.hops(trace)

    def _note(self, what: str, actor: str) -> None:
        log.warning("asked from outside", what=what, child=actor, by=self.context.principal.name)
