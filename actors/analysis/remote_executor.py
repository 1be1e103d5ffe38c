"""An executor of another host, as the mesh sees it: asked by name, and waited for through a partition."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, assert_never

from ...messages.compute import CancelWell, CompilePipeline, ExecutorUp, RunWell
from ...plates.repository import StoredResult
from ...supervisors import Actor
from ...transport import ActorUnknown, PeerAnew, PeerGone
from ..nodes.join_desk import SCHEDULER
from ..nodes.joined_nodes import RemoteNode, door_of

WELL_TIMEOUT_S = 6 * 3600.0
COMPILE_TIMEOUT_S = 60.0

Inbox = CompilePipeline | RunWell | CancelWell


class RemoteExecutor(Actor[Inbox]):
    """Hands messages on to the node where the executor runs.

    A break of the link is no answer: the same well and attempt is asked for again once the node is
    back, and the node answers from what it has computed meanwhile. A node that comes back in another life
    has died over what it was at.
    """

    def __init__(self, name: str, node: RemoteNode) -> None:
        self._name = name
        self._there = name.rpartition("@")[0]
        self._door = door_of(self._there)
        self._node = node
        self._n_asked_again = 0

    async def started(self) -> None:
        """Say that the executor is up, if another life was there before: who asked that one takes it for dead."""
        pid = self._node.executors.get(self._there)
        if self._there in self._node.stood_for and pid is not None:
            # A scheduler that is coming up asks who is there.
            with suppress(ActorUnknown):
                self.context.find(SCHEDULER).tell(ExecutorUp(executor=self._name, pid=pid))
        self._node.stood_for.add(self._there)

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case CompilePipeline():
                return self.defer(self._compile(message))
            case RunWell():
                # Who asked may be gone by the time the node is back: what nobody waits for is not asked for again.
                return self.defer_wait(self._run(message))
            case CancelWell():
                if self._node.link is not None:
                    self._node.link.tell(self._door, message)
                return None
            case _:
                assert_never(message)

    def statistics(self) -> dict[str, int | float | str]:
        """Where it is, and how often a break had it asked again."""
        return {"node": self._node.name, "asked_again": self._n_asked_again}

    async def _compile(self, request: CompilePipeline) -> str:
        # Not waited for: any other executor can check a pipeline as well, and somebody wants to hand his job over.
        link = self._node.link
        if link is None or link.gone:
            raise self._node.away()
        return await link.ask(self._door, request, timeout_s=COMPILE_TIMEOUT_S)

    async def _run(self, request: RunWell) -> StoredResult:
        asked_of: str | None = None
        while True:
            link = await self._node.reached()
            if asked_of not in (None, self._node.life):
                raise PeerAnew(f"the node {self._node.name} died, and was started anew", hint="ask again")
            asked_of = self._node.life
            try:
                return await link.ask(self._door, request, timeout_s=WELL_TIMEOUT_S)
            except PeerGone:
                if not link.gone:
                    # The node is there and says so: the executor itself died over it.
                    raise
                self._n_asked_again += 1
