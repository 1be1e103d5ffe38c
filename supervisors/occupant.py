"""What a cell knows of the life in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..transport.wakes import Nap
from .letters import Letter


class Occupant(Protocol):
    """The life that is running in a cell."""

    idle: Nap | None

    @property
    def n_deferred(self) -> int:
        """How much deferred work is running."""
        ...

    def wake(self) -> None:
        """There is something to look at."""
        ...

    def interrupt(self) -> None:
        """There is something to look at that is no message."""
        ...

    def in_hand(self) -> list[Letter]:
        """The letters whose answer is being worked on."""
        ...

    def let_go(self) -> None:
        """Cancel what only waits for the sake of askers who are gone."""
        ...

    def own_statistics(self) -> Mapping[str, int | float | str]:
        """What the actor counts itself."""
        ...
