"""The loader of planes: reads one at a time for each viewer into a slot of the ring."""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from dataclasses import dataclass

import numpy as np

from ...config.errors import MeshError
from ...messages.streaming import PlaneLoaded
from ...plates.plate_source import PlaneReader
from ...supervisors import Context
from ...transport.planes import Reservation, Ring
from ..threads import Threads
from .viewer_stream import Announced

_tickets = itertools.count(1)
"""One count for every life: the mailbox outlives an actor, and what was read for the life before ends up in it."""


@dataclass(frozen=True, slots=True)
class Loading:
    """A plane that is being read."""

    ticket: int
    announced: Announced
    began_at_s: float


class PlaneLoader:
    """Reads planes in threads, straight into the memory that viewers see."""

    def __init__(self, context: Context, ring: Ring, read: PlaneReader) -> None:
        """Tell the actor whose ``context`` it is of every plane, by ``PlaneLoaded``."""
        self._context = context
        self._ring = ring
        self._read = read
        self._reservations: dict[int, Reservation] = {}
        # A place on the network may keep all of these waiting, and no viewer of what lies here.
        self._elsewhere = Threads("planes elsewhere", n_threads=4)

    def begin(self, viewer: str, announced: Announced, requester: str) -> Loading:
        """Take a slot and start to read a plane into it, in the name of ``requester``.

        Raises:
            RingFull: every slot is held just now, or the requester's part of them.
            PlaneTooLarge: it fits into no slot.
        """
        header = announced.record.header
        # By key, not by viewer: whoever has one can attach as often as he likes.
        reservation = self._ring.reserve((header.height, header.width), np.dtype(header.dtype), party=requester)
        loading = Loading(next(_tickets), announced, time.monotonic())
        self._reservations[loading.ticket] = reservation
        self._context.spawn(self._load(viewer, loading, reservation, requester))
        return loading

    def finish(self, message: PlaneLoaded) -> Reservation | None:
        """The slot that a plane was read into, to be filled or discarded; None if it was read for the life before."""
        return self._reservations.pop(message.ticket, None)

    async def _load(self, viewer: str, loading: Loading, reservation: Reservation, requester: str) -> None:
        record = loading.announced.record
        reason = ""
        try:
            read = functools.partial(
                self._read, record.root, record.file, record.page, out=reservation.pixels, requester=requester
            )
            if "://" in record.root:
                await self._elsewhere.run(read)
            else:
                await asyncio.to_thread(read)
        except MeshError as error:
            reason = str(error)
        self._context.me.tell(PlaneLoaded(viewer=viewer, ticket=loading.ticket, reason=reason))
