"""The local repository: a folder of imported filesets and their results, beside one SQLite catalogue.

A name is loaded when it is first used: who only catches its errors does not pay for its images.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        BadName,
        BadResultPlane,
        CatalogueDamaged,
        CertificateForged,
        CertificateRefused,
        CertificateUnreadable,
        ChecksumMismatch,
        FilesDoNotMatch,
        ImportedInPlace,
        ImportRegistered,
        NothingToCertify,
        PlateNotFound,
        RepositoryFailed,
        RepositoryFull,
        RepositoryInUse,
        RepositoryNotWritable,
        RepositoryReadOnly,
        ResultNotFound,
        ResultNotSealed,
        SameDisk,
        SigningKeyFailed,
        SourceChanged,
        SourceFailed,
        SourceMissing,
        SourceUnreadable,
        TransferCancelled,
    )
    from .folder_reader import FolderReader
    from .ome_tiff import smallest_labels, write_ome_tiff
    from .repository import LocalRepository
    from .results import read_record, seal_well
    from .verification import verify

_ROOMS = {
    "BadName": ".errors",
    "BadResultPlane": ".errors",
    "CatalogueDamaged": ".errors",
    "CertificateForged": ".errors",
    "CertificateRefused": ".errors",
    "CertificateUnreadable": ".errors",
    "ChecksumMismatch": ".errors",
    "FilesDoNotMatch": ".errors",
    "FolderReader": ".folder_reader",
    "ImportRegistered": ".errors",
    "ImportedInPlace": ".errors",
    "LocalRepository": ".repository",
    "NothingToCertify": ".errors",
    "PlateNotFound": ".errors",
    "RepositoryFailed": ".errors",
    "RepositoryFull": ".errors",
    "RepositoryInUse": ".errors",
    "RepositoryNotWritable": ".errors",
    "RepositoryReadOnly": ".errors",
    "ResultNotFound": ".errors",
    "ResultNotSealed": ".errors",
    "SameDisk": ".errors",
    "SigningKeyFailed": ".errors",
    "SourceChanged": ".errors",
    "SourceFailed": ".errors",
    "SourceMissing": ".errors",
    "SourceUnreadable": ".errors",
    "TransferCancelled": ".errors",
    "read_record": ".results",
    "seal_well": ".results",
    "smallest_labels": ".ome_tiff",
    "verify": ".verification",
    "write_ome_tiff": ".ome_tiff",
}

__all__ = [
    "BadName",
    "BadResultPlane",
    "CatalogueDamaged",
    "CertificateForged",
    "CertificateRefused",
    "CertificateUnreadable",
    "ChecksumMismatch",
    "FilesDoNotMatch",
    "FolderReader",
    "ImportRegistered",
    "ImportedInPlace",
    "LocalRepository",
    "NothingToCertify",
    "PlateNotFound",
    "RepositoryFailed",
    "RepositoryFull",
    "RepositoryInUse",
    "RepositoryNotWritable",
    "RepositoryReadOnly",
    "ResultNotFound",
    "ResultNotSealed",
    "SameDisk",
    "SigningKeyFailed",
    "SourceChanged",
    "SourceFailed",
    "SourceMissing",
    "SourceUnreadable",
    "TransferCancelled",
    "read_record",
    "seal_well",
    "smallest_labels",
    "verify",
    "write_ome_tiff",
]


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(room, __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
