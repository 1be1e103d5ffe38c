"""The plates of an OMERO.server, shown to each person as that person sees them there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import PlaceRefused
from ..labels import Labels
from ..local.errors import check_plate_id
from ..model import Plate, PlateSummary
from ..plate_source import Freshness, Stamped
from .address import Person
from .connection import Connection
from .off_plates import no_plate_there
from .person import ActsForPeople, InTheNameOf
from .plate_labels import read_labels
from .plates import list_plates, read_plate, read_stamped
from .structure import STAMP, stamp_of_answer

T = TypeVar("T")
REREAD_S = 3600.0
"""How often all of a plate is asked for again: its stamp does not tell of names of channels."""


class OmeroSource:
    """Asks in the name of whoever asks, in that person's session; what it may not see is not there."""

    kind = "omero"
    compatible_results: tuple[str, ...] = ("omero",)

    def __init__(self, people: ActsForPeople, *, fresh_s: float = 60.0, clock: Callable[[], float] = time.time) -> None:
        """Ask through ``people``, who stay their owner's; an answer is told from memory for ``fresh_s``.

        ``clock`` says the seconds since 1970.
        """
        self._people = people
        self._fresh_s = fresh_s
        self._clock = clock

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate that this person may see.

        Raises:
            OmeroAwaitsLogin: nobody can act for the person before the next login.
            PlaceRefused: it is asked in nobody's name.
            OmeroError: the server refuses or cannot be reached.
        """
        return self._read(requester, list_plates)

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        """Return what one plate holds, its root being the server's address.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see.
        MetadataError: it claims more planes than are read.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        check_plate_id(plate_id)
        return self._read(requester, lambda connection: read_plate(connection, plate_id).plate)

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        """Return what one plate holds, and its stamp out of the same answer.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see.
        MetadataError: it claims more planes than are read.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        check_plate_id(plate_id)
        # Before it is read: what changes meanwhile is seen an hour later.
        hour = self._hour()
        found, stamp = self._read(requester, lambda connection: read_stamped(connection, plate_id))
        return Stamped(found.plate, stamp + hour)

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        """Say where a plate belongs and what people said of it there, in two questions.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        check_plate_id(plate_id)
        return self._read(requester, lambda connection: read_labels(connection, plate_id))

    def freshness(self, plate_id: int = 0) -> Freshness:
        """Others write there, and each person sees other plates."""
        return Freshness(self._fresh_s, is_private=True)

    def stamp(self, plate_id: int, requester: str = "") -> str:
        """One query: the plate's name, shape and group, how many images it has, up to which; and the hour.

        Raises:
            PlateNotFound: no plate has this id, or none that this person may see any more.
            OmeroAwaitsLogin, PlaceRefused, OmeroError: as for ``plates``.
        """
        return stamp_of_answer(self._rows(STAMP, plate_id, requester)[0]) + self._hour()

    def close(self) -> None:
        """Nothing: the connections are not its own."""

    def _hour(self) -> str:
        return f" {int(self._clock() // REREAD_S)}"

    def _rows(self, query: str, plate_id: int, requester: str) -> list[list[object]]:
        check_plate_id(plate_id)

        def ask(connection: Connection) -> list[list[object]]:
            rows = [[*row] for row in connection.rows(query, pid=plate_id)]
            if not rows:
                raise no_plate_there(connection, plate_id)
            return rows

        return self._read(requester, ask)

    def _read(self, requester: str, work: Callable[[Connection], T]) -> T:
        if not requester:
            raise PlaceRefused("plates in OMERO are shown to persons, and nobody's name was given")
        return InTheNameOf(Person(user=requester), self._people).read(work)
