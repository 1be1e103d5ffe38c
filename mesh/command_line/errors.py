"""What a command may say besides what the mesh itself says."""

from __future__ import annotations

from ..config.errors import MeshError


class CommandFailed(MeshError, RuntimeError):
    """What the user asked for was understood and did not succeed."""
