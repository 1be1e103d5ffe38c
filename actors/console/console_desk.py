"""The console desk: answers whoever looks inside, and restarts, pauses and resumes for those who may."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, assert_never

from msgspec.structs import replace

from ...messages.audit import Act
from ...messages.console import (
    RESTART_S,
    ActorDetail,
    GetTrace,
    Hop,
    InspectActor,
    ListJournals,
    PauseActor,
    RestartActor,
    ResumeActor,
    TailJournal,
    TailLog,
    WhoAmI,
)
from ...supervisors import Actor
from ...transport import ASK_TIMEOUT_S, AskTimedOut, Link, Principal, Request
from ..errors import NotAllowed
from ..nodes.joined_nodes import UPLINK, RemoteNode
from ..nodes.tree_elsewhere import detail_elsewhere
from ..ownership import is_administrator
from ..threads import Threads
from .audit_trail import Asking, AuditTrail
from .log_tail import read_journal, read_logs

Inbox = (
    WhoAmI | InspectActor | TailLog | ListJournals | TailJournal | GetTrace | RestartActor | PauseActor | ResumeActor
)


Look = InspectActor | TailLog
Change = RestartActor | PauseActor | ResumeActor
OwnMessage = Look | Change
"""What is about one name, and answered by the desk of the host that has it."""
DESK = "console"
REJOIN_S = 30.0
"""How long a host whose uplink was restarted may be away: less than who asked for it waits, who is told then."""
_ACTS: dict[type[Change], Act] = {RestartActor: "restart", PauseActor: "pause", ResumeActor: "resume"}


class OtherDesk(NamedTuple):
    """The desk of a joined host, for one name."""

    link: Link
    node: RemoteNode
    actor: str
    """The name there."""


class Inside(Protocol):
    """What the desk can do with the mesh that it belongs to."""

    def elsewhere(self, actor: str) -> OtherDesk | None:
        """The desk that has to do with a name of a joined host; None for a name of this one.

        Raises:
            ActorUnknown: the host is away.
        """
        ...

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

    def journals(self) -> tuple[str, ...]:
        """The names of the journals that are kept.

        Raises:
            JournalsUnreadable: their folder cannot be looked into.
        """
        ...

    def journal(self, name: str) -> Path:
        """The folder of a journal.

        Raises:
            NoSuchJournal: there is none of that name.
            JournalsUnreadable: their folder cannot be looked into.
        """
        ...

    async def hops(self, trace: str) -> tuple[Hop, ...]:
        """What every process knows of a trace."""
        ...

    def latest_traces(self, n: int) -> tuple[Hop, ...]:
        """The first hop of each of the latest traces."""
        ...

    def answers_first(self, actor: str) -> bool:
        """Whether the answer to whoever has it restarted would not arrive after the restart."""
        ...

    async def restart(self, actor: str) -> None:
        """Stop one and start it afresh.

        Raises:
            NoSuchChild: there is none of that name.
            CannotRestart: it is the root of the tree.
            ChildStartFailed: it did not come up again.
        """
        ...

    async def set_paused(self, actor: str, *, paused: bool) -> None:
        """Pause or resume one.

        Raises:
            NoSuchChild, ActorUnknown: there is none of that name.
            CannotPause: it is a supervisor, or its pause would lock everybody out.
        """
        ...


class ConsoleDesk(Actor[Inbox]):
    """Shows the inside of the mesh; what it changes stands in the audit trail with the name of who asked."""

    def __init__(self, inside: Inside, *, is_private: bool = False, trail: AuditTrail | None = None) -> None:
        """Show ``inside``; where plates are private, logs and journals to administrators alone."""
        self._inside = inside
        self._trail = trail or AuditTrail()
        self._is_private = is_private
        self._threads = Threads("console", n_threads=2)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        inside = self._inside
        if isinstance(message, TailLog | TailJournal):
            self._insist_told(self.context.principal)
        match message:
            case WhoAmI():
                return self.context.principal
            case InspectActor() | TailLog():
                there = inside.elsewhere(message.actor)
                return self._look(message) if there is None else self.defer(self._there(message, there))
            case RestartActor() | PauseActor() | ResumeActor():
                # A host that has joined knows the mesh, not who asked it: this is where it is kept.
                asking = Asking(self.context.principal, _ACTS[type(message)], message.actor)
                answers_first = isinstance(message, RestartActor) and inside.answers_first(message.actor)
                return self.defer(self._trail.over(asking, partial(self._change, message), answers_first=answers_first))
            case ListJournals():
                return inside.journals()
            case TailJournal(journal=journal, n_records=n_records):
                folder = inside.journal(journal)
                return self.defer(self._threads.run(lambda: read_journal(folder, n_records=n_records)))
            case GetTrace(trace=trace, n_latest=n_latest):
                return self.defer(self._trace(trace)) if trace else inside.latest_traces(n_latest)
            case _:
                assert_never(message)

    def _look(self, message: Look) -> Any:
        inside = self._inside
        match message:
            case InspectActor(actor=actor):
                return inside.detail(actor)
            case TailLog(actor=actor, n_lines=n_lines, since=since):
                logs = inside.logs_of(actor)
                return self.defer(self._threads.run(lambda: read_logs(logs, n_lines=n_lines, since=since)))
            case _:
                assert_never(message)

    async def _change(self, message: Change) -> None:
        inside = self._inside
        there = inside.elsewhere(message.actor)
        if there is not None:
            await self._there(message, there)
            if isinstance(message, RestartActor) and there.actor == UPLINK:
                await _joined_anew(there)
            return
        match message:
            case RestartActor(actor=actor):
                await inside.restart(actor)
            case PauseActor(actor=actor):
                await inside.set_paused(actor, paused=True)
            case ResumeActor(actor=actor):
                await inside.set_paused(actor, paused=False)
            case _:
                assert_never(message)

    async def _there(self, message: OwnMessage, there: OtherDesk) -> Any:
        request: Request[Any] = replace(message, actor=there.actor)
        timeout_s = RESTART_S if isinstance(message, RestartActor) else ASK_TIMEOUT_S
        told = await there.link.ask(DESK, request, timeout_s=timeout_s)
        return detail_elsewhere(told, there.node.name) if isinstance(message, InspectActor) else told

    async def _trace(self, trace: str) -> tuple[Hop, ...]:
        for first in self._inside.latest_traces(1_000):
            if first.message == trace:
                return await self._inside.hops(first.trace)
        return await self._inside.hops(trace)

    def _insist_told(self, asker: Principal) -> None:
        if self._is_private and not is_administrator(asker):
            raise NotAllowed(
                f"{asker.name} may not read logs and journals: they tell of everybody's plates, and these are private",
                hint="ask an administrator; hcs-mesh jobs and imports tell of the own ones",
            )


async def _joined_anew(there: OtherDesk) -> None:
    """Wait for a host that leaves the mesh as its uplink is restarted, and has answered before it does.

    Raises:
        AskTimedOut: it has not joined anew in time.
    """
    try:
        async with asyncio.timeout(REJOIN_S):
            await there.node.joined_anew(there.link)
    except TimeoutError as error:
        raise AskTimedOut(
            f"{there.node.name} has not joined anew within {REJOIN_S:g} s of the restart of its {UPLINK}",
            hint="hcs-mesh ps shows whether it is away; hcs-mesh status on that host says why",
        ) from error
