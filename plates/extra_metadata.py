"""What a facility's own functions read of a plate from the files beside its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec

from .model import Plate
from .planners.folder import Folder
from .planners.plan import Fileset, Plan

ENTRY_POINTS = "hcs_mesh.plate_metadata"
MAX_ENTRIES = 200
MAX_KEY = 200
MAX_VALUE = 10_000


class ReadMetadata(Protocol):
    """A function of a facility: given a source and one plate that was found in it, what else is known of the plate.

    It runs wherever sources are planned, in the inspector, and sees of ``folder`` what planners see.
    """

    def __call__(self, folder: Folder, fileset: Fileset, plate: Plate) -> Mapping[str, str]:
        """The names and texts; empty where there is nothing of its own."""


def with_metadata(folder: Folder, found: Plan) -> Plan:
    """The same plan, its plates with what every installed function read; one that fails is a note on the plate."""
    readers = tuple(entry_points(group=ENTRY_POINTS))
    if not readers:
        return found
    named = sorted(readers, key=lambda entry: entry.name)

    def described(fileset: Fileset, plate: Plate) -> Plate:
        said: dict[str, str] = {}
        notes = list(plate.notes)
        for entry in named:
            try:
                said.update(_checked(entry.load()(folder, fileset, plate)))
            except Exception as error:  # noqa: BLE001 - foreign code, and what it may raise is what its libraries do
                # What only describes a plate is no reason not to import it.
                notes.append(f"the metadata reader '{entry.name}' failed: {type(error).__name__}: {error}"[:MAX_VALUE])
        return msgspec.structs.replace(plate, metadata=tuple(said.items()), notes=tuple(notes))

    return msgspec.structs.replace(
        found,
        filesets=tuple(
            msgspec.structs.replace(fileset, plates=tuple(described(fileset, plate) for plate in fileset.plates))
            for fileset in found.filesets
        ),
    )


def _checked(said: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    if len(said) > MAX_ENTRIES:
        raise ValueError(f"it gives {len(said)} entries, and at most {MAX_ENTRIES} are kept")
    for key, value in said.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{key!r} is {value!r}, and both must be texts")
        if not key or len(key) > MAX_KEY or len(value) > MAX_VALUE:
            raise ValueError(f"{key[:MAX_KEY]!r} is no name, or its text is over {MAX_VALUE} characters")
        yield key, value
