"""What a command may say besides what the mesh itself says."""

from __future__ import annotations

from typing import ClassVar

from ..config.errors import MeshError


class CommandFailed(MeshError, RuntimeError):
    """What the user asked for was understood and did not succeed."""

    exit_code: ClassVar[int] = 1


class ListedInPart(CommandFailed):
    """What could be listed was; what could not is told beside it."""

    exit_code: ClassVar[int] = 3
    """Neither a failure, 1, nor a slip in the words, 2: what was printed is true, and not all there is."""
