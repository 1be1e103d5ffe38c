"""Where pixels come into a pipeline."""

from __future__ import annotations

from typing import Annotated, Literal

from .functions import function
from .kinds import Stack
from .parameters import Between


@function
def channel(
    which: Annotated[str | int, Between(0, 1000)],
    *,
    z: Annotated[int, Between(0, 100_000)] | Literal["projection"] | None = None,
) -> Stack:
    """Read a channel, by its name on the plate or by its index from 0.

    Without ``z`` it gives what was acquired: a plane where the plate has one z, a stack where it has
    several. ``z=3`` gives the plane of that index, ``z="projection"`` the one the microscope made.
    """
    raise AssertionError("the runner reads channels itself")
