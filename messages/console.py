"""The conversation with whoever looks inside: one actor in full, its log, journals, traces; restart, pause, resume."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..transport.messages import Principal, Request, Role
from .control import ActorRow

RESTART_S = 180.0
"""How long a restart may take: what stops in order is given its time, and a process has to come up."""


class Statistic(msgspec.Struct, frozen=True):
    """One count or measure under its name, as ``statistics()`` gave it."""

    name: str
    value: int | float | str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One start, end, restart or giving up of a child, as its supervisor reported it; or a fault that it outlived."""

    at_unix_s: float
    occurrence: str
    child: str
    supervisor: str
    reason: str = ""
    error: str = ""
    traceback: str = ""


class ActorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one actor, process or supervisor; incidents oldest first."""

    row: ActorRow
    statistics: tuple[Statistic, ...] = ()
    incidents: tuple[Incident, ...] = ()

    @property
    def untold_error(self) -> str:
        """The last error where no incident tells it, as of a process's deferred work; else empty."""
        return "" if self.row.last_error in {one.error for one in self.incidents} else self.row.last_error


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a log; ``text`` is the event with its fields, and the traceback where there is one."""

    at: str = ""
    level: str = ""
    source: str = ""
    text: str = ""


class LogTail(msgspec.Struct, frozen=True, kw_only=True):
    """The last lines of a log; asking again with ``end`` as ``since`` gives what came after."""

    lines: tuple[LogLine, ...]
    end: int


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a journal, its fields as JSON."""

    sequence: int
    tag: str
    text: str


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a trace at one actor; the outcome is empty while the actor is at it."""

    trace: str
    at_unix_s: float
    node: str
    pid: int
    actor: str
    sender: str
    message: str
    took_s: float = 0.0
    outcome: str = ""


class WhoAmI(Request[Principal], frozen=True, kw_only=True, tag="console.who_am_i"):
    """Ask whom the mesh takes the asker's key for."""

    audience: ClassVar[Role | None] = "viewer"
    looks_only: ClassVar[bool] = True


class InspectActor(Request[ActorDetail], frozen=True, kw_only=True, tag="console.inspect"):
    """Ask for everything that is known of one name of the tree."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    actor: str


class TailLog(Request[LogTail], frozen=True, kw_only=True, tag="console.tail_log"):
    """Ask for the last lines that concern one name of the tree; ``since`` -1 means from as far back as needed."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    actor: str
    n_lines: int = 100
    since: int = -1


class ListJournals(Request[tuple[str, ...]], frozen=True, kw_only=True, tag="console.journals"):
    """Ask for the names of the journals that are kept."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True


class TailJournal(Request[tuple[JournalLine, ...]], frozen=True, kw_only=True, tag="console.tail_journal"):
    """Ask for the last records of a journal."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    journal: str
    n_records: int = 100


class GetTrace(Request[tuple[Hop, ...]], frozen=True, kw_only=True, tag="console.trace"):
    """Ask for the way of one message through every process, by the beginning of its id.

    Without an id the answer is the first hop of each of the latest traces, newest first. ``trace`` may also be a
    message's tag: then it is the latest trace that began with such a message.
    """

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True

    trace: str = ""
    n_latest: int = 50


class RestartActor(Request[None], frozen=True, kw_only=True, tag="console.restart"):
    """Stop what has this name in order, and start it afresh; the answer comes once it is up."""

    audience: ClassVar[Role | None] = "administrator"

    actor: str


class PauseActor(Request[None], frozen=True, kw_only=True, tag="console.pause"):
    """Let an actor's mailbox be unread until it is resumed; pings and stops get through."""

    audience: ClassVar[Role | None] = "administrator"

    actor: str


class ResumeActor(Request[None], frozen=True, kw_only=True, tag="console.resume"):
    """Let a paused actor read its mailbox again."""

    audience: ClassVar[Role | None] = "administrator"

    actor: str


class ReadHops(Request[tuple[Hop, ...]], frozen=True, kw_only=True, tag="console.read_hops"):
    """Ask a child process for what it knows of a trace."""

    looks_only: ClassVar[bool] = True

    trace: str


class SetPaused(Request[None], frozen=True, kw_only=True, tag="console.set_paused"):
    """Ask a child process to pause its actor, or to resume it."""

    actor: str
    paused: bool
