"""The local repository: a folder of imported filesets and their results, beside one SQLite catalogue."""

from .errors import (
    BadName,
    BadResultPlane,
    CatalogueDamaged,
    ChecksumMismatch,
    FilesDoNotMatch,
    ImportRegistered,
    PlateNotFound,
    RepositoryFailed,
    RepositoryFull,
    RepositoryInUse,
    RepositoryNotWritable,
    RepositoryReadOnly,
    ResultNotFound,
    ResultNotSealed,
    SourceChanged,
    SourceFailed,
    SourceMissing,
    SourceUnreadable,
    TransferCancelled,
)
from .ome_tiff import smallest_labels, write_ome_tiff
from .repository import LocalRepository
from .results import read_record, seal_well
from .transfer import transfer
from .verification import verify

__all__ = [
    "BadName",
    "BadResultPlane",
    "CatalogueDamaged",
    "ChecksumMismatch",
    "FilesDoNotMatch",
    "ImportRegistered",
    "LocalRepository",
    "PlateNotFound",
    "RepositoryFailed",
    "RepositoryFull",
    "RepositoryInUse",
    "RepositoryNotWritable",
    "RepositoryReadOnly",
    "ResultNotFound",
    "ResultNotSealed",
    "SourceChanged",
    "SourceFailed",
    "SourceMissing",
    "SourceUnreadable",
    "TransferCancelled",
    "read_record",
    "seal_well",
    "smallest_labels",
    "transfer",
    "verify",
    "write_ome_tiff",
]
