"""The viewer bridge: keeps the sessions of viewers, and carries their streams over their links."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never
from weakref import WeakKeyDictionary

from ...messages.frames import FactTold, Frame, FrameTaken, PlaneUnreadable, StreamEnded
from ...messages.streaming import BeginStream, CloseAllStreams, CloseStream, ListStreams, OpenStream
from ...messages.viewing import (
    PROTOCOL,
    Attach,
    Attached,
    Detach,
    ListViewers,
    StartStream,
    StillAttached,
    ViewerGone,
    ViewerInfo,
)
from ...supervisors import Actor, Deferred
from ...transport import Link
from ...transport.planes import PlaneReader
from .death_watch import DeathWatch
from .errors import ViewerRefused
from .plane_carrier import Carried, PlaneCarrier, tell_what_fits
from .stream_pump import BRIDGE
from .under_way import UnderWay

PUBLISHER = "publisher"
Inbox = (
    Attach
    | StartStream
    | StillAttached
    | Detach
    | FrameTaken
    | ListViewers
    | Frame
    | FactTold
    | PlaneUnreadable
    | StreamEnded
    | ViewerGone
)


@dataclass
class _Session:
    viewer: str
    link: Link
    asked: Attach
    principal: str
    elsewhere: bool
    """Its planes come over the link: that of another host's, whatever it says, or one that sees no ring from here."""
    watch: DeathWatch | None = None
    carrier: PlaneCarrier | None = None
    """For a viewer on another host, which cannot open the ring."""
    shown: set[int] = field(default_factory=set)
    """The planes that it has been shown and has not let go of; elsewhere, those that have left for it."""
    opened: bool = False
    """The publisher has been asked for a stream, and is to close it."""
    begun: bool = False
    """Its viewer has said that planes may come."""


class ViewerBridge(Actor[Inbox]):
    """Lets viewers in, notices when they are gone, and hands each one its own stream.

    Viewers are watched, not owned: they outlive the mesh and may die without harm. A viewer's slots are
    taken back when it says so, when its link is closed or when its process has ended; never because it is slow.
    One that stands still for so long that its link is held for lost finds that out by its slots' generations. A
    viewer on another host is proven gone by its connection's end.
    """

    def __init__(self, watch: Callable[[int, Callable[[], None]], DeathWatch] = DeathWatch) -> None:
        """Have ``watch`` prove that a process of this host has ended."""
        self._watch = watch
        self._sessions: dict[str, _Session] = {}
        # By link, not by session: whoever attaches again has read no more for that.
        self._under_way: WeakKeyDictionary[Link, UnderWay] = WeakKeyDictionary()
        self._n_attached = 0

    async def started(self) -> None:
        """Close what an earlier life of the bridge left open."""
        self.context.find(PUBLISHER).tell(CloseAllStreams())

    async def stopping(self) -> None:
        """Tell every viewer that its stream is over."""
        for viewer in list(self._sessions):
            self._end(viewer, "the mesh stops")

    async def receive(
        self, message: Inbox
    ) -> Deferred[Attached] | Deferred[tuple[ViewerInfo, ...]] | Deferred[bool] | bool | None:
        """Handle what viewers and the publisher say."""
        match message:
            case Attach():
                # It is let in as that work begins: one for which there is no room changes nothing.
                return self.defer(self._open(message, self.context.caller, self.context.principal.name))
            case StillAttached(viewer=viewer):
                if not self._is_its_own(viewer):
                    return False
                self._make_up_for_what_was_lost(self._sessions[viewer], message.let_go_through)
                return self.defer(self._still(viewer))
            case StartStream() | Detach() | FrameTaken():
                if self._is_its_own(message.viewer):
                    self._pass_on(message)
            case Frame() | FactTold() | PlaneUnreadable():
                session = self._sessions.get(message.viewer)
                if session is not None:
                    if isinstance(message, Frame) and session.carrier is None:
                        session.shown.add(message.sequence)
                    _tell(session, message)
            case StreamEnded(viewer=viewer, reason=reason):
                self._end(viewer, reason)
            case ViewerGone(viewer=viewer):
                self._forget(viewer)
            case ListViewers():
                return self.defer(self._list())
            case _:
                assert_never(message)
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Viewers attached now, and ever."""
        return {"viewers": len(self._sessions), "attached_ever": self._n_attached}

    def _admit(self, asked: Attach, link: Link | None, principal: str) -> _Session:
        if asked.protocol != PROTOCOL:
            raise ViewerRefused(
                f"the viewer speaks protocol {asked.protocol}, this mesh {PROTOCOL}",
                hint="install the same release of hcs-mesh for both",
            )
        if link is None:
            raise ViewerRefused("a viewer attaches over a link", hint="python -m hcs_mesh.viewers.recorder --data DIR")
        if link.gone:
            raise ViewerRefused(f"the viewer is gone: {link.gone}", hint="attach again")
        for viewer, session in list(self._sessions.items()):
            if session.link is link:
                # One stream per link: whoever attaches again has given the former stream up.
                self._forget(viewer)
        viewer = uuid.uuid4().hex
        me = self.context.me
        # What it says can only take from it: who is of this host is known by its link.
        elsewhere = asked.elsewhere or not link.here

        def gone(why: str = "its process has ended") -> None:
            me.tell(ViewerGone(viewer=viewer, reason=why))

        try:
            watch = None if elsewhere else self._watch(asked.pid, gone)
        except (ProcessLookupError, PermissionError) as error:
            raise ViewerRefused(
                f"process {asked.pid} of this viewer cannot be watched from here: {error}",
                hint="a viewer in a container says that it is elsewhere",
            ) from error
        session = _Session(viewer, link, asked, principal, elsewhere, watch)
        self._sessions[viewer] = session
        self._n_attached += 1
        link.on_lost[BRIDGE] = gone
        return session

    async def _open(self, asked: Attach, link: Link | None, principal: str) -> Attached:
        session = self._admit(asked, link, principal)
        request = OpenStream(
            viewer=session.viewer,
            subject=asked.subject,
            snapshot_bytes=asked.snapshot_bytes,
            # Who maps the ring hears no plane.
            most_plane_bytes=asked.most_plane_bytes if session.elsewhere else 0,
            requester=principal,
        )
        try:
            asking = asyncio.ensure_future(self.context.find(PUBLISHER).ask(request))
            # What the publisher has no room for has failed already, and opens nothing.
            session.opened = not asking.done()
            opened = await asking
        except BaseException:
            self._forget(session.viewer)
            raise
        if session.viewer not in self._sessions:
            raise ViewerRefused("the viewer has left, or attached again, since", hint="follow the later stream")
        ring = opened.ring
        if session.elsewhere:
            under_way = self._under_way.setdefault(session.link, UnderWay())
            planes = PlaneReader(Path(ring).parent)
            session.carrier = PlaneCarrier(session.link, planes, under_way, on_left=session.shown.add)
            self.context.spawn(session.carrier.run())
            ring = ""
        return Attached(viewer=session.viewer, contents=opened.contents, ring=ring, credits=opened.credits)

    async def _still(self, viewer: str) -> bool:
        """Whether the stream is there too: a publisher that was started anew has none."""
        return any(stream.viewer == viewer for stream in await self.context.find(PUBLISHER).ask(ListStreams()))

    async def _list(self) -> tuple[ViewerInfo, ...]:
        sessions = tuple(self._sessions.values())
        streams = {stream.viewer: stream for stream in await self.context.find(PUBLISHER).ask(ListStreams())}
        return tuple(
            ViewerInfo(
                viewer=session.viewer,
                kind=session.asked.kind,
                title=session.asked.title,
                principal=session.principal,
                pid=session.asked.pid,
                subject=session.asked.subject,
                n_sent=streams[session.viewer].n_sent,
                n_waiting=streams[session.viewer].n_waiting,
                n_skipped=streams[session.viewer].n_skipped,
                n_unacknowledged=streams[session.viewer].n_unacknowledged,
                elsewhere=session.elsewhere,
                compressed=session.carrier is not None and session.carrier.compression.on,
            )
            for session in sessions
            if session.viewer in streams
        )

    def _pass_on(self, message: StartStream | Detach | FrameTaken) -> None:
        session = self._sessions[message.viewer]
        match message:
            case StartStream():
                self._begin(session)
            case Detach(viewer=viewer):
                self._forget(viewer)
            case FrameTaken():
                if message.sequence in session.shown and session.carrier is not None:
                    session.carrier.taken(message)
                self._let_go(session, message)

    def _make_up_for_what_was_lost(self, session: _Session, let_go_through: int) -> None:
        """The viewer may have said already that it is ready, and what it let go of, when there was no room for it."""
        self._begin(session)
        for sequence in sorted(one for one in session.shown if one <= let_go_through):
            if session.carrier is not None:
                session.carrier.taken_unnoticed(sequence)
            self._let_go(session, FrameTaken(viewer=session.viewer, sequence=sequence))

    # Within the mesh these are taken however full a mailbox is, and so they are said there once.

    def _begin(self, session: _Session) -> None:
        if not session.begun:
            session.begun = True
            self.context.find(PUBLISHER).tell(BeginStream(viewer=session.viewer))

    def _let_go(self, session: _Session, message: FrameTaken) -> None:
        if message.sequence in session.shown:
            session.shown.remove(message.sequence)
            self.context.find(PUBLISHER).tell(message)

    def _is_its_own(self, viewer: str) -> bool:
        """Whether the viewer's session is that of the link that is speaking."""
        session = self._sessions.get(viewer)
        return session is not None and session.link is self.context.caller

    def _end(self, viewer: str, reason: str) -> None:
        session = self._sessions.get(viewer)
        if session is not None:
            _tell(session, StreamEnded(viewer=viewer, reason=reason))
            self._forget(viewer)

    def _forget(self, viewer: str) -> None:
        session = self._sessions.pop(viewer, None)
        if session is None:
            return
        session.link.on_lost.pop(BRIDGE, None)
        if session.watch is not None:
            session.watch.stop()
        if session.carrier is not None:
            session.carrier.close()
        # It is taken however full the mailbox is, and so it is said of streams only that are or will be there.
        if session.opened:
            self.context.find(PUBLISHER).tell(CloseStream(viewer=viewer))


def _tell(session: _Session, message: Carried) -> None:
    if session.carrier is not None:
        session.carrier.put(message)
    else:
        tell_what_fits(session.link, message)
