"""How long to wait for trouble that may pass, and which trouble does (pure)."""

from __future__ import annotations

import msgspec

from ...config.errors import MeshError
from ...plates.errors import PlaceAway
from ...plates.local.errors import RepositoryFailed, RepositoryFull, RepositoryNotWritable
from ...plates.omero.errors import BROKEN, OmeroAwaitsLogin, OmeroBusy, OmeroFailed, OmeroUnreachable
from ...transport.errors import ActorUnknown, AskTimedOut, MailboxFull, PeerGone
from ...transport.failures import AskFailed

_DISK = frozenset({"RepositoryFull", "RepositoryNotWritable", "RepositoryFailed"})
_GONE = (OmeroAwaitsLogin, OmeroUnreachable)
_TROUBLE = (PlaceAway, *BROKEN, OmeroBusy, OmeroFailed)
_GONE_NAMES = frozenset(kind.__name__ for kind in _GONE)
_TROUBLE_NAMES = frozenset(kind.__name__ for kind in (*_TROUBLE, OmeroAwaitsLogin))


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
        return n_before >= self.n_waits and not is_full(error) and not waits_for_home(error)


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


def waits_for_home(error: MeshError) -> bool:
    """Whether nobody may act for the job's owner before the next login, or there is no way to the server.

    No executor is kept waiting for that: people go home, and servers are mended in days.
    """
    return isinstance(error, _GONE) or (isinstance(error, AskFailed) and error.failure.kind in _GONE_NAMES)


def is_of_home(error: MeshError) -> bool:
    """Whether it is trouble with the place of the plate, which may be away altogether."""
    return isinstance(error, _TROUBLE) or (isinstance(error, AskFailed) and error.failure.kind in _TROUBLE_NAMES)


def may_pass(error: MeshError) -> bool:
    """Whether the trouble is with the disk or with an actor of the mesh, and not with what was asked."""
    if isinstance(error, PeerGone | ActorUnknown | AskTimedOut | MailboxFull):
        return True
    if is_of_the_disk(error) or is_of_home(error):
        return True
    return isinstance(error, AskFailed) and error.failure.retry


def may_pass_at_an_executor(error: MeshError) -> bool:
    """Whether a living executor can do the same well later; one that is gone cannot."""
    if waits_for_home(error):
        return False
    return isinstance(error, MailboxFull) or is_of_the_disk(error) or is_of_home(error)


def may_pass_before_an_executor(error: MeshError) -> bool:
    """Whether an executor that has a well already is kept waiting for it: for a home that is away it is not."""
    return may_pass(error) and not waits_for_home(error)
