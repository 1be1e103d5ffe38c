"""The stream that a viewer follows: planes in shared memory, facts beside them, and what it took."""

from __future__ import annotations

from typing import ClassVar

from ..transport.messages import Event, Role
from ..transport.planes.layout import PlaneRef
from .compute import JobState, WellState
from .planes import PlaneHeader, PlaneRecord
from .viewing import Contents


class PlanesCommitted(Event, frozen=True, kw_only=True, tag="frames.planes_committed"):
    """Planes are durable in the repository: of a job where ``job`` names one, else of a plate that was imported."""

    plate_id: int
    planes: tuple[PlaneRecord, ...]
    plate_name: str = ""
    job: str = ""

    @property
    def nominal_bytes(self) -> int:
        """What the records count for; their pixels stay on disk."""
        return 512 + 400 * len(self.planes)


class WellStateChanged(Event, frozen=True, kw_only=True, tag="frames.well_state_changed"):
    """A well of a job went from one state to the next; ``measurements`` are those of a finished well."""

    plate_id: int
    job: str
    well: str
    state: WellState
    n_objects: int = 0
    measurements: tuple[tuple[str, float], ...] = ()
    error: str = ""


class JobStateChanged(Event, frozen=True, kw_only=True, tag="frames.job_state_changed"):
    """A job began, or came to its end; everything it committed was announced before its end is."""

    plate_id: int
    job: str
    state: JobState
    plate_name: str = ""


class NewsMissed(Event, frozen=True, kw_only=True, tag="frames.news_missed"):
    """There was no room for some of the news: what streams show is to be looked up anew."""


class ContentsChanged(Event, frozen=True, kw_only=True, tag="frames.contents_changed"):
    """What the stream shows changed: another job or plate, or more of the same."""

    contents: Contents


Fact = WellStateChanged | JobStateChanged | ContentsChanged


class Frame(Event, frozen=True, kw_only=True, tag="frames.frame"):
    """One plane of a stream; its slot is the viewer's until it says FrameTaken.

    To a viewer on another host the pixels come beside the message, packed by ``codec`` unless it is empty.

    ``n_waiting`` planes come after this one as far as is known; ``n_skipped`` were superseded by newer
    pixels before they were sent. ``published_at_s`` is the host's monotonic clock.
    """

    bulk: ClassVar[bool] = True

    viewer: str
    sequence: int
    plate_id: int
    job: str
    header: PlaneHeader
    ref: PlaneRef
    n_waiting: int = 0
    n_skipped: int = 0
    published_at_s: float = 0.0
    codec: str = ""


class FactTold(Event, frozen=True, kw_only=True, tag="frames.fact_told"):
    """One fact of a stream, in the same sequence as its planes; facts are never skipped."""

    bulk: ClassVar[bool] = True

    viewer: str
    sequence: int
    fact: Fact
    n_waiting: int = 0


class PlaneUnreadable(Event, frozen=True, kw_only=True, tag="frames.plane_unreadable"):
    """A plane of the stream could not be read from the repository; the stream goes on without it."""

    bulk: ClassVar[bool] = True

    viewer: str
    sequence: int
    header: PlaneHeader
    reason: str
    n_waiting: int = 0


class FrameTaken(Event, frozen=True, kw_only=True, tag="frames.frame_taken"):
    """The viewer has copied the plane: its slot is free and the next one may come.

    ``held_s`` is what the viewer itself took over it, so that the rest is the link's time.
    """

    audience: ClassVar[Role | None] = "viewer"
    always_taken: ClassVar[bool] = True
    """Where the bridge passes it on: once for each plane that the viewer was shown."""

    viewer: str
    sequence: int
    held_s: float = 0.0


class StreamEnded(Event, frozen=True, kw_only=True, tag="frames.stream_ended"):
    """The mesh gave the stream up; the viewer may attach again."""

    always_taken: ClassVar[bool] = True

    viewer: str
    reason: str
