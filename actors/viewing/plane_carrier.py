"""Carries a stream to a viewer on another host: every message in its order, planes with their pixels beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...config import get_logger
from ...messages.frames import FactTold, Frame, FrameTaken, PlaneUnreadable, StreamEnded
from ...transport import BadMessage, Link
from ...transport.planes import PlaneReader, RingError
from ...transport.planes.packing import BLOSC2, in_parts, pack
from .compression import Compression
from .under_way import UnderWay

VIEWER = "viewer"
"""The name under which a viewer's process takes its stream."""

log = get_logger(__name__)

Carried = Frame | FactTold | PlaneUnreadable | StreamEnded


def tell_what_fits(link: Link, message: Carried) -> None:
    """Say a part of a stream; of one that cannot travel the viewer hears that its stream is over, and nobody else."""
    try:
        link.tell(VIEWER, message)
    except BadMessage as error:
        _say_that_it_is_over(link, message, error)


def _say_that_it_is_over(link: Link, message: Carried, error: BadMessage) -> None:
    log.warning("a part of a stream cannot travel, and ends it", viewer=message.viewer, reason=str(error))
    link.tell(VIEWER, StreamEnded(viewer=message.viewer, reason=str(error)))


class PlaneCarrier:
    """Sends what it is given, one after the other: of a plane a copy, made while its slot is the viewer's.

    A viewer elsewhere decides itself what it says and when it reads, and once it has said that it let a plane go, the
    slot may be given to one that somebody else may see. So no memory of the ring waits for it: docs/decisions/0028.
    """

    def __init__(
        self, link: Link, planes: PlaneReader, under_way: UnderWay, *, on_left: Callable[[int], object]
    ) -> None:
        """Send over ``link`` the planes that lie in the rings of ``planes``, while ``under_way`` has room for them.

        ``on_left`` is told the number of each plane that needs its slot no more.
        """
        self.compression = Compression()
        self.n_bytes = 0
        self.n_sent_bytes = 0
        self._link = link
        self._planes = planes
        self._under_way = under_way
        self._on_left = on_left
        self._closed = False
        self._waiting: asyncio.Queue[Carried | None] = asyncio.Queue()

    def put(self, message: Carried) -> None:
        """Send this after what was put before."""
        self._waiting.put_nowait(message)

    def taken(self, message: FrameTaken) -> None:
        """The viewer has let a plane go."""
        self.compression.taken(message.sequence, message.held_s, time.monotonic())

    def taken_unnoticed(self, sequence: int) -> None:
        """The viewer has let a plane go at some time: that tells nothing of the link."""
        self.compression.forget(sequence)

    def close(self) -> None:
        """Send no more planes, and end once what else was put has been said."""
        self._closed = True
        self._under_way.look_again()
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Send until it is closed."""
        try:
            while (message := await self._waiting.get()) is not None:
                if isinstance(message, Frame):
                    await self._send_plane(message)
                else:
                    tell_what_fits(self._link, message)
        finally:
            self._planes.close()

    async def _send_plane(self, frame: Frame) -> None:
        if not await self._has_room():
            return
        try:
            pixels = self._planes.view(frame.ref)
            body, codec = await self._body(pixels)
            # Now that it is copied: it is one plane, and the viewer's.
            self._planes.check(frame.ref)
            if self._closed:
                return
        except RingError:
            # Its stream was closed meanwhile, and the slot is somebody else's.
            return
        # Where the ring lies is nobody's business elsewhere.
        told = msgspec.structs.replace(frame, codec=codec, ref=msgspec.structs.replace(frame.ref, ring=""))
        self.n_bytes += pixels.nbytes
        self.n_sent_bytes += body.nbytes
        self.compression.sent(frame.sequence, body.nbytes, time.monotonic(), as_it_is=not codec)
        self._under_way.note(body)
        try:
            self._link.tell_with(VIEWER, told, in_parts(body))
        except BadMessage as error:
            _say_that_it_is_over(self._link, frame, error)
            return
        self._on_left(frame.sequence)

    async def _has_room(self) -> bool:
        """Wait until the viewer has read enough of what it was sent; ``False`` once no more planes are sent."""
        while self._under_way.is_full and not self._closed:
            await self._under_way.change()
        return not self._closed

    async def _body(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], str]:
        """A plane's bytes as they go out, in memory of their own, and what packed them."""
        if self.compression.next_is_packed():
            began_s = time.monotonic()
            # In a thread: a plane takes milliseconds, and other streams go on meanwhile.
            packed = np.frombuffer(await asyncio.to_thread(pack, pixels), np.uint8)
            self.compression.packed(pixels.nbytes, packed.nbytes, time.monotonic() - began_s)
            # It never has more bytes than the plane, of which the viewer has said that it takes so many.
            if packed.nbytes < pixels.nbytes:
                return packed, BLOSC2
        return await self._under_way.copied(pixels), ""
