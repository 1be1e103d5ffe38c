"""The control desk: answers for the mesh itself, and begins its stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from ..messages.control import ActorRow, GetStatus, GetTree, MeshStatus, StopMesh
from ..supervisors import Actor

Inbox = GetStatus | GetTree | StopMesh


class ControlDesk(Actor[Inbox]):
    """Says what runs and where, and passes on the wish to stop."""

    def __init__(
        self, describe: Callable[[], MeshStatus], tree: Callable[[], tuple[ActorRow, ...]], stop: Callable[[], None]
    ) -> None:
        self._describe = describe
        self._tree = tree
        self._stop = stop

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case GetStatus():
                return self._describe()
            case GetTree():
                return self._tree()
            case StopMesh():
                self._stop()
                return None
            case _:
                assert_never(message)
