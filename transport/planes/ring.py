"""The producer's side of planes in shared memory: one mapped file of slots."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from .allocator import Lease, SlotAllocator
from .errors import PlaneTooLarge, RingFull
from .files import allocate, create_locked, default_folder, map_file, private_folder, sweep
from .layout import GENERATION, Layout, PlaneRef, plane_at, plane_bytes

Array = npt.NDArray[Any]

SLOT_BYTES = 16 * 1024 * 1024
N_SLOTS = 16


class RingStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a ring holds and what went through it."""

    n_slots: int
    slot_bytes: int
    n_free: int
    n_filling: int
    n_held: int
    n_planes: int
    n_bytes: int
    n_full: int
    n_swept: int


@dataclass(slots=True)
class Reservation:
    """A slot to write a plane into in place, then ``fill``; or ``discard`` it."""

    ring: "Ring"
    ref: PlaneRef
    pixels: Array

    def fill(self, consumers: Iterable[str] = ()) -> PlaneRef:
        """Say that the plane is whole, held by the producer and by these consumers; returns its reference."""
        self.pixels.flags.writeable = False
        self.ring.filled(self.ref, consumers)
        return self.ref

    def discard(self) -> None:
        """Give the slot back unused."""
        self.pixels.flags.writeable = False
        self.ring.let_go(self.ref)


class Ring:
    """Slots for planes, written by this process, read by others on this host.

    A slot returns when its producer has let go and each consumer has acknowledged or is proven dead; never by time.
    """

    def __init__(
        self, folder: Path | None = None, *, slot_bytes: int = SLOT_BYTES, n_slots: int = N_SLOTS, owner: str = ""
    ) -> None:
        """Sweep what dead owners left in the folder, then take all of the ring's memory at once.

        One slot in four is kept for planes of the party ``owner``, where there is one.

        Raises:
            RingError: there is not enough room, or the folder is not ours alone.
        """
        place = private_folder(folder or default_folder())
        self.layout = Layout(n_slots=n_slots, slot_bytes=slot_bytes)
        self._allocator = SlotAllocator(n_slots, owner=owner)
        self._n_swept = len(sweep(place))
        self.path, self._descriptor = create_locked(place)
        try:
            allocate(self._descriptor, self.layout.file_bytes, place)
            self._map = map_file(self._descriptor, self.layout.file_bytes, writable=True)
        except BaseException:
            self.path.unlink()
            os.close(self._descriptor)
            raise
        self._map[: len(self.layout.head())] = self.layout.head()
        self._name = str(self.path)
        self._n_planes = self._n_bytes = self._n_full = 0
        self._closed = False

    def part(self, party: str = "") -> int:
        """How many slots a party can hold while nobody else holds any; all of them without one."""
        return self._allocator.part(party)

    def reserve(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, party: str = "") -> Reservation:
        """Take a slot for a plane that the caller writes in place; a ``party`` leaves as many free as it has.

        Raises:
            PlaneTooLarge: it does not fit a slot.
            RingFull: every slot is held, or this party has its part.
            BadPlane: the dtype is not a plain number.
        """
        kind, n_bytes = plane_bytes(shape, dtype)
        if n_bytes > self.layout.slot_bytes:
            raise PlaneTooLarge(
                f"a plane of {n_bytes} bytes {shape} does not fit a slot of {self.layout.slot_bytes} bytes",
                hint=f"Raise the ring's slot_bytes to {n_bytes} or more.",
            )
        lease = self._allocator.reserve(party)
        if lease is None:
            self._n_full += 1
            n_free = self._allocator.n_free
            whose = f"{party}'s part of the" if n_free else "all"
            raise RingFull(
                f"{whose} {self.layout.n_slots} slots of the ring are held",
                hint="Wait for an acknowledgement, give viewers fewer credits, or raise the ring's n_slots.",
            )
        offset = self.layout.slot_start(lease.slot)
        # Before the first pixel: whoever still reads the slot's last plane then finds it stale.
        GENERATION.pack_into(self._map, self.layout.generation_start(lease.slot), lease.generation)
        pixels = plane_at(self._map, shape, kind, offset)
        ref = PlaneRef(
            ring=self._name,
            slot=lease.slot,
            generation=lease.generation,
            offset=offset,
            shape=tuple(shape),
            dtype=kind.str,
            n_bytes=n_bytes,
        )
        return Reservation(self, ref, pixels)

    def put(self, plane: Array, consumers: Iterable[str] = ()) -> PlaneRef:
        """Copy a plane into a slot, once; held by the producer and by these consumers.

        Raises:
            PlaneTooLarge: it does not fit a slot.
            RingFull: every slot is held.
            BadPlane: the dtype is not a plain number.
        """
        reservation = self.reserve(plane.shape, plane.dtype)
        np.copyto(reservation.pixels, plane)
        return reservation.fill(consumers)

    def hold(self, ref: PlaneRef, consumer: str) -> None:
        """Let one more consumer hold a plane.

        Raises:
            StaleAcknowledgement: the slot holds another plane by now, or the consumer holds it already.
        """
        self._allocator.hold(ref.lease, consumer)

    def let_go(self, ref: PlaneRef) -> None:
        """End the producer's own hold: the slot returns with the last consumer's acknowledgement.

        Raises:
            StaleAcknowledgement: it was let go before.
        """
        self._allocator.let_go(ref.lease)

    def acknowledge(self, slot: int, generation: int, consumer: str) -> None:
        """End a consumer's hold.

        Raises:
            StaleAcknowledgement: it does not hold this plane.
        """
        self._allocator.acknowledge(Lease(slot, generation), consumer)

    def release_all(self, consumer: str) -> int:
        """End every hold of a consumer that is proven dead; returns how many there were."""
        return self._allocator.release_all(consumer)

    def statistics(self) -> RingStatistics:
        """Return what the ring holds now and what went through it."""
        return RingStatistics(
            n_slots=self.layout.n_slots,
            slot_bytes=self.layout.slot_bytes,
            n_free=self._allocator.n_free,
            n_filling=self._allocator.n_filling,
            n_held=self._allocator.n_held,
            n_planes=self._n_planes,
            n_bytes=self._n_bytes,
            n_full=self._n_full,
            n_swept=self._n_swept,
        )

    def close(self) -> None:
        """Remove the file; consumers that have it mapped keep what they see until they let go."""
        if self._closed:
            return
        self._closed = True
        self.path.unlink(missing_ok=True)
        with suppress(BufferError):  # somebody in this process still looks at a plane: its end frees the mapping
            self._map.close()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def filled(self, ref: PlaneRef, consumers: Iterable[str]) -> None:
        """Note that a reserved plane is whole and who holds it.

        Raises:
            StaleAcknowledgement: the plane was not being filled.
        """
        self._allocator.fill(ref.lease)
        for consumer in consumers:
            self._allocator.hold(ref.lease, consumer)
        self._n_planes += 1
        self._n_bytes += ref.n_bytes
