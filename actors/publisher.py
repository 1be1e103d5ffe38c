"""The publisher: reads committed planes into shared memory, for each viewer as it has room for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, assert_never

import numpy as np
from numpy.typing import NDArray

from ..config.errors import MeshError
from ..messages.frames import (
    FactTold,
    Frame,
    FrameTaken,
    JobStateChanged,
    PlanesCommitted,
    PlaneUnreadable,
    StreamEnded,
    WellStateChanged,
)
from ..messages.metadata import PlatesStored
from ..messages.streaming import (
    AdoptSnapshot,
    BeginStream,
    CloseAllStreams,
    CloseStream,
    ListStreams,
    OpenStream,
    PlaneLoaded,
    StreamOpened,
    StreamStatistics,
)
from ..messages.viewing import Subject
from ..plates.pixels import read_plane
from ..supervisors import Actor, Deferred, MailboxLimits
from ..transport.planes import PlaneRef, Reservation, Ring, RingFull
from .plane_history import PlaneHistory
from .viewer_errors import ViewerRefused
from .viewer_stream import Announced, News, ViewerStream

BRIDGE = "viewers"


class ReadPlane(Protocol):
    """Reads one plane of a file into an array of its shape and type."""

    def __call__(self, root: Path, file: str, page: int = 0, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read it."""
        ...


Inbox = (
    OpenStream
    | AdoptSnapshot
    | BeginStream
    | CloseStream
    | CloseAllStreams
    | ListStreams
    | FrameTaken
    | PlaneLoaded
    | PlanesCommitted
    | WellStateChanged
    | JobStateChanged
    | PlatesStored
)


class _Open:
    """An open stream: its order, the slots its viewer holds, and the plane being read for it."""

    def __init__(self, subject: Subject, snapshot_bytes: int, n_credits: int) -> None:
        self.stream = ViewerStream(subject, n_credits=n_credits)
        self.snapshot_bytes = snapshot_bytes
        self.held: dict[int, PlaneRef] = {}
        self.works: tuple[int, Announced, float] | None = None
        self.opened = False


class Publisher(Actor[Inbox]):
    """Streams planes from the repository: the snapshot a viewer asks for, then what is committed.

    Snapshot and tail come from the same files, so a plane that is shown is one that is durable. Each
    viewer holds at most ``n_credits`` slots; one that freezes stops its own stream only.
    """

    mailbox = MailboxLimits(max_messages=100_000)

    def __init__(
        self,
        make_ring: Callable[[], Ring],
        history: PlaneHistory,
        *,
        n_credits: int,
        read: ReadPlane = read_plane,
    ) -> None:
        """Publish through the ring that ``make_ring`` makes for each life of the actor."""
        self._make_ring = make_ring
        self._history = history
        self._n_credits = n_credits
        self._read = read
        self._open: dict[str, _Open] = {}
        self._starved: dict[str, None] = {}
        self._reservations: dict[int, Reservation] = {}
        self._last_ticket = 0
        self._n_unreadable = 0
        self._ring: Ring | None = None

    async def started(self) -> None:
        """Take the ring's memory."""
        self._ring = await asyncio.to_thread(self._make_ring)

    async def stopping(self) -> None:
        """Give the ring's memory back; viewers keep what they have mapped until they let go."""
        if self._ring is not None:
            self._ring.close()

    async def receive(
        self, message: Inbox
    ) -> Deferred[StreamOpened] | StreamOpened | tuple[StreamStatistics, ...] | None:
        """Handle news of planes, and what the bridge says for its viewers."""
        match message:
            case OpenStream(viewer=viewer, subject=subject, snapshot_bytes=snapshot_bytes):
                self._open[viewer] = _Open(subject, snapshot_bytes, self._n_credits)
                return self.defer(self._look_up(viewer, subject, snapshot_bytes))
            case AdoptSnapshot():
                return self._adopt(message)
            case BeginStream(viewer=viewer):
                if viewer in self._open:
                    self._open[viewer].stream.begin()
                    self._pump(viewer)
            case CloseStream(viewer=viewer):
                self._close(viewer)
            case CloseAllStreams():
                for viewer in list(self._open):
                    self._close(viewer)
            case ListStreams():
                return tuple(_statistics(viewer, one.stream) for viewer, one in self._open.items())
            case FrameTaken(viewer=viewer, sequence=sequence):
                self._taken(viewer, sequence)
            case PlaneLoaded():
                self._loaded(message)
            case PlanesCommitted() | WellStateChanged() | JobStateChanged() | PlatesStored():
                self._tell_all(message)
            case _:
                assert_never(message)
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Streams, planes, and the ring's slots."""
        ring = self._ring.statistics() if self._ring is not None else None
        return {
            "streams": len(self._open),
            "unreadable": self._n_unreadable,
            "planes": ring.n_planes if ring else 0,
            "slots_free": ring.n_free if ring else 0,
            "slots_held": ring.n_held if ring else 0,
            "skipped": sum(one.stream.n_skipped for one in self._open.values()),
        }

    # -- subjects ---------------------------------------------------------------------------------

    async def _look_up(self, viewer: str, subject: Subject, snapshot_bytes: int) -> StreamOpened:
        try:
            snapshot = await self._history.of(subject, self.context.find, snapshot_bytes=snapshot_bytes)
        except MeshError:
            self.context.me.tell(CloseStream(viewer=viewer))
            raise
        return await self.context.me.ask(AdoptSnapshot(viewer=viewer, snapshot=snapshot))

    async def _look_up_again(self, viewer: str, subject: Subject, snapshot_bytes: int) -> None:
        try:
            await self._look_up(viewer, subject, snapshot_bytes)
        except MeshError as error:
            # The viewer attaches again, and asks what is latest then.
            self.context.find(BRIDGE).tell(StreamEnded(viewer=viewer, reason=str(error)))

    def _adopt(self, message: AdoptSnapshot) -> StreamOpened:
        ring = self._ring
        one = self._open.get(message.viewer)
        if one is None or ring is None:
            raise ViewerRefused("the viewer was gone before its stream could begin", hint="attach again")
        held = one.stream.adopt(message.snapshot, announce=one.opened)
        one.opened = True
        for news in held:
            self._tell(message.viewer, one, news)
        self._pump(message.viewer)
        return StreamOpened(contents=message.snapshot.contents, ring=str(ring.path), credits=self._n_credits)

    def _tell_all(self, news: News) -> None:
        for viewer, one in list(self._open.items()):
            self._tell(viewer, one, news)

    def _tell(self, viewer: str, one: _Open, news: News) -> None:
        match one.stream.verdict(news):
            case "hold":
                one.stream.take(news)
            case "take":
                one.stream.take(news)
                self._pump(viewer)
            case "switch":
                one.stream.switch()
                if isinstance(news, PlatesStored):
                    subject = Subject(plate_id=news.plate_ids[-1])
                else:
                    subject = Subject(job=news.job)
                self.context.spawn(self._look_up_again(viewer, subject, one.snapshot_bytes))
            case "pass":
                pass

    # -- planes -----------------------------------------------------------------------------------

    def _pump(self, viewer: str) -> None:
        """Send every fact whose turn it is, and start reading the next plane where there is room for it."""
        one = self._open[viewer]
        while (due := one.stream.next_fact()) is not None:
            sequence, fact = due
            self.context.find(BRIDGE).tell(
                FactTold(viewer=viewer, sequence=sequence, fact=fact, n_waiting=one.stream.n_waiting)
            )
        if not one.stream.may_load() or self._ring is None:
            return
        announced = one.stream.next_plane()
        header = announced.record.header
        try:
            reservation = self._ring.reserve((header.height, header.width), np.dtype(header.dtype))
        except RingFull:
            # Others hold every slot: this stream goes on with the next one that comes back.
            self._starved[viewer] = None
            return
        except MeshError as error:
            one.stream.load()
            self._unreadable(viewer, one, announced, str(error))
            self._pump(viewer)
            return
        one.stream.load()
        self._last_ticket += 1
        self._reservations[self._last_ticket] = reservation
        one.works = (self._last_ticket, announced, time.monotonic())
        self.context.spawn(self._load(viewer, self._last_ticket, announced, reservation))

    async def _load(self, viewer: str, ticket: int, announced: Announced, reservation: Reservation) -> None:
        record = announced.record
        reason = ""
        try:
            await asyncio.to_thread(self._read, Path(record.root), record.file, record.page, out=reservation.pixels)
        except MeshError as error:
            reason = str(error)
        self.context.me.tell(PlaneLoaded(viewer=viewer, ticket=ticket, reason=reason))

    def _loaded(self, message: PlaneLoaded) -> None:
        reservation = self._reservations.pop(message.ticket)
        one = self._open.get(message.viewer)
        if one is None or one.works is None or one.works[0] != message.ticket:
            # The viewer left while its plane was read.
            reservation.discard()
            self._feed_the_starved()
            return
        _, announced, published_at_s = one.works
        one.works = None
        if message.reason:
            reservation.discard()
            self._unreadable(message.viewer, one, announced, message.reason)
        else:
            ref = reservation.fill([message.viewer])
            reservation.ring.let_go(ref)
            sequence = one.stream.sent()
            one.held[sequence] = ref
            self.context.find(BRIDGE).tell(
                Frame(
                    viewer=message.viewer,
                    sequence=sequence,
                    plate_id=announced.plate_id,
                    job=announced.job,
                    header=announced.record.header,
                    ref=ref,
                    n_waiting=one.stream.n_waiting,
                    n_skipped=one.stream.n_skipped,
                    published_at_s=published_at_s,
                )
            )
        self._pump(message.viewer)

    def _unreadable(self, viewer: str, one: _Open, announced: Announced, reason: str) -> None:
        self._n_unreadable += 1
        self.context.find(BRIDGE).tell(
            PlaneUnreadable(
                viewer=viewer,
                sequence=one.stream.sent(readable=False),
                header=announced.record.header,
                reason=reason,
                n_waiting=one.stream.n_waiting,
            )
        )

    def _taken(self, viewer: str, sequence: int) -> None:
        one = self._open.get(viewer)
        if one is None or self._ring is None or not one.stream.taken(sequence):
            return
        ref = one.held.pop(sequence)
        self._ring.acknowledge(ref.slot, ref.generation, viewer)
        self._pump(viewer)
        self._feed_the_starved()

    def _close(self, viewer: str) -> None:
        if self._open.pop(viewer, None) is None or self._ring is None:
            return
        self._starved.pop(viewer, None)
        self._ring.release_all(viewer)
        self._feed_the_starved()

    def _feed_the_starved(self) -> None:
        starved, self._starved = self._starved, {}
        for viewer in starved:
            if viewer in self._open:
                self._pump(viewer)


def _statistics(viewer: str, stream: ViewerStream) -> StreamStatistics:
    return StreamStatistics(
        viewer=viewer,
        n_sent=stream.n_sent,
        n_waiting=stream.n_waiting,
        n_skipped=stream.n_skipped,
        n_unacknowledged=stream.n_unacknowledged,
    )
