"""How long to wait for trouble that may pass, and which trouble does (pure)."""

from __future__ import annotations

import msgspec

from ...config.errors import MeshError
from ...plates.errors import PlaceAway
from ...plates.local.errors import RepositoryFailed, RepositoryFull, RepositoryNotWritable
from ...plates.omero.errors import OmeroAwaitsLogin
from ...transport.errors import ActorUnknown, AskTimedOut, MailboxFull, PeerGone
from ...transport.failures import AskFailed

_DISK = frozenset({"RepositoryFull", "RepositoryNotWritable", "RepositoryFailed"})
_AWAY = PlaceAway.__name__
_LOGIN = OmeroAwaitsLogin.__name__


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Waits ``first_s``, then twice as long each time up to ``longest_s``, and ``n_waits`` times at most."""

    first_s: float = 1.0
    longest_s: float = 60.0
    n_waits: int = 8

    def wait_s(self, n_before: int) -> float:
        """The wait after so many waits."""
        return min(self.longest_s, self.first_s * 2.0 ** min(n_before, 32))

    def is_over(self, error: MeshError, n_before: int) -> bool:
        """Whether it has been waited for long enough; what people have to do is waited for without end."""
        return n_before >= self.n_waits and not is_full(error) and not awaits_login(error)


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
    if awaits_login(error):
        # It is there, and no executor is kept waiting for people.
        return False
    return isinstance(error, PlaceAway) or (isinstance(error, AskFailed) and error.failure.kind == _AWAY)


def awaits_login(error: MeshError) -> bool:
    """Whether nobody may act for the job's owner, where the plate lies, before the owner's next login."""
    return isinstance(error, OmeroAwaitsLogin) or (isinstance(error, AskFailed) and error.failure.kind == _LOGIN)


def may_pass(error: MeshError) -> bool:
    """Whether the trouble is with the disk or with an actor of the mesh, and not with what was asked."""
    if isinstance(error, PeerGone | ActorUnknown | AskTimedOut | MailboxFull | OmeroAwaitsLogin):
        return True
    if is_of_the_disk(error):
        return True
    return isinstance(error, AskFailed) and error.failure.retry


def may_pass_at_an_executor(error: MeshError) -> bool:
    """Whether a living executor can do the same well later; one that is gone cannot."""
    return isinstance(error, MailboxFull) or is_of_the_disk(error) or is_away(error)


def may_pass_before_an_executor(error: MeshError) -> bool:
    """Whether an executor that has a well already is to be kept waiting for it; people's logins take days."""
    return may_pass(error) and not awaits_login(error)
