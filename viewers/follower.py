"""Follows a subject on a mesh: attaches, copies planes out of shared memory, comes back when the mesh does."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from numpy.typing import NDArray

from ..messages.frames import ContentsChanged, FactTold, Frame, FrameTaken, PlaneUnreadable, StreamEnded
from ..messages.viewing import Attach, Attached, Detach, StartStream, StillAttached, Subject, ViewerKind
from ..transport import (
    ActorUnknown,
    AskFailed,
    AskTimedOut,
    Dialer,
    Envelope,
    HeldOff,
    KeyRefused,
    Kind,
    Link,
    MailboxFull,
    NodeMissing,
    PeerGone,
)
from ..transport.codec import decode, union_decoder
from ..transport.deliveries import Deliver
from ..transport.planes import BadPlane, PlaneReader, RingError, StaleFrame
from ..transport.planes.layout import plane_bytes
from ..transport.planes.packing import unpack
from .let_go import LetGo
from .screen import Screen

BRIDGE = "viewers"
"""The actor that keeps the sessions of viewers."""

ATTACH_TIMEOUT_S = 20.0
LOOK_EVERY_S = 1.0
COME_BACK_EVERY_S = 0.5
REFUSED_EVERY_S = 3.0
"""After a refusal more slowly: each handshake of it stands in the mesh's log."""

_STREAM = union_decoder((Frame, FactTold, PlaneUnreadable, StreamEnded))


class Follower:
    """One viewer's side of its stream; runs until it is cancelled."""

    def __init__(
        self,
        dial: Callable[[Deliver[Link]], Dialer],
        screen: Screen,
        *,
        kind: ViewerKind,
        subject: Subject,
        title: str = "",
        snapshot_bytes: int = 0,
    ) -> None:
        """Follow ``subject`` on the mesh that ``dial`` reaches; 0 ``snapshot_bytes`` asks for all there is."""
        self._dial = dial
        self._screen = screen
        self._attach = Attach(kind=kind, subject=subject, title=title, pid=os.getpid(), snapshot_bytes=snapshot_bytes)
        self._viewer = ""
        self._ring: PlaneReader | None = None
        self._sees_no_ring = False
        self._let_go = LetGo()
        self._ended = asyncio.Event()
        self._link: Link | None = None
        self.n_sessions = 0

    async def run(self) -> None:
        """Follow, and attach again whenever the mesh went away and is back.

        Raises:
            NodeMissing, PeerGone, AskTimedOut: there was no mesh to begin with; one that is full is asked again.
            ActorUnknown: there was no viewing to begin with.
            AskFailed: what is to be shown does not exist, or its place was away when this viewer first came.
            KeyRefused: the mesh did not let this viewer in to begin with; one that holds it off for a while is asked
                again.
            NotPermitted: the mesh does not let this viewer see the subject.
        """
        while True:
            state, again_s = "the mesh is away", COME_BACK_EVERY_S
            try:
                await self._one_session()
            except MailboxFull:
                state = "the mesh has too much to do"
            except HeldOff as error:
                state, again_s = str(error), REFUSED_EVERY_S
            except KeyRefused as error:
                # Its key may be allowed again, and a mesh that has no room for another connection may have some.
                if self.n_sessions == 0:
                    raise
                state, again_s = str(error), REFUSED_EVERY_S
            except (NodeMissing, PeerGone, AskTimedOut):
                if self.n_sessions == 0:
                    raise
            except ActorUnknown as error:
                # Viewing may be set aside, until somebody has mended the cause and starts it again.
                if self.n_sessions == 0:
                    raise
                state = str(error)
            except AskFailed as error:
                # Where the plate lies may be away as the mesh may, such as a server that is started again with it.
                if self.n_sessions == 0 or not error.failure.retry:
                    raise
                state = str(error)
            self._screen.state(state)
            # Deliberate: a mesh that starts says nothing until it is up.
            await asyncio.sleep(again_s)

    async def _one_session(self) -> None:
        dialer = self._dial(self._deliver)
        self._ended.clear()
        self._link = link = dialer.link
        try:
            attach = replace(
                self._attach, elsewhere=self._is_elsewhere(dialer), most_plane_bytes=link.most_attached_bytes
            )
            attached = await link.ask(BRIDGE, attach, timeout_s=ATTACH_TIMEOUT_S)
            try:
                self._open(attached)
            except RingError:
                # Another host's memory, or another container's: planes have to come over the link.
                self._sees_no_ring = True
                link.tell(BRIDGE, Detach(viewer=attached.viewer))
                return
            link.tell(BRIDGE, StartStream(viewer=attached.viewer))
            self._screen.state("following")
            while not await self._over():
                if not await self._is_known(link):
                    return
        finally:
            if self._viewer:
                link.tell(BRIDGE, Detach(viewer=self._viewer))
            self._viewer = ""
            self._link = None
            dialer.close()
            if self._ring is not None:
                self._ring.close()
                self._ring = None

    def _is_elsewhere(self, dialer: Dialer) -> bool:
        """Whether planes must come over the link: a mesh that is dialled by TCP is one of another host."""
        return self._sees_no_ring or dialer.endpoint.data.startswith("tcp://")

    def _open(self, attached: Attached) -> None:
        if attached.ring:
            self._ring = PlaneReader(Path(attached.ring).parent)
            self._ring.open(attached.ring)
        self._viewer = attached.viewer
        self._let_go = LetGo()
        self.n_sessions += 1
        self._screen.begin(attached.contents)

    async def _over(self) -> bool:
        try:
            await asyncio.wait_for(self._ended.wait(), LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    async def _is_known(self, link: Link) -> bool:
        """Whether the mesh still knows this viewer; it is told again what it may have had no room for."""
        request = StillAttached(viewer=self._viewer, let_go_through=self._let_go.through)
        try:
            return await link.ask(BRIDGE, request, timeout_s=ATTACH_TIMEOUT_S)
        except MailboxFull:
            # It is there, and has too much to do: it is asked again.
            return True

    def _deliver(self, link: Link, envelope: Envelope) -> None:
        if envelope.kind != Kind.TELL or link is not self._link:
            return
        message = decode(envelope.body, _STREAM)
        if message.viewer != self._viewer:
            # Said to the session before this one, whose slots the mesh has taken back.
            return
        if not isinstance(message, StreamEnded):
            # Whatever becomes of it below, afterwards nothing of it is held.
            self._let_go.note(message.sequence)
            if self._let_go.has_lost_one:
                # What it has let go of cannot be said together any more: attached anew, it begins to count anew.
                self._ended.set()
        match message:
            case Frame():
                self._take(link, message)
            case FactTold(fact=ContentsChanged(contents=contents)):
                self._screen.begin(contents)
            case FactTold(fact=fact, n_waiting=n_waiting):
                self._screen.fact(fact, n_waiting=n_waiting)
            case PlaneUnreadable():
                self._screen.unreadable(message)
            case StreamEnded():
                self._ended.set()

    def _take(self, link: Link, frame: Frame) -> None:
        began_s = time.monotonic()
        try:
            self._screen.plane(frame, self._pixels(link, frame))
            if self._ring is not None:
                self._ring.check(frame.ref)
        except BadPlane as error:
            # The stream goes on without it.
            self._screen.unreadable(
                PlaneUnreadable(
                    viewer=frame.viewer,
                    sequence=frame.sequence,
                    header=frame.header,
                    reason=" ".join(filter(None, (f"{error}.", error.hint))),
                    n_waiting=frame.n_waiting,
                )
            )
        except StaleFrame:
            # While this viewer stood still the mesh held it for gone, and has used the slot again: all is shown anew.
            self._ended.set()
            return
        held_s = time.monotonic() - began_s
        link.tell(BRIDGE, FrameTaken(viewer=frame.viewer, sequence=frame.sequence, held_s=held_s))

    def _pixels(self, link: Link, frame: Frame) -> NDArray[Any]:
        _check_header(frame)
        if self._ring is not None:
            return self._ring.view(frame.ref)
        return unpack(link.attached, frame.codec, frame.ref, most_bytes=link.most_attached_bytes)


def _check_header(frame: Frame) -> None:
    """Accept a reference to a plane (Y, X) as the header beside it tells: for that one a screen makes room.

    Raises:
        BadPlane: it is to another one, or to none.
    """
    header, ref = frame.header, frame.ref
    told, _ = plane_bytes((header.height, header.width), header.dtype)
    kind, _ = plane_bytes(ref.shape, ref.dtype)
    if ref.shape != (header.height, header.width) or kind != told:
        raise BadPlane(f"an array {ref.shape} of {kind} came for a plane {header.height, header.width} of {told}")
