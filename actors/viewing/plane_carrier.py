"""Carries a stream to a viewer on another host: every message in its order, planes with their pixels beside them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from numpy.typing import NDArray

from ...messages.frames import FactTold, Frame, FrameTaken, PlaneUnreadable, StreamEnded
from ...transport import Link
from ...transport.planes import PlaneReader, RingError
from ...transport.planes.packing import BLOSC2, pack
from .compression import Compression

VIEWER = "viewer"
"""The name under which a viewer's process takes its stream."""

Carried = Frame | FactTold | PlaneUnreadable | StreamEnded


class PlaneCarrier:
    """Sends what it is given, one after the other; a plane's slot stays the viewer's until it is acknowledged."""

    def __init__(self, link: Link, planes: PlaneReader) -> None:
        """Send over ``link`` the planes that lie in the rings of ``planes``."""
        self.compression = Compression()
        self.n_bytes = 0
        self.n_sent_bytes = 0
        self._link = link
        self._planes = planes
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
        """End once what was put has been sent."""
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Send until it is closed."""
        try:
            while (message := await self._waiting.get()) is not None:
                if isinstance(message, Frame):
                    await self._send_plane(message)
                else:
                    self._link.tell(VIEWER, message)
        finally:
            self._planes.close()

    async def _send_plane(self, frame: Frame) -> None:
        try:
            pixels = self._planes.view(frame.ref)
        except RingError:
            # Its stream was closed meanwhile, and the slot is somebody else's.
            return
        body: NDArray[Any] | bytes = pixels
        # Where the ring lies is nobody's business elsewhere.
        told = msgspec.structs.replace(frame, ref=msgspec.structs.replace(frame.ref, ring=""))
        if self.compression.next_is_packed():
            began_s = time.monotonic()
            # In a thread: a plane takes milliseconds, and other streams go on meanwhile.
            packed = await asyncio.to_thread(pack, pixels)
            self.compression.packed(pixels.nbytes, len(packed), time.monotonic() - began_s)
            if self.compression.on or len(packed) < pixels.nbytes:
                body, told = packed, msgspec.structs.replace(told, codec=BLOSC2)
        n_bytes = len(body) if isinstance(body, bytes) else body.nbytes
        self.n_bytes += pixels.nbytes
        self.n_sent_bytes += n_bytes
        self.compression.sent(frame.sequence, n_bytes, time.monotonic(), as_it_is=body is pixels)
        self._link.tell_with(VIEWER, told, body)
