"""What a follower tells whoever shows or keeps the planes."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from ..messages.frames import Fact, Frame, PlaneUnreadable
from ..messages.viewing import Contents


class Screen(Protocol):
    """Takes a stream; called from the follower's loop, one call at a time."""

    def begin(self, contents: Contents) -> None:
        """The stream shows this from now on; a stream that was there before is replaced."""
        ...

    def plane(self, frame: Frame, pixels: NDArray[Any]) -> None:
        """A plane (Y, X) came; its memory is the mesh's again when this returns, so copy what is kept."""
        ...

    def unreadable(self, report: PlaneUnreadable) -> None:
        """A plane that the repository holds could not be read."""
        ...

    def fact(self, fact: Fact, *, n_waiting: int) -> None:
        """Something became known, with ``n_waiting`` planes still to come."""
        ...

    def state(self, text: str) -> None:
        """How the connection is, for people."""
        ...
