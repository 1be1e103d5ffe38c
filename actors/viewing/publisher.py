"""The publisher: decides what each viewer is shown, from the snapshot it asks for to what is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

from ...config import get_logger
from ...config.errors import MeshError
from ...messages.frames import (
    FrameTaken,
    JobStateChanged,
    NewsMissed,
    PlanesCommitted,
    StreamEnded,
    WellStateChanged,
)
from ...messages.metadata import PlatesStored
from ...messages.streaming import (
    AdoptSnapshot,
    BeginStream,
    CloseAllStreams,
    CloseStream,
    ListStreams,
    OpenStream,
    PlaneLoaded,
    SayAgain,
    StreamOpened,
    StreamStatistics,
)
from ...messages.viewing import Subject
from ...plates.plane_readers import read_any_plane
from ...plates.plate_source import PlaneReader
from ...supervisors import Actor, Deferred, MailboxLimits
from ...transport.planes import Ring
from .errors import ViewerRefused
from .plane_history import PlaneHistory
from .stream_pump import BRIDGE, OpenedStream, StreamPump
from .viewer_stream import News

log = get_logger(__name__)

ANYBODY = "anybody"
"""A key that is not the owner's: how it is called makes no difference to its part."""

Inbox = (
    OpenStream
    | AdoptSnapshot
    | BeginStream
    | CloseStream
    | CloseAllStreams
    | ListStreams
    | FrameTaken
    | PlaneLoaded
    | SayAgain
    | PlanesCommitted
    | NewsMissed
    | WellStateChanged
    | JobStateChanged
    | PlatesStored
)


class Publisher(Actor[Inbox]):
    """Streams planes from the repository: the snapshot a viewer asks for, then what is committed.

    Snapshot and tail come from the same files, so a plane that is shown is one that is durable. Each
    viewer holds at most ``n_credits`` slots, and all those of one key no more than are still free to others: one
    that freezes stops its own stream only, many that freeze those of their own key. So that it does in a small ring,
    too, no viewer gets all of its key's part, unless that is a single slot.
    """

    mailbox = MailboxLimits(max_messages=100_000)

    def __init__(
        self,
        make_ring: Callable[[], Ring],
        history: PlaneHistory,
        *,
        n_credits: int,
        read: PlaneReader = read_any_plane,
    ) -> None:
        """Publish through the ring that ``make_ring`` makes for each life of the actor."""
        self._make_ring = make_ring
        self._history = history
        self._n_credits = n_credits
        self._read = read

    async def started(self) -> None:
        """Take the ring's memory."""
        self._ring = await asyncio.to_thread(self._make_ring)
        self._pump = StreamPump(self.context, self._ring, self._read)
        n_credits = self._credits_of(ANYBODY)
        if n_credits < self._n_credits:
            log.warning(
                "the ring is small: a viewer gets fewer credits than are set, or one that freezes would stop others",
                credits=n_credits,
                credits_per_viewer=self._n_credits,
                ring_slots=self._ring.layout.n_slots,
            )

    async def stopping(self) -> None:
        """Give the ring's memory back; viewers keep what they have mapped until they let go."""
        self._ring.close()

    async def receive(
        self, message: Inbox
    ) -> Deferred[StreamOpened] | StreamOpened | tuple[StreamStatistics, ...] | None:
        """Handle news of planes, and what the bridge says for its viewers."""
        match message:
            case OpenStream(viewer=viewer, subject=subject, snapshot_bytes=snapshot_bytes, requester=requester):
                n_credits, most = self._credits_of(requester), message.most_plane_bytes
                self._pump.streams[viewer] = OpenedStream(subject, snapshot_bytes, n_credits, requester, most)
                return self.defer(self._look_up(viewer, subject, snapshot_bytes, requester))
            case AdoptSnapshot():
                return self._adopt(message)
            case BeginStream(viewer=viewer):
                if viewer in self._pump.streams:
                    self._pump.streams[viewer].stream.begin()
                    self._pump.move(viewer)
            case CloseStream(viewer=viewer):
                self._pump.close(viewer)
            case CloseAllStreams():
                for viewer in list(self._pump.streams):
                    self._pump.close(viewer)
            case ListStreams():
                return tuple(one.statistics(viewer) for viewer, one in self._pump.streams.items())
            case FrameTaken() | PlaneLoaded() | SayAgain():
                self._pump.go_on(message)
            case PlanesCommitted() | WellStateChanged() | JobStateChanged() | PlatesStored() | NewsMissed():
                self._tell_all(message)
            case _:
                assert_never(message)
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Streams, planes, and the ring's slots."""
        ring = self._ring.statistics()
        return {
            "streams": len(self._pump.streams),
            "unreadable": self._pump.n_unreadable,
            "planes": ring.n_planes,
            "slots_free": ring.n_free,
            "slots_held": ring.n_held,
            "skipped": sum(one.stream.n_skipped for one in self._pump.streams.values()),
        }

    def _credits_of(self, requester: str) -> int:
        return max(1, min(self._n_credits, self._ring.part(requester) - 1))

    async def _look_up(self, viewer: str, subject: Subject, snapshot_bytes: int, requester: str) -> StreamOpened:
        try:
            snapshot = await self._history.of(
                subject, self.context.find, snapshot_bytes=snapshot_bytes, requester=requester
            )
        except MeshError:
            self.context.me.tell(CloseStream(viewer=viewer))
            raise
        return await self.context.me.ask(AdoptSnapshot(viewer=viewer, snapshot=snapshot))

    async def _look_up_again(self, viewer: str, subject: Subject, snapshot_bytes: int, requester: str) -> None:
        try:
            await self._look_up(viewer, subject, snapshot_bytes, requester)
        except MeshError as error:
            # The viewer attaches again, and asks what is latest then.
            self.context.find(BRIDGE).tell(StreamEnded(viewer=viewer, reason=str(error)))

    def _adopt(self, message: AdoptSnapshot) -> StreamOpened:
        one = self._pump.streams.get(message.viewer)
        if one is None:
            raise ViewerRefused("the viewer was gone before its stream could begin", hint="attach again")
        held = one.stream.adopt(message.snapshot, announce=one.shown)
        one.shown = True
        for news in held:
            self._tell(message.viewer, one, news)
        self._pump.move(message.viewer)
        return StreamOpened(contents=message.snapshot.contents, ring=str(self._ring.path), credits=one.n_credits)

    def _tell_all(self, news: News) -> None:
        for viewer, one in list(self._pump.streams.items()):
            self._tell(viewer, one, news)

    def _tell(self, viewer: str, one: OpenedStream, news: News) -> None:
        match one.stream.verdict(news):
            case "hold":
                one.stream.take(news)
            case "take":
                one.stream.take(news)
                self._pump.move(viewer)
            case "switch":
                one.stream.switch()
                subject = one.stream.subject_after(news)
                self.context.spawn(self._look_up_again(viewer, subject, one.snapshot_bytes, one.requester))
            case "pass":
                pass
