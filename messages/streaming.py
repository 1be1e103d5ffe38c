"""The conversation between the bridge, which knows viewers, and the publisher, which knows planes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..transport.messages import Event, Request
from .frames import WellStateChanged
from .planes import PlaneRecord
from .viewing import Contents, Subject


class StreamOpened(msgspec.Struct, frozen=True, kw_only=True):
    """A stream is ready to be begun; its planes will lie in the ring file."""

    contents: Contents
    ring: str
    credits: int


class OpenStream(Request[StreamOpened], frozen=True, kw_only=True, tag="streaming.open"):
    """Prepare a stream: its snapshot from the repository, and what comes from now on.

    ``snapshot_bytes`` bounds the pixels of the snapshot; 0 means everything. It shows what ``requester`` may see. Of a
    plane with more than ``most_plane_bytes`` the viewer is told that it cannot be read; 0 sets no bound.
    """

    viewer: str
    subject: Subject
    snapshot_bytes: int = 0
    most_plane_bytes: int = 0
    requester: str = ""


class BeginStream(Event, frozen=True, kw_only=True, tag="streaming.begin"):
    """The viewer is ready: send."""

    always_taken: ClassVar[bool] = True

    viewer: str


class CloseStream(Event, frozen=True, kw_only=True, tag="streaming.close"):
    """The viewer has left or is proven dead: its slots are free."""

    always_taken: ClassVar[bool] = True

    viewer: str


class CloseAllStreams(Event, frozen=True, kw_only=True, tag="streaming.close_all"):
    """The bridge was started anew and knows no viewers any more."""

    always_taken: ClassVar[bool] = True


class StreamStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one viewer's stream."""

    viewer: str
    n_sent: int
    n_waiting: int
    n_skipped: int
    n_unacknowledged: int


class ListStreams(Request[tuple[StreamStatistics, ...]], frozen=True, kw_only=True, tag="streaming.list"):
    """Ask how every stream stands."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a subject holds already: the latest of every plane, and how its wells stand."""

    contents: Contents
    planes: tuple[PlaneRecord, ...] = ()
    wells: tuple[WellStateChanged, ...] = ()


class AdoptSnapshot(Request[StreamOpened], frozen=True, kw_only=True, tag="streaming.adopt"):
    """The repository has answered: show this first, then what was held back meanwhile."""

    viewer: str
    snapshot: Snapshot

    @property
    def nominal_bytes(self) -> int:
        """What the records count for; their pixels stay on disk."""
        return 512 + 400 * len(self.snapshot.planes)


class PlaneLoaded(Event, frozen=True, kw_only=True, tag="streaming.plane_loaded"):
    """A plane was read into a slot for a viewer; with a ``reason`` it could not be read."""

    always_taken: ClassVar[bool] = True

    viewer: str
    ticket: int
    reason: str = ""


class SayAgain(Event, frozen=True, kw_only=True, tag="streaming.say_again"):
    """The publisher reminds itself of what the bridge had no room for."""
