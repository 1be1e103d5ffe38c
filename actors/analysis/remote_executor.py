"""An executor of another host, as the mesh sees it: asked by name, and waited for through a partition."""

from __future__ import annotations

from typing import Any, assert_never

from ...messages.compute import CancelWell, CompilePipeline, RunWell
from ...supervisors import Actor
from ...transport import PeerGone
from ..nodes.joined_nodes import RemoteNode, door_of

WELL_TIMEOUT_S = 6 * 3600.0
COMPILE_TIMEOUT_S = 60.0

Inbox = CompilePipeline | RunWell | CancelWell


class RemoteExecutor(Actor[Inbox]):
    """Hands messages on to the node where the executor runs.

    A break of the link is no answer: the same well and attempt is asked for again once the node is
    back, and the node answers from what it has computed meanwhile.
    """

    def __init__(self, name: str, node: RemoteNode) -> None:
        self._door = door_of(name.rpartition("@")[0])
        self._node = node
        self._n_asked_again = 0

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case CompilePipeline():
                return self.defer(self._ask(message, COMPILE_TIMEOUT_S))
            case RunWell():
                return self.defer(self._ask(message, WELL_TIMEOUT_S))
            case CancelWell():
                if self._node.link is not None:
                    self._node.link.tell(self._door, message)
                return None
            case _:
                assert_never(message)

    def statistics(self) -> dict[str, int | float | str]:
        """Where it is, and how often a break had it asked again."""
        return {"node": self._node.name, "asked_again": self._n_asked_again}

    async def _ask(self, request: CompilePipeline | RunWell, timeout_s: float) -> Any:
        while True:
            link = await self._node.reached()
            try:
                return await link.ask(self._door, request, timeout_s=timeout_s)
            except PeerGone:
                if not link.gone:
                    # The node is there and says so: the executor itself died over it.
                    raise
                self._n_asked_again += 1
