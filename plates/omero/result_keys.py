"""How what was written to OMERO is known again: namespaces, keys and what is noted beside them (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import msgspec

RESULTS = "hcs-mesh/result"
"""Namespace of the record of a finished well; those below it are of what belongs to it."""
FILE = f"{RESULTS}/file"
TABLE = f"{RESULTS}/table"
LABELS = f"{RESULTS}/labels"
IMAGE = f"{RESULTS}/image"
PLATE = f"{RESULTS}/plate"
PIPELINE = f"{RESULTS}/pipeline"

LONGEST = 255
"""What names, namespaces and the values of key-value pairs may have in OMERO's database."""
_SHORTENED = LONGEST - 41

_MIMETYPES: Mapping[str, str] = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".py": "text/x-python",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}

Pairs = tuple[tuple[str, str], ...]


class ResultKey(msgspec.Struct, frozen=True, kw_only=True):
    """What one thing that a job wrote is known by: written again it is the same thing."""

    job: str
    plate_id: int
    well: str = ""
    path: str = ""
    origin: str = ""
    """The mesh whose job it is: each counts its jobs from one."""
    owner: str = ""
    """Whose it is at OMERO, the session's user where it is empty: anybody may give anything the same name."""

    @property
    def text(self) -> str:
        """The key as the name of an annotation."""
        parts = (self.origin, self.job, f"plate_{self.plate_id}", self.well, self.path)
        return fitting("/".join(part for part in parts if part))

    @property
    def folder(self) -> str:
        """The path that OMERO shows of the file; its database bounds it."""
        # With its mesh: what is not linked yet is known by this path and the name alone.
        parts = ("hcs-mesh", self.origin, self.job, f"plate_{self.plate_id}", self.well, self.path)
        parent = str(PurePosixPath(*parts).parent)
        return fitting(f"{parent}/")

    @property
    def name(self) -> str:
        """The file's own name."""
        return fitting(PurePosixPath(self.path).name)


def fitting(text: str) -> str:
    """A text that fits into a column of OMERO's database, and differs wherever two texts do."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:_SHORTENED]}~{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"


def mimetype(path: str) -> str:
    """The type of a file by its name."""
    return _MIMETYPES.get(PurePosixPath(path).suffix.lower(), "application/octet-stream")


def noted(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as the lines of a description."""
    return "\n".join(f"{name}: {' '.join(value.split())}" for name, value in pairs)


def parse_noted(text: str | None) -> dict[str, str]:
    """The pairs that the lines of a description hold; other lines are no pairs."""
    lines = (line.partition(": ") for line in (text or "").splitlines())
    return {name: value for name, colon, value in lines if colon}


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What is said, beside the job, of everything that a job writes."""

    pipeline: str = ""
    source: str = ""
    """The pipeline's source."""
    owner: str = ""
    versions: Pairs = ()
    """Programs and their versions."""


def provenance_pairs(provenance: Provenance, key: ResultKey, *, attempt: int) -> Pairs:
    """Provenance as key-value pairs, without what is empty; a long source is told by its SHA-1."""
    sha1 = hashlib.sha1(provenance.source.encode(), usedforsecurity=False).hexdigest() if provenance.source else ""
    told = (
        ("job", key.job),
        ("mesh", key.origin),
        ("plate", str(key.plate_id)),
        ("well", key.well),
        ("attempt", str(attempt)),
        ("pipeline", provenance.pipeline),
        ("pipeline source", provenance.source if len(provenance.source) <= LONGEST else ""),
        ("pipeline SHA-1", sha1),
        ("owner", provenance.owner),
        *((f"{program} version", version) for program, version in provenance.versions),
    )
    return tuple((name, fitting(value)) for name, value in told if value)
