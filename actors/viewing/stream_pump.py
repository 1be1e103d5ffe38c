"""The pump of streams: sends each viewer what its stream says is next, as it has credit and the ring has slots."""

from __future__ import annotations

from collections import deque

from ...config.errors import MeshError
from ...messages.frames import FactTold, Frame, FrameTaken, PlaneUnreadable
from ...messages.streaming import PlaneLoaded, SayAgain, StreamStatistics
from ...messages.viewing import Subject
from ...plates.plate_source import PlaneReader
from ...supervisors import Context
from ...transport import MailboxFull
from ...transport.planes import PlaneRef, PlaneTooLarge, Ring, RingFull
from ...transport.planes.layout import plane_bytes
from .plane_loader import Loading, PlaneLoader
from .viewer_stream import Announced, ViewerStream

BRIDGE = "viewers"
AGAIN_S = 0.05
"""So long after the bridge had no room it is told again."""


class OpenedStream:
    """A viewer's stream: its order, the slots its viewer holds, and the plane being read for it."""

    def __init__(
        self, subject: Subject, snapshot_bytes: int, n_credits: int, requester: str = "", most_plane_bytes: int = 0
    ) -> None:
        """Show ``subject`` to the person ``requester``, as far as that person may see it.

        Its viewer takes planes of up to ``most_plane_bytes``; 0 sets no bound.
        """
        self.stream = ViewerStream(subject, n_credits=n_credits)
        self.snapshot_bytes = snapshot_bytes
        self.requester = requester
        self.n_credits = n_credits
        self.most_plane_bytes = most_plane_bytes
        self.held: dict[int, PlaneRef] = {}
        self.loading: Loading | None = None
        self.shown = False
        """Whether a snapshot has been adopted: its viewer knows what it looks at."""

    def check_size(self, announced: Announced) -> None:
        """Accept a plane that the viewer takes.

        Raises:
            PlaneTooLarge: it takes none of that size.
            BadPlane: the plane is none of plain numbers.
        """
        header = announced.record.header
        _, n_bytes = plane_bytes((header.height, header.width), header.dtype)
        if 0 < self.most_plane_bytes < n_bytes:
            raise PlaneTooLarge(
                f"it has {n_bytes} bytes, and at most {self.most_plane_bytes} are taken by this viewer; "
                "limits.frame_bytes, where it runs, raises the bound"
            )

    def statistics(self, viewer: str) -> StreamStatistics:
        """What went out on it, and what waits."""
        return StreamStatistics(
            viewer=viewer,
            n_sent=self.stream.n_sent,
            n_waiting=self.stream.n_waiting,
            n_skipped=self.stream.n_skipped,
            n_unacknowledged=self.stream.n_unacknowledged,
        )


class StreamPump:
    """Moves the streams of all viewers; one that takes nothing stops its own only."""

    def __init__(self, context: Context, ring: Ring, read: PlaneReader) -> None:
        """Send by way of the bridge that ``context`` finds."""
        self.streams: dict[str, OpenedStream] = {}
        self.n_unreadable = 0
        self._context = context
        self._ring = ring
        self._loader = PlaneLoader(context, ring, read)
        self._starved: dict[str, None] = {}
        self._unsaid: deque[Frame | FactTold | PlaneUnreadable] = deque()

    def go_on(self, message: FrameTaken | PlaneLoaded | SayAgain) -> None:
        """Something has changed that a stream may have waited for."""
        match message:
            case FrameTaken():
                self.taken(message)
            case PlaneLoaded():
                self.loaded(message)
            case SayAgain():
                self.say_again()

    def move(self, viewer: str) -> None:
        """Send every fact whose turn it is, and start reading the next plane where there is room for it."""
        one = self.streams[viewer]
        # A loop, not a recursion: a plate may hold 100,000 planes that fit into no slot.
        while True:
            while not self._unsaid and (due := one.stream.next_fact()) is not None:
                sequence, fact = due
                self._say(FactTold(viewer=viewer, sequence=sequence, fact=fact, n_waiting=one.stream.n_waiting))
            if self._unsaid:
                # What is left stays in the streams until the bridge has room.
                self._starved[viewer] = None
                return
            if not one.stream.may_load():
                return
            announced = one.stream.next_plane()
            try:
                one.check_size(announced)
                one.loading = self._loader.begin(viewer, announced, one.requester)
            except RingFull:
                # Others hold every slot, or its own key its part: it goes on with the next one that comes back.
                self._starved[viewer] = None
                return
            except MeshError as error:
                one.stream.load()
                self._unreadable(viewer, one, announced, str(error))
            else:
                one.stream.load()
                return

    def loaded(self, message: PlaneLoaded) -> None:
        """A plane has been read, or could not be: it goes out, and the next one's turn has come."""
        reservation = self._loader.finish(message)
        if reservation is None:
            return
        viewer, one = message.viewer, self.streams.get(message.viewer)
        if one is None or one.loading is None or one.loading.ticket != message.ticket:
            # The viewer left while its plane was read.
            reservation.discard()
            self._feed_the_starved()
            return
        loading, one.loading = one.loading, None
        announced = loading.announced
        if message.reason:
            reservation.discard()
            self._unreadable(viewer, one, announced, message.reason)
            self.move(viewer)
            # Perhaps it had no use for the slot, and nobody else says that there is one.
            self._feed_the_starved()
            return
        ref = reservation.fill([viewer])
        reservation.ring.let_go(ref)
        sequence = one.stream.sent()
        one.held[sequence] = ref
        self._say(
            Frame(
                viewer=viewer,
                sequence=sequence,
                plate_id=announced.plate_id,
                job=announced.job,
                header=announced.record.header,
                ref=ref,
                n_waiting=one.stream.n_waiting,
                n_skipped=one.stream.n_skipped,
                published_at_s=loading.began_at_s,
            )
        )
        self.move(viewer)

    def taken(self, message: FrameTaken) -> None:
        """A viewer has let a plane go, if it held it."""
        one = self.streams.get(message.viewer)
        if one is None or not one.stream.taken(message.sequence):
            return
        ref = one.held.pop(message.sequence)
        self._ring.acknowledge(ref.slot, ref.generation, message.viewer)
        # Behind those who wait for a slot: of two that are at it all the time neither lets a third have one.
        self._starved[message.viewer] = None
        self._feed_the_starved()

    def say_again(self) -> None:
        """The bridge may have room by now: it is told what it had none for, and the streams go on."""
        kept, self._unsaid = self._unsaid, deque()
        while kept and not self._unsaid:
            self._say(kept.popleft())
        self._unsaid += kept
        if not self._unsaid:
            self._feed_the_starved()

    def close(self, viewer: str) -> None:
        """A viewer is gone, and holds nothing any more."""
        if self.streams.pop(viewer, None) is None:
            return
        self._starved.pop(viewer, None)
        self._ring.release_all(viewer)
        self._feed_the_starved()

    def _say(self, message: Frame | FactTold | PlaneUnreadable) -> None:
        """Tell the bridge, behind what it had no room for."""
        if not self._unsaid:
            try:
                self._context.find(BRIDGE).tell(message)
            except MailboxFull:
                self._context.after(AGAIN_S, SayAgain())
            else:
                return
        self._unsaid.append(message)

    def _unreadable(self, viewer: str, one: OpenedStream, announced: Announced, reason: str) -> None:
        self.n_unreadable += 1
        self._say(
            PlaneUnreadable(
                viewer=viewer,
                sequence=one.stream.sent(readable=False),
                header=announced.record.header,
                reason=reason,
                n_waiting=one.stream.n_waiting,
            )
        )

    def _feed_the_starved(self) -> None:
        starved, self._starved = self._starved, {}
        for viewer in starved:
            if viewer in self.streams:
                self.move(viewer)
