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
_AWAY = PlaceAway.__name__
_HOME_AWAY = (OmeroAwaitsLogin, *BROKEN)
_HOME_GONE = (OmeroAwaitsLogin, OmeroUnreachable)
_HOME_GONE_NAMES = frozenset(kind.__name__ for kind in _HOME_GONE)
_HOME_AWAY_NAMES = frozenset(kind.__name__ for kind in _HOME_AWAY)
_HOME_TROUBLE = frozenset(kind.__name__ for kind in (*_HOME_AWAY, OmeroBusy, OmeroFailed))


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


def is_home_away(error: MeshError) -> bool:
    """Whether nothing may be possible at OMERO in the owner's name: people go home, and servers are mended."""
    return isinstance(error, _HOME_AWAY) or (isinstance(error, AskFailed) and error.failure.kind in _HOME_AWAY_NAMES)


def is_home_gone(error: MeshError) -> bool:
    """Whether nothing is possible there, and not only a call that took too long or a session that is over."""
    return isinstance(error, _HOME_GONE) or (isinstance(error, AskFailed) and error.failure.kind in _HOME_GONE_NAMES)


def may_pass(error: MeshError) -> bool:
    """Whether the trouble is with the disk or with an actor of the mesh, and not with what was asked."""
    if isinstance(error, PeerGone | ActorUnknown | AskTimedOut | MailboxFull) or is_of_the_disk(error):
        return True
    if isinstance(error, PlaceAway | OmeroBusy | OmeroFailed) or is_home_away(error):
        return True
    return isinstance(error, AskFailed) and error.failure.retry


def may_pass_at_an_executor(error: MeshError) -> bool:
    """Whether a living executor can do the same well later; one that is gone cannot."""
    if isinstance(error, AskFailed) and error.failure.kind in _HOME_TROUBLE:
        return True
    return isinstance(error, MailboxFull | OmeroBusy | OmeroFailed) or is_of_the_disk(error) or is_away(error)
