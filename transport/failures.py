"""The two ways of a failure: an exception on this side, a typed value on the wire."""

from __future__ import annotations

import traceback
from typing import Literal

from ..config.errors import MeshError
from . import errors
from .messages import Failure

_KNOWN: dict[str, type[errors.TransportError]] = {
    kind.__name__: kind
    for kind in (
        errors.AskTimedOut,
        errors.PeerGone,
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
    """The value that tells a peer about an exception."""
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
        traceback="".join(traceback.format_exception(error)),
    )


def exception_of(failure: Failure) -> MeshError:
    """The exception that a failure stands for on the asker's side."""
    if failure.kind == "MailboxFull":
        return errors.MailboxFull(failure.message, hint=failure.hint, retry_after_s=failure.retry_after_s)
    known = _KNOWN.get(failure.kind)
    if known is not None:
        return known(failure.message, hint=failure.hint)
    return AskFailed(failure)
