"""The inside of a running mesh, put together from its supervisors, actors and processes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from .actors.console.audit_trail import AUDITOR
from .actors.console.console_desk import DESK, OtherDesk
from .actors.console.errors import CannotPause, CannotRestart, JournalsUnreadable, NoSuchJournal
from .actors.nodes.joined_nodes import UPLINK, JoinedNodes
from .actors.nodes.node_desk import set_paused, told_hops
from .actors.nodes.tree_elsewhere import hop_elsewhere, rows_with
from .config import MeshError
from .layout import DataLayout
from .messages.console import ActorDetail, GetTrace, Hop, Incident, ReadHops, SetPaused, Statistic
from .messages.control import ActorRow
from .processes import Processes
from .supervisors import Node, NoSuchChild, SupervisionReport, Supervisor, TreeRow
from .transport import Beat, Link, PeerRef
from .vitals import NODE_DESK, memory_bytes

DESK_S = 2.0
"""How long a child process may take to answer whoever looks inside."""
MAX_INCIDENTS = 500
ANSWERS_FIRST = (DESK, UPLINK)
"""Without these the answer to whoever had them restarted would not arrive."""
UNREADABLE = "ask again; while the mesh has no descriptor free, raise its limit (LimitNOFILE, ulimit -n)"
NEVER_PAUSED = {
    DESK: "it is what resumes others",
    "control": "status, ps, down and the console ask it",
    AUDITOR: "it writes down who pauses, resumes, restarts and stops",
}
"""Whoever paused one of the first two would be locked out, and unseen with the last."""


class Incidents:
    """The latest reports of every supervisor."""

    def __init__(self) -> None:
        self._reports: deque[SupervisionReport] = deque(maxlen=MAX_INCIDENTS)
        self.n = 0
        """How many there have been."""

    def add(self, report: SupervisionReport) -> None:
        """Keep a report."""
        self._reports.append(report)
        self.n += 1

    def of(self, name: str) -> tuple[Incident, ...]:
        """What happened to a child, oldest first."""
        return tuple(
            Incident(
                at_unix_s=one.at_unix_s,
                occurrence=one.occurrence,
                child=one.child,
                supervisor=one.supervisor,
                reason=one.reason,
                error=one.error,
                traceback=one.traceback,
            )
            for one in self._reports
            if one.child == name
        )


class MeshInside:
    """Shows the tree with what is measured, and reaches into it."""

    def __init__(
        self,
        node: Node,
        processes: Processes,
        layout: DataLayout,
        incidents: Incidents,
        joined: JoinedNodes,
        root: Callable[[], Supervisor | None],
    ) -> None:
        self._node = node
        self._processes = processes
        self._layout = layout
        self._incidents = incidents
        self._joined = joined
        self._root_of = root
        self._restarting: set[asyncio.Task[None]] = set()

    @property
    def _root(self) -> Supervisor:
        root = self._root_of()
        assert root is not None, "the mesh is not up"
        return root

    def rows(self) -> tuple[ActorRow, ...]:
        """The supervision tree with what is measured, parents before children."""
        return rows_with(tuple(self._row(row) for row in self._root.tree()), self._joined.nodes.values())

    def elsewhere(self, actor: str) -> OtherDesk | None:
        """The desk that has to do with a name of a joined host; None for a name of this one.

        Raises:
            ActorUnknown: the host is away.
        """
        place = self._joined.place(actor)
        if place is None:
            return None
        if place.node.link is None:
            raise place.node.away()
        return OtherDesk(place.node.link, place.node, place.name)

    def detail(self, actor: str) -> ActorDetail:
        """Everything that is known of one name.

        Raises:
            NoSuchChild: there is none of that name.
        """
        row = self._known(actor)
        statistics = {**self._statistics(row)}
        statistics.pop("last_error", None)
        return ActorDetail(
            row=self._row(row),
            statistics=tuple(Statistic(name, value) for name, value in statistics.items()),
            incidents=tuple(sorted((*self._incidents.of(actor), *self._fault(row)), key=lambda one: one.at_unix_s)),
        )

    def logs_of(self, actor: str) -> tuple[tuple[Path, str], ...]:
        """The log files in which a name's lines are, its own first, and the name that picks them out.

        Raises:
            NoSuchChild: there is none of that name.
        """
        row = self._known(actor)
        hub = (self._layout.logs / "hub.log", actor if row.parent else "")
        return ((self._layout.logs / f"{actor}.log", ""), hub) if row.kind == "process" else (hub,)

    def journals(self) -> tuple[str, ...]:
        """The names of the journals that are kept; a node that has joined a mesh keeps none.

        Raises:
            JournalsUnreadable: their folder cannot be looked into.
        """
        home = self._layout.journal("x").parent
        try:
            return tuple(sorted(one.name for one in home.iterdir())) if home.is_dir() else ()
        except OSError as error:
            raise JournalsUnreadable(
                f"cannot look into the folder of the journals {home}: {error.strerror}", hint=UNREADABLE
            ) from error

    def journal(self, name: str) -> Path:
        """The folder of a journal.

        Raises:
            NoSuchJournal: there is none of that name.
            JournalsUnreadable: their folder cannot be looked into.
        """
        names = self.journals()
        if name not in names:
            raise NoSuchJournal(f"there is no journal {name!r}", hint=f"these are there: {', '.join(names) or 'none'}")
        return self._layout.journal(name)

    async def hops(self, trace: str) -> tuple[Hop, ...]:
        """What every process knows of a trace; one that does not answer in time is left out."""
        asked = [
            PeerRef(link, NODE_DESK).ask(ReadHops(trace=trace), timeout_s=DESK_S)
            for link in self._node.child_links().values()
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found = [*told_hops(self._node.name, self._node.traces.of(trace)), *await self._hops_elsewhere(trace)]
        for answer in answers:
            if isinstance(answer, tuple):
                found += answer
            elif not isinstance(answer, MeshError):
                raise answer
        return tuple(sorted(found, key=lambda hop: hop.at_unix_s))

    async def _hops_elsewhere(self, trace: str) -> list[Hop]:
        nodes = [(node.name, node.link) for node in self._joined.nodes.values() if node.link is not None]

        async def ask(name: str, link: Link) -> list[Hop]:
            try:
                hops = await PeerRef(link, DESK).ask(GetTrace(trace=trace), timeout_s=DESK_S)
            except MeshError:
                return []
            return [hop_elsewhere(hop, name) for hop in hops]

        return [hop for hops in await asyncio.gather(*(ask(*one) for one in nodes)) for hop in hops]

    def latest_traces(self, n: int) -> tuple[Hop, ...]:
        """The first hop of each of the latest traces."""
        return told_hops(self._node.name, self._node.traces.latest(max(n, 1)))

    def answers_first(self, actor: str) -> bool:
        """Whether the answer to whoever has it restarted would not arrive after the restart."""
        return actor in ANSWERS_FIRST

    async def restart(self, actor: str) -> None:
        """Stop one and start it afresh.

        Raises:
            NoSuchChild: there is none of that name.
            CannotRestart: it is the root.
            ChildStartFailed: it did not come up again.
        """
        if actor == self._root.name:
            raise CannotRestart(
                f"{actor} cannot be restarted: it is all that runs there, and nothing above it would start it again",
                hint="hcs-mesh down on its host, then what it was started with: hcs-mesh up, up --join or agent",
            )
        restarting = self._node.loop.create_task(self._restart(actor), name=f"restart {actor}")
        self._restarting.add(restarting)
        restarting.add_done_callback(self._restarting.discard)
        # In a task of its own: whoever asks and leaves must not leave it stopped half-way.
        await asyncio.shield(restarting)

    async def set_paused(self, actor: str, *, paused: bool) -> None:
        """Pause or resume one.

        Raises:
            NoSuchChild: there is none of that name.
            CannotPause: it is a supervisor, or its pause would lock everybody out.
        """
        row = self._known(actor)
        if row.kind == "supervisor":
            raise CannotPause(
                f"{actor} cannot be paused: it has no mailbox", hint="hcs-mesh ps shows the actors below it"
            )
        if actor in NEVER_PAUSED and paused:
            raise CannotPause(
                f"{actor} cannot be paused: {NEVER_PAUSED[actor]}",
                hint=f"hcs-mesh restart {actor} starts it afresh; hcs-mesh ps shows the other actors",
            )
        if row.kind == "actor":
            set_paused(self._node, actor, paused=paused)
            return
        link = self._node.child_links().get(actor)
        if link is None:
            raise NoSuchChild(f"the process {actor} is not up", hint="hcs-mesh ps shows its state")
        await PeerRef(link, NODE_DESK).ask(SetPaused(actor=actor, paused=paused), timeout_s=DESK_S)

    def statistics(self) -> dict[str, Mapping[str, int | float | str]]:
        """What every actor and process counts, by name, and the hub under the root's name."""
        return {row.name: self._statistics(row) for row in self._root.tree()}

    async def _restart(self, actor: str) -> None:
        await self._root.restart_child(actor)

    def _known(self, name: str) -> TreeRow:
        for row in self._root.tree():
            if row.name == name:
                return row
        raise NoSuchChild(f"there is nothing named {name}", hint="hcs-mesh ps lists the names")

    def _statistics(self, row: TreeRow) -> Mapping[str, int | float | str]:
        if row.kind == "process":
            beat = self._beat(row)
            return {**dict(beat.statistics), "loop_lag_s": beat.loop_lag_s, "memory_bytes": beat.memory_bytes}
        if row.kind == "actor":
            cell = self._node.cells.get(row.name)
            return cell.statistics() if cell is not None else {}
        if not row.parent:
            return {**self._node.statistics(), "memory_bytes": memory_bytes()}
        return {}

    def _fault(self, row: TreeRow) -> tuple[Incident, ...]:
        """The latest fault in an actor's deferred work: the actor goes on, so that its supervisor reports none."""
        cell = self._node.cells.get(row.name) if row.kind == "actor" else None
        if cell is None or cell.last_fault is None:
            return ()
        fault = cell.last_fault
        return (
            Incident(
                at_unix_s=fault.at_unix_s,
                occurrence="fault",
                child=row.name,
                supervisor=row.parent,
                reason=f"in deferred work for {fault.of}",
                error=fault.error,
                traceback=fault.traceback,
            ),
        )

    def _beat(self, row: TreeRow) -> Beat:
        return self._processes.beats.get(row.name) or Beat()

    def _row(self, row: TreeRow) -> ActorRow:
        counts = self._statistics(row)
        told = ActorRow(
            name=row.name,
            parent=row.parent,
            kind=row.kind,
            pid=row.pid,
            state="paused" if counts.get("paused") and row.state == "running" else row.state,
            restarts=row.restarts,
            mailbox=int(counts.get("mailbox", row.mailbox)),
            last_error=row.last_error or str(counts.get("last_error", "")),
            busy=str(counts.get("busy", "")),
            handled=int(counts.get("handled", 0)),
            deferred=int(counts.get("deferred", 0)),
            refused=int(counts.get("refused", 0)),
            handling_s=float(counts.get("handling_s", 0.0)),
            slowest_s=float(counts.get("slowest_s", 0.0)),
            loop_lag_s=float(counts.get("loop_lag_s", 0.0)),
            memory_bytes=int(counts.get("memory_bytes", 0)),
        )
        if row.kind == "process":
            beat = self._beat(row)
            return msgspec.structs.replace(
                told, gpu_used_bytes=beat.gpu_used_bytes, gpu_total_bytes=beat.gpu_total_bytes
            )
        return told
