"""What a facility's own readers said of plates, at the plates that OMERO has made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..repository import StoredFileset
from .connection import Connection
from .standing import FiledFileset

METADATA = "hcs-mesh/plate-metadata"
"""The namespace of what was read of a plate when it was imported."""
NAMES = "select plate.id, plate.name from Plate plate where plate.id in (:ids)"

Pairs = tuple[tuple[str, str], ...]


def metadata_of(connection: Connection, fileset: FiledFileset, planned: StoredFileset) -> Mapping[int, Pairs]:
    """What is to stand at each plate of a fileset, by its id; of several plates those are told apart by their names.

    Where no name, or not one alone, says which plate it is, nothing is said of it: better than of another one.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    described = [plate for plate in planned.plates if plate.metadata]
    if not described:
        return {}
    if len(planned.plates) == len(fileset.plate_ids) == 1:
        return {fileset.plate_ids[0]: planned.plates[0].metadata}
    named = {int(number): str(name) for number, name in connection.rows(NAMES, ids=list(fileset.plate_ids))}
    there, wanted = Counter(named.values()), Counter(plate.name for plate in planned.plates)
    said = {plate.name: plate.metadata for plate in described if wanted[plate.name] == there[plate.name] == 1}
    return {number: said[name] for number, name in named.items() if name in said}
