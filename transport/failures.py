"""The two ways of a failure: an exception on this side, a typed value on the wire."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..config.bounded_text import LONGEST_TOLD, LONGEST_TRACEBACK, bounded, traced
from ..config.errors import MeshError
from . import errors
from .messages import Failure

LONGEST_BRIEF = 200
"""Characters of what names a thing, and of each text where no more fits."""

_KNOWN: dict[str, type[errors.TransportError]] = {
    kind.__name__: kind
    for kind in (
        errors.AskTimedOut,
        errors.PeerGone,
        errors.PeerAnew,
        errors.HeldOff,
        errors.NotPermitted,
        errors.ActorUnknown,
        errors.ActorGivenUp,
        errors.BadMessage,
    )
}


class AskFailed(MeshError, RuntimeError):
    """The actor answered that it could not; ``failure`` says what, where and whose fault."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, hint=failure.hint)
        self.failure = failure


def failure_of(error: BaseException, *, where: str) -> Failure:
    """The value that tells a peer about an exception: it can travel, whatever the exception repeats."""
    return _cut(_told(error, where))


def exception_of(failure: Failure) -> MeshError:
    """The exception that a failure stands for on the asker's side, where the peer says as much as it likes."""
    failure = _cut(failure)
    if failure.kind == "MailboxFull":
        return errors.MailboxFull(failure.message, hint=failure.hint, retry_after_s=failure.retry_after_s)
    known = _KNOWN.get(failure.kind)
    if known is not None:
        return known(failure.message, hint=failure.hint)
    return AskFailed(failure)


def in_brief(failure: Failure) -> Failure:
    """The same for a link over which no more fits: as little as the smallest message that settings allow."""
    return _cut(failure, longest=LONGEST_BRIEF)


def _cut(failure: Failure, *, longest: int = LONGEST_TOLD) -> Failure:
    return msgspec.structs.replace(
        failure,
        kind=bounded(failure.kind, LONGEST_BRIEF),
        message=bounded(failure.message, longest),
        hint=bounded(failure.hint, longest),
        where=bounded(failure.where, LONGEST_BRIEF),
        traceback=bounded(failure.traceback, LONGEST_TRACEBACK) if longest > LONGEST_BRIEF else "",
    )


def _told(error: BaseException, where: str) -> Failure:
    if isinstance(error, AskFailed):
        return error.failure
    if isinstance(error, errors.MailboxFull):
        return Failure(
            kind="MailboxFull",
            message=str(error),
            hint=error.hint,
            where=where,
            blame="environment",
            retry=True,
            retry_after_s=error.retry_after_s,
        )
    if isinstance(error, MeshError):
        blame: Literal["caller", "environment"] = "caller" if isinstance(error, ValueError) else "environment"
        retry = isinstance(error, TimeoutError | ConnectionError)
        return Failure(
            kind=type(error).__name__, message=str(error), hint=error.hint, where=where, blame=blame, retry=retry
        )
    return Failure(
        kind=type(error).__name__,
        message=f"{where} failed: {type(error).__name__}: {error}",
        hint="this is a fault in the mesh, not in the request; the log holds the traceback",
        where=where,
        blame="actor",
        traceback=traced(error),
    )
