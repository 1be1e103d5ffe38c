"""What can go wrong between the mesh and a folder on a disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...config.errors import MeshError
from ..errors import NotAFile, NotForReader


class RepositoryFailed(MeshError, OSError):
    """The disk under the repository refused; the message names the file and the reason."""


class RepositoryFull(RepositoryFailed):
    """There is no room left in the repository."""


class RepositoryNotWritable(MeshError, PermissionError):
    """The repository's folder does not let us write."""


class RepositoryInUse(MeshError, BlockingIOError):
    """Another process writes to this repository."""


class RepositoryReadOnly(MeshError, PermissionError):
    """A change was asked of a repository that was opened for reading."""


class CatalogueDamaged(MeshError, ValueError):
    """The catalogue is not what this version can read."""


class SourceUnreadable(MeshError, PermissionError):
    """A file of the source exists and may not be read."""


class SourceMissing(MeshError, FileNotFoundError):
    """A file of the source is gone."""


class SourceChanged(MeshError, ValueError):
    """A file of the source changed while it was taken over; nothing of it was kept as complete."""


class SourceFailed(MeshError, OSError):
    """The disk under the source refused to hand out a file."""


class TransferCancelled(MeshError, RuntimeError):
    """The caller wanted no more; what is there continues with the next call."""


class ChecksumMismatch(MeshError, ValueError):
    """Stored files do not hold what was read from the source; ``files`` names them all."""

    def __init__(self, message: str, *, hint: str = "", files: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.files = files


class BadName(MeshError, ValueError):
    """An id or a path is not one that may become a name below the repository."""


class PlateNotFound(MeshError, LookupError):
    """No plate has this id."""


class ResultNotFound(MeshError, LookupError):
    """The job has no finished result for this well."""


class ImportRegistered(MeshError, ValueError):
    """The import's plates exist, so its files stay."""


class FilesDoNotMatch(MeshError, ValueError):
    """A plate names a file that is not in its fileset."""


class ResultNotSealed(MeshError, ValueError):
    """A well's folder is missing, is unfinished or belongs to another well."""


class BadResultPlane(MeshError, ValueError):
    """An array cannot be written as an OME-TIFF."""


class CertificateRefused(MeshError, ValueError):
    """An import gets no safe-to-delete certificate; it is complete all the same."""


class ImportedInPlace(CertificateRefused):
    """The repository holds links to the source and none of its bytes."""


class SameDisk(CertificateRefused):
    """Source and repository lie on one disk."""


class NothingToCertify(CertificateRefused):
    """The import is not finished, or holds no file."""


class CertificateOfAnother(CertificateRefused):
    """The certificate of an import from before the journal was lost has this import's name."""


class CertificateForged(MeshError, ValueError):
    """A certificate is not what was signed, or another key has signed it."""


class CertificateUnreadable(MeshError, ValueError):
    """A file is no certificate, or there is none."""


class SigningKeyFailed(MeshError, ValueError):
    """The key that signs certificates cannot be used."""


LAST_ID = (1 << 63) - 1
"""The largest id that the catalogue can have given: a row's number has 64 bits, and one of them is its sign."""


def check_plate_id(plate_id: int) -> None:
    """Refuse a number that no plate can have, before anything tries to carry or to bind it.

    Raises:
        PlateNotFound: it cannot be the id of a plate.
    """
    if not 0 < plate_id <= LAST_ID:
        raise no_plate(plate_id)


def no_plate(plate_id: int) -> PlateNotFound:
    """The error for an id that no plate has."""
    return PlateNotFound(f"There is no plate {plate_id}.", hint="'hcs-mesh plates' lists those that exist.")


def source_error(error: OSError, path: Path | str) -> MeshError:
    """Say what a failed look at a source file means."""
    if isinstance(error, NotAFile):
        return SourceChanged(
            f"{path} changed after it had settled: {error.strerror}.",
            hint="Put the file back: the import waits until it is quiet, then reads it again.",
        )
    if isinstance(error, NotForReader):
        return SourceUnreadable(
            f"{path} is not read for this import: {error.strerror}.",
            hint="Give that person read permission on the file and the folders above it, or leave it out, then retry.",
        )
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return SourceUnreadable(
                f"{path} may not be read by the account that the mesh runs under.",
                hint="Give that account read permission on the file and on the folders above it, then retry.",
            )
        case errno.ENOENT | errno.ENOTDIR:
            return SourceMissing(f"{path} is no longer there.", hint="Put the file back, or import the folder anew.")
        case _:
            return SourceFailed(
                f"{path} cannot be read: {error.strerror}.", hint="Check the disk or the network drive."
            )


def repository_error(error: OSError, path: Path | str, *, n_bytes_free: int | None = None) -> MeshError:
    """Say what a failed operation on a file of the repository means."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            room = "" if n_bytes_free is None else f" ({n_bytes_free:,} bytes are free)"
            return RepositoryFull(
                f"The repository is full: {path} could not be written{room}.",
                hint="Free space on that disk or move the data folder to a larger one; what is there is continued.",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return RepositoryNotWritable(
                f"{path} may not be written by the account that the mesh runs under.",
                hint="Give that account write permission on the data folder, or choose another with --data.",
            )
        case _:
            return RepositoryFailed(f"{path}: {error.strerror}.", hint="Check the disk under the data folder.")


@contextmanager
def repository_errors(path: Path | str) -> Iterator[None]:
    """Translate what the operating system says about a file of the repository.

    Raises:
        RepositoryFull: no space or quota is left.
        RepositoryNotWritable: permissions forbid it.
        RepositoryFailed: anything else that the disk refuses.
    """
    try:
        yield
    except MeshError:
        raise
    except OSError as error:
        raise repository_error(error, path) from error
