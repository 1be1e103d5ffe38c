"""The control desk: answers for the mesh itself, and begins its stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import msgspec

from ...messages.control import ActorRow, GetStatus, GetTree, MeshStatus, StopMesh
from ...messages.viewing import ListViewers
from ...supervisors import Actor
from ...transport import TransportError
from .audit_trail import Asking, AuditTrail

VIEWERS_S = 2.0
"""How long the answer waits for the count of viewers; without it, it says that nobody knows."""

Inbox = GetStatus | GetTree | StopMesh


class ControlDesk(Actor[Inbox]):
    """Says what runs and where, and passes on the wish to stop."""

    def __init__(
        self,
        describe: Callable[[], MeshStatus],
        tree: Callable[[], tuple[ActorRow, ...]],
        stop: Callable[[], None],
        *,
        trail: AuditTrail | None = None,
    ) -> None:
        self._trail = trail or AuditTrail()
        self._describe = describe
        self._tree = tree
        self._stop = stop

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case GetStatus():
                # The count is the viewer bridge's: nobody else waits behind it.
                return self.defer(self._status())
            case GetTree():
                return self._tree()
            case StopMesh():
                # Who asked hears that it has begun: who would tell him that it is over is stopped by it.
                asking = Asking(self.context.principal, "stop")
                return self.defer(self._trail.over(asking, self._begin_stop, answers_first=True))
            case _:
                assert_never(message)

    async def _begin_stop(self) -> None:
        self._stop()

    async def _status(self) -> MeshStatus:
        try:
            viewers = await self.context.find("viewers").ask(ListViewers(), timeout_s=VIEWERS_S)
        except TransportError:
            return self._describe()
        return msgspec.structs.replace(self._describe(), n_viewers=len(viewers))
