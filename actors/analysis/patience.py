"""How long to wait for trouble that may pass, and which trouble does (pure)."""

from __future__ import annotations

import msgspec

from ...config.errors import MeshError
from ...plates.errors import PlaceAway
from ...plates.local.errors import RepositoryFailed, RepositoryFull, RepositoryNotWritable
from ...transport.errors import ActorUnknown, AskTimedOut, MailboxFull, PeerGone
from ...transport.failures import AskFailed

_DISK = frozenset({"RepositoryFull", "RepositoryNotWritable", "RepositoryFailed"})
_AWAY = PlaceAway.__name__


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Waits ``first_s``, then twice as long each time up to ``longest_s``, and ``n_waits`` times at most."""

    first_s: float = 1.0
    longest_s: float = 60.0
    n_waits: int = 8

    def wait_s(self, n_before: int) -> float:
        """The wait after so many waits."""
        return min(self.longest_s, self.first_s * 2.0 ** min(n_before, 32))

    def is_over(self, error: MeshError, n_before: int) -> bool:
        """Whether it has been waited for long enough; room on a disk is made by people, and waited for without end."""
        return n_before >= self.n_waits and not is_full(error)


def is_full(error: MeshError) -> bool:
    """Whether the repository's disk has no room."""
    return isinstance(error, RepositoryFull) or (
        isinstance(error, AskFailed) and error.failure.kind == "RepositoryFull"
    )


def is_of_the_disk(error: MeshError) -> bool:
    """Whether the repository's disk refuses, here or where the error comes from."""
    return isinstance(error, RepositoryFull | RepositoryNotWritable | RepositoryFailed) or (
        isinstance(error, AskFailed) and error.failure.kind in _DISK
    )


def is_away(error: MeshError) -> bool:
    """Whether the place that a plate lies in cannot be reached."""
    return isinstance(error, PlaceAway) or (isinstance(error, AskFailed) and error.failure.kind == _AWAY)


def may_pass(error: MeshError) -> bool:
    """Whether the trouble is with the disk or with an actor of the mesh, and not with what was asked."""
    if isinstance(error, PeerGone | ActorUnknown | AskTimedOut | MailboxFull) or is_of_the_disk(error):
        return True
    return isinstance(error, AskFailed) and error.failure.retry


def may_pass_at_an_executor(error: MeshError) -> bool:
    """Whether a living executor can do the same well later; one that is gone cannot."""
    return isinstance(error, MailboxFull) or is_of_the_disk(error) or is_away(error)
