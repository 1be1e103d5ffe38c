"""Why a notice did not reach somebody, as its way out says it."""

from __future__ import annotations

from ...config import MeshError


class WayClosed(MeshError, ConnectionError):
    """The mail server or hook takes nothing at all now: everything that goes there waits."""


class NoticePutOff(MeshError, ConnectionError):
    """One notice was not taken over now; it may be later, and others may be at once."""


class NoticeInDoubt(NoticePutOff):
    """One notice may have been taken over: all of it was sent, and no answer came."""


class NoticeRefused(MeshError, ValueError):
    """One notice will never be taken over for one recipient."""


class NoticeNotFound(MeshError, LookupError):
    """No notice has this id."""
