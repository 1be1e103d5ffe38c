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
    WhichLife,
)
from ...supervisors import Actor, Deferred
from ...transport import SILENCE_S, ActorUnknown, Link
from ...transport.key_ring import check_node_name
from .joined_nodes import JoinedNodes, Place, RemoteNode, name_elsewhere
from .lives_elsewhere import is_in, life_of, no_actor, went_down, why_down

log = get_logger(__name__)

SCHEDULER = "scheduler"
BEAT_S = 1.0
GRACE_S = 60.0
"""After this what a node that is away was at goes to others."""

Inbox = AskTerms | JoinMesh | NodeBeat | WhichLife | WatchActor | LeaveMesh | LookForSilence | NodeLost


class NotShared(MeshError, ValueError):
    """The mesh's data folder is not the one that lies at the same path on the joining host."""


class KeyInUse(MeshError, PermissionError):
    """A host joins under the key of one that is there."""


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

    async def receive(
        self, message: Inbox
    ) -> Deferred[JoinTerms] | Deferred[None] | Deferred[ActorDown] | bool | str | None:
        """Handle one message."""
        match message:
            case AskTerms():
                # A file of the ring that was written by hand may hold any name.
                check_node_name(self.context.principal.name)
                return self.defer(self._terms(self.context.principal.name))
            case JoinMesh():
                return self.defer(self._join(message, self.context.principal.name, self.context.caller))
            case NodeBeat():
                return self._beat(self.context.principal.name, message)
            case WhichLife(actor=actor):
                return self._which_life(actor)
            case WatchActor(actor=actor, life=life):
                return self.defer_wait(self._watch(actor, life))
            case LeaveMesh():
                self._leave(self.context.principal.name)
            case LookForSilence():
                self._look()
            case NodeLost(node=name, n_joins=n_joins, reason=reason):
                node = self._nodes.node(name)
                # Else it has joined anew since, and has another link.
                if node.n_joins == n_joins:
                    self._away(node, reason)
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
            if node.life != message.life:
                # Of one that was killed the connection is known to be closed as soon as something is said over it.
                node.link.look()
                if not node.link.gone:
                    raise self._in_use(node, message.life)
            self._away(node, "it has joined anew")
        node.link, node.heard_s, node.gone = link, self.context.now(), False
        if node.life != message.life:
            # They are of the life before, and what is told first of this one is no death.
            node.life, node.rows = message.life, ()
        node.n_joins += 1
        log.info("a node has joined", node=name, joins=node.n_joins)
        me, n_joins = self.context.me, node.n_joins

        def lost(why: str) -> None:
            if node.link is link:
                me.tell(NodeLost(node=name, n_joins=n_joins, reason=why))

        link.on_lost["nodes", name] = lost
        self._adopt(node, message.executors)
        node.stirred()

    def _in_use(self, node: RemoteNode, life: str) -> KeyInUse:
        error = KeyInUse(
            f"another host has joined under the key of {node.name}, and is there",
            hint="each host needs a key of its own (hcs-mesh keys new NAME --role node); one whose host has died is"
            f" given up after {self._silence_s:g} s",
        )
        if node.refused != life:
            # It comes again and again.
            node.refused = life
            log.warning("a node was refused", node=node.name, reason=str(error), hint=error.hint)
        return error

    def _beat(self, name: str, beat: NodeBeat) -> bool:
        node = self._nodes.node(name)
        if node.link is None or node.link is not self.context.caller:
            return False
        node.heard_s = self.context.now()
        self._adopt(node, beat.executors)
        before, node.rows = {row.name: row for row in node.rows}, beat.rows
        for row in beat.rows:
            if went_down(before.get(row.name), row):
                # What a host's supervisors see to themselves is told here too: somebody may look in one place only.
                log.warning(
                    "down elsewhere", child=name_elsewhere(row.name, name), state=row.state, error=row.last_error
                )
        node.stirred()
        return True

    def _which_life(self, actor: str) -> str:
        node, name = self._placed(actor)
        row = node.row(name)
        if node.link is None:
            raise node.away()
        if row is None:
            raise no_actor(node, name)
        return life_of(node, row)

    async def _watch(self, actor: str, life: str) -> ActorDown:
        node, name = self._placed(actor)
        before, n_joins = node.row(name), node.n_joins
        while node.link is not None and node.n_joins == n_joins:
            now = node.row(name)
            if now is None and before is None and node.rows and not life:
                raise no_actor(node, name)
            if now is None and (before is not None or node.rows):
                return ActorDown(actor=actor, reason="it was ended")
            if now is not None and (went_down(before or now, now) or (life and not is_in(life, node, now))):
                return ActorDown(actor=actor, reason=why_down(life, node, now))
            before = now
            await node.changed.wait()
        return ActorDown(actor=actor, reason=node.away_because)

    def _placed(self, actor: str) -> Place:
        place = self._nodes.place(actor)
        if place is None:
            raise ActorUnknown(f"no host has joined that has an actor {actor!r}", hint="hcs-mesh ps lists the actors")
        return place

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
