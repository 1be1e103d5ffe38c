"""Whose fault a failed phase is, and so what becomes of the import (pure)."""

from __future__ import annotations

from enum import Enum

from ...config.errors import MeshError
from ...plates.errors import ImageFailing, SourceFailing
from ...plates.local.errors import ChecksumMismatch, RepositoryFailed, RepositoryFull, SourceChanged, SourceFailed
from ...plates.omero.errors import OmeroBusy, OmeroFailed, OmeroNotAnswering, OmeroSessionEnded, OmeroUnreachable
from ...transport.errors import ActorUnknown, AskTimedOut, MailboxFull, PeerGone
from ...transport.failures import AskFailed
from ..errors import MeshFault


class Blame(Enum):
    """What follows from a failure."""

    TRANSIENT = "try again after a while"
    SOURCE_CHANGED = "back to settling, with nothing stored"
    PERMANENT = "a person must look at it"


def blame(error: MeshError) -> Blame:
    """Judge one failure."""
    if isinstance(error, SourceChanged | ChecksumMismatch):
        return Blame.SOURCE_CHANGED
    if isinstance(error, RepositoryFull):
        return Blame.PERMANENT
    if isinstance(error, OmeroUnreachable | OmeroNotAnswering | OmeroSessionEnded | OmeroBusy | OmeroFailed):
        return Blame.TRANSIENT
    if isinstance(error, PeerGone | ActorUnknown | AskTimedOut | MailboxFull | RepositoryFailed):
        return Blame.TRANSIENT
    if isinstance(error, SourceFailed | SourceFailing | ImageFailing):
        return Blame.TRANSIENT
    if isinstance(error, MeshFault):
        # It may have come of what passes, such as memory that was short.
        return Blame.TRANSIENT
    if isinstance(error, AskFailed) and error.failure.retry:
        return Blame.TRANSIENT
    return Blame.PERMANENT
