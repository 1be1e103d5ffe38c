"""What can go wrong with a hold itself; what is wrong with the source is told as by any reader of it."""

from __future__ import annotations

from ...config.errors import MeshError


class NotHeld(MeshError, LookupError):
    """A file was asked for that this hold does not know."""


class StagingFailed(MeshError, OSError):
    """A staging folder cannot be cleared."""


class StagingNotOurs(StagingFailed):
    """Something else lies where this mesh had made a staging folder, and is left alone."""
