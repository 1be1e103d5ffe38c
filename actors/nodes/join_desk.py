"""The join desk: lets other hosts in as nodes, and notices when they are away and when they are back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from ...config import MeshError, get_logger
from ...messages.compute import ExecutorDown, ExecutorUp
from ...messages.control import ActorRow
from ...messages.joining import (
    ActorDown,
    AskTerms,
    JoinMesh,
    JoinTerms,
    LeaveMesh,
    LookForSilence,
    NodeBeat,
    NodeLost,
    RunningExecutor,
    WatchActor,
)
from ...supervisors import Actor, Deferred
from ...transport import SILENCE_S, ActorUnknown, Link
from .joined_nodes import JoinedNodes, RemoteNode, name_elsewhere

log = get_logger(__name__)

SCHEDULER = "scheduler"
BEAT_S = 1.0
GRACE_S = 60.0
"""After this what a node that is away was at goes to others."""

_UP = ("running", "paused")

Inbox = AskTerms | JoinMesh | NodeBeat | WatchActor | LeaveMesh | LookForSilence | NodeLost


class NotShared(MeshError, ValueError):
    """The mesh's data folder is not the one that lies at the same path on the joining host."""


class JoinDesk(Actor[Inbox]):
    """Keeps the nodes of other hosts; who they are is what their keys say.

    A node that falls silent is away: it gets no new wells, and what it is at is waited for, since a
    partition is no death. After a grace its wells go to others. One that comes back joins anew.
    """

    def __init__(
        self,
        data: Path,
        nodes: JoinedNodes,
        *,
        hang_up: Callable[[Link, str], None],
        appear: Callable[[str, RemoteNode], None],
        silence_s: float = SILENCE_S,
        grace_s: float = GRACE_S,
    ) -> None:
        """Let hosts in that share ``data``; ``appear`` makes an executor of theirs addressable here."""
        self._data = data
        self._nodes = nodes
        self._hang_up = hang_up
        self._appear = appear
        self._silence_s = silence_s
        self._grace_s = grace_s
        self._tokens: dict[str, str] = {}

    async def started(self) -> None:
        """Look after the nodes of the life before."""
        self.context.after(BEAT_S, LookForSilence())

    async def receive(self, message: Inbox) -> Deferred[JoinTerms] | Deferred[None] | Deferred[ActorDown] | bool | None:
        """Handle one message."""
        match message:
            case AskTerms():
                return self.defer(self._terms(self.context.principal.name))
            case JoinMesh():
                return self.defer(self._join(message, self.context.principal.name, self.context.caller))
            case NodeBeat():
                return self._beat(self.context.principal.name, message)
            case WatchActor(actor=actor):
                return self.defer_wait(self._watch(actor))
            case LeaveMesh():
                self._leave(self.context.principal.name)
            case LookForSilence():
                self._look()
            case NodeLost(node=node, reason=reason):
                self._away(self._nodes.node(node), reason)
            case _:
                assert_never(message)
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Nodes that can be reached, and those that are away."""
        here = [node for node in self._nodes.nodes.values() if node.link is not None]
        return {"nodes": len(here), "away": len(self._nodes.nodes) - len(here)}

    async def _terms(self, node: str) -> JoinTerms:
        token = self._tokens[node] = secrets.token_hex(16)
        folder = self._data / "joining"

        def write() -> None:
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / f"{node}.token").write_text(token, encoding="ascii")
            (folder / f"{node}.answer").unlink(missing_ok=True)

        await asyncio.to_thread(write)
        return JoinTerms(
            node=node,
            data=str(self._data),
            token_file=f"joining/{node}.token",
            answer_file=f"joining/{node}.answer",
            beat_s=min(BEAT_S, self._silence_s / 4),
        )

    async def _join(self, message: JoinMesh, name: str, link: Link | None) -> None:
        token = self._tokens.pop(name, "")
        folder = self._data / "joining"

        def answered() -> str:
            # No answer is as wrong as another one.
            with suppress(OSError):
                return (folder / f"{name}.answer").read_text(encoding="ascii")
            return ""

        def clear() -> None:
            for end in ("token", "answer"):
                (folder / f"{name}.{end}").unlink(missing_ok=True)

        told = await asyncio.to_thread(answered)
        await asyncio.to_thread(clear)
        if not token or not (told == token == message.token):
            raise NotShared(
                f"what {name} wrote into the data folder {self._data} is not seen on the mesh's host",
                hint="mount the same folder at the same path on both hosts",
            )
        if link is None:
            raise NotShared(f"{name} joins over a link", hint="hcs-mesh up --join")
        node = self._nodes.node(name)
        if node.link is not None and node.link is not link:
            self._away(node, "it has joined anew")
        node.link, node.heard_s, node.gone = link, self.context.now(), False
        node.n_joins += 1
        log.info("a node has joined", node=name, joins=node.n_joins)
        me = self.context.me

        def lost(why: str) -> None:
            if node.link is link:
                me.tell(NodeLost(node=name, reason=why))

        link.on_lost["nodes", name] = lost
        self._adopt(node, message.executors)
        node.stirred()

    def _beat(self, name: str, beat: NodeBeat) -> bool:
        node = self._nodes.node(name)
        if node.link is None or node.link is not self.context.caller:
            return False
        node.heard_s = self.context.now()
        self._adopt(node, beat.executors)
        before, node.rows = {row.name: row for row in node.rows}, beat.rows
        for row in beat.rows:
            if _went_down(before.get(row.name), row):
                # What a host's supervisors see to themselves is told here too: somebody may look in one place only.
                log.warning(
                    "down elsewhere", child=name_elsewhere(row.name, name), state=row.state, error=row.last_error
                )
        node.stirred()
        return True

    async def _watch(self, actor: str) -> ActorDown:
        place = self._nodes.place(actor)
        if place is None:
            raise ActorUnknown(f"no host has joined that has an actor {actor!r}", hint="hcs-mesh ps lists the actors")
        node, name = place
        before = node.row(name)
        while node.link is not None:
            now = node.row(name)
            if now is None and before is None and node.rows:
                raise ActorUnknown(f"{node.name} has no actor {name!r}", hint="hcs-mesh ps lists the actors")
            if (now is None and before is not None) or (now is not None and _went_down(before or now, now)):
                return ActorDown(actor=actor, reason=now.last_error or now.state if now is not None else "it was ended")
            before = now
            await node.changed.wait()
        return ActorDown(actor=actor, reason=node.away_because)

    def _adopt(self, node: RemoteNode, executors: tuple[RunningExecutor, ...]) -> None:
        """Tell the scheduler which executors came and went."""
        now = {one.executor: one.pid for one in executors}
        for executor, pid in list(node.executors.items()):
            if now.get(executor) != pid:
                self._tell(ExecutorDown(executor=name_elsewhere(executor, node.name), pid=pid))
        for executor, pid in now.items():
            if node.executors.get(executor) != pid:
                name = name_elsewhere(executor, node.name)
                self._appear(name, node)
                self._tell(ExecutorUp(executor=name, pid=pid))
        node.executors = now

    def _away(self, node: RemoteNode, reason: str) -> None:
        link, node.link = node.link, None
        if link is None:
            return
        node.lost_s, node.away_because = self.context.now(), reason
        log.warning("a node is away", node=node.name, reason=reason)
        for executor, pid in node.executors.items():
            self._tell(ExecutorDown(executor=name_elsewhere(executor, node.name), pid=pid))
        node.executors = {}
        # Whoever waits for an answer waits for the next link from now on.
        self._hang_up(link, reason)
        node.stirred()

    def _leave(self, name: str) -> None:
        node = self._nodes.node(name)
        self._away(node, "it has left")
        node.gone, node.rows = True, ()
        node.stirred()

    def _look(self) -> None:
        now = self.context.now()
        for node in self._nodes.nodes.values():
            if node.link is not None and now - node.heard_s > self._silence_s:
                self._away(node, f"nothing was heard of it for {now - node.heard_s:.1f} s")
            elif node.link is None and not node.gone and now - node.lost_s > self._grace_s:
                node.gone = True
                node.stirred()
        self.context.after(BEAT_S, LookForSilence())

    def _tell(self, event: ExecutorUp | ExecutorDown) -> None:
        # A scheduler that is coming up asks who is there.
        with suppress(ActorUnknown):
            self.context.find(SCHEDULER).tell(event)


def _went_down(before: ActorRow | None, now: ActorRow) -> bool:
    """Whether one that ran does not, or is another one by now."""
    if before is None or now.kind == "supervisor":
        return False
    return before.state in _UP and (now.state not in _UP or now.restarts > before.restarts)
