"""What the console desk answers when it cannot do what was asked."""

from __future__ import annotations

from ...config import MeshError


class LogUnreadable(MeshError, OSError):
    """A log cannot be read."""


class JournalsUnreadable(MeshError, OSError):
    """The folder of the journals cannot be looked into."""


class NoSuchJournal(MeshError, LookupError):
    """The mesh keeps no journal of this name."""


class CannotRestart(MeshError, ValueError):
    """Nothing is above it that would start it afresh."""


class CannotPause(MeshError, ValueError):
    """What has no mailbox, or is needed to resume, cannot be paused."""
