"""What can be wrong with plates, their sources and their images."""

from __future__ import annotations

import errno

from ..config.errors import MeshError


class PlatePathError(MeshError, ValueError):
    """A well label or a virtual path is not written as it should be."""


class PlanError(MeshError, ValueError):
    """A source cannot be planned as filesets; ``culprit`` is the file or folder of it that is to blame, if one is."""

    culprit: str = ""


class SourceNotFound(PlanError, FileNotFoundError):
    """There is nothing at the path that was given."""


class SourceUnreadable(PlanError, OSError):
    """A folder or a metadata file of the source cannot be read."""


class SourceFailing(SourceUnreadable, ConnectionError):
    """A folder or file of the source cannot be looked at now, since its disk or network fails; later it may be."""


class BadSourceName(PlanError):
    """A file or folder of the source has a name that is not text, or lies deeper than anything is taken over from."""


class BadSourceTime(PlanError):
    """A file of the source has a time that no clock has told."""


class NothingToImport(PlanError):
    """The source holds no image of a known layout."""


class PlannerFailed(PlanError):
    """A planner itself failed, at a file that nobody had thought of or for a fault of its own."""


class MetadataError(PlanError):
    """A vendor's metadata file is damaged or contradicts itself."""


class NotYetComplete(MetadataError):
    """A vendor's metadata file ends before its end: it is still being written or copied."""


class NothingYet(NotYetComplete, NothingToImport):
    """Metadata declares images, or images wait for their metadata, and nothing can be imported so far."""


class StillOpen(NotYetComplete):
    """The metadata that a microscope begins its acquisition with are not written to their end."""


class NotBegun(NothingYet):
    """The metadata that a microscope begins its acquisition with are there, and not one image so far."""


BEGINNING = frozenset(kind.__name__ for kind in (StillOpen, NotBegun))
"""Names of those that an acquisition cures by itself, however long its first image takes."""
NOT_YET = frozenset(kind.__name__ for kind in (NotYetComplete, NothingYet)) | BEGINNING
"""Names of the errors that more of the source may cure: worth waiting for as long as files keep changing."""


class PatternError(PlanError):
    """A file name pattern is not well formed or matches nothing."""


class DuplicatePlane(PlanError):
    """Two files claim to be the same plane of a plate."""


class PlaceAway(MeshError, ConnectionError):
    """The place that a plate lies in cannot be reached now; later it may be."""


class PlaceRefused(MeshError, PermissionError):
    """The place that a plate lies in answers, and does not hand out what was asked for."""


class ResultsGoElsewhere(MeshError, ValueError):
    """Results were wanted in a place where those of this plate do not go."""


class UnreadableImage(MeshError, ValueError):
    """An image file is damaged, cut short, absent or of an unsupported kind."""


class ImageFailing(UnreadableImage, ConnectionError):
    """An image file cannot be read now, since its disk or network fails; later it may be."""


class ImageTooLarge(UnreadableImage):
    """A plane has more bytes than are read, by what its place says of it."""


class ReaderUnavailable(UnreadableImage):
    """The library that reads an image's format is not here, or cannot be started; the image may be sound."""


class NoLongerAsImported(UnreadableImage):
    """A file that was imported in place is another one by now, or has changed: it is not read."""

    def __init__(self, file: str, reason: str) -> None:
        """Say of a file of the import what differs from its record."""
        super().__init__(
            f"{file} cannot be read as an image: it was imported in place, and {reason}",
            hint="Put back the very file that was imported, or import the folder again as it is now.",
        )
        self.reason = f"was imported in place, and {reason}"


_MAY_PASS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EIO,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENODEV,
        errno.ENOMEM,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ESTALE,
        errno.ETIMEDOUT,
        # Some systems know none of these.
        *(getattr(errno, name) for name in ("ECOMM", "ENOLINK", "EREMOTEIO") if hasattr(errno, name)),
    }
)


def may_pass(error: BaseException) -> bool:
    """Whether a disk or its network has failed, and may answer at the next try; a refusal is none."""
    return isinstance(error, OSError) and error.errno in _MAY_PASS


def unreadable(message: str, error: BaseException, *, hint: str) -> SourceUnreadable:
    """The error for what cannot be looked at: for good, or now."""
    if may_pass(error):
        return SourceFailing(message, hint="Check the disk or the network drive.")
    return SourceUnreadable(message, hint=hint)


class NotAFile(OSError):
    """There is no regular file at a path, or one that its writer keeps for himself; ``strerror`` says what is."""


class NotForReader(PermissionError):
    """A file or folder is not for the person it would be opened for; ``strerror`` says why."""
