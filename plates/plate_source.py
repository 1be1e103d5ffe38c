"""What the mesh asks of a place to see and analyse its plates: all that another kind of place has to implement.

Every call blocks and is called from threads. ``requester`` is the person in whose name it is asked, by the name of
that person's key; empty is the mesh itself, for what belongs to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    # Loaded by what computes, and not by a command that only lists.
    from numpy.typing import NDArray

from .labels import Labels
from .model import Plate, PlateSummary

Plane: TypeAlias = "NDArray[Any]"


class Freshness(NamedTuple):
    """How long the structure of a plate may be told from memory, and to whom."""

    fresh_s: float | None = None
    """Seconds after which its stamp is asked for again; None where nothing changes but through the mesh."""
    is_private: bool = False
    """Whether the place decides for each person what is seen: then nothing that one was told is told to another."""


class Stamped(NamedTuple):
    """A plate, and what ``stamp`` answers for as long as the plate is as it is here."""

    plate: Plate
    stamp: str


THROUGH_THE_MESH = Freshness()
"""Of a place that nobody else writes to, and in which everybody sees the same."""


class PlateIndex(Protocol):
    """Knows plates by their numbers."""

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate that this person may see.

        Raises:
            PlatesIncomplete: these are several places, of which some cannot.
        """

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        """Return what one plate holds; its root is an absolute folder, or an address whose scheme says who reads it.

        Raises:
            PlateNotFound: there is none, or none that this person may see.
        """

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        """Return a plate with its stamp, by what answers for both, or the stamp first: what changes then is seen.

        Raises:
            PlateNotFound: there is none, or none that this person may see.
        """

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        """Say where a plate belongs and what people said of it."""

    def freshness(self, plate_id: int = 0) -> Freshness:
        """Say how long what ``plate`` answered may be told from memory; of 0, what ``plates`` did."""

    def stamp(self, plate_id: int, requester: str = "") -> str:
        """Answer, by one quick question, with something that is another once the plate is; empty is never the same.

        Raises:
            PlateNotFound: there is none, or none that this person may see any more.
        """


class PlateSource(PlateIndex, Protocol):
    """A place whose plates can be seen and analysed, whether or not anything can be written there."""

    @property
    def kind(self) -> str:
        """The backend's name: 'local'."""

    @property
    def compatible_results(self) -> tuple[str, ...]:
        """The backends that can hold results of these plates, best first; where results go is decided by this."""

    def close(self) -> None:
        """Let go of files, locks and connections; nothing more may be asked."""


class PlaneReader(Protocol):
    """Reads the planes of one kind of place; each process that computes or shows has one of its own."""

    def __call__(self, root: str, file: str, page: int = 0, *, out: Plane | None = None, requester: str = "") -> Plane:
        """One plane (Y, X) of a file below a plate's root, in native byte order; into ``out`` where given.

        Raises:
            UnreadableImage: the plane is absent or damaged, or not of out's shape and type.
            MeshError: another one, where the place cannot be reached; it is a ConnectionError where that may pass.
        """
