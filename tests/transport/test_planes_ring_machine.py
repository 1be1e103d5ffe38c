"""A real ring beside the plainest model: nobody ever sees another plane's pixels under an address."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hcs_mesh.transport.planes import (
    Lease,
    PlaneReader,
    PlaneRef,
    Reservation,
    Ring,
    RingFull,
    SlotAllocator,
    StaleAcknowledgement,
    StaleFrame,
)

N_SLOTS = 3
SLOT_BYTES = 8192
CONSUMERS = ("napari", "fiji", "recorder")
FEW = settings(max_examples=40, stateful_step_count=40, deadline=None, phases=(Phase.generate,))
MANY = settings(FEW, max_examples=500, report_multiple_bugs=False)
"""Until a fault is found, which takes a few."""

shapes = st.tuples(st.integers(1, 32), st.integers(1, 128))
consumers = st.sets(st.sampled_from(CONSUMERS))


@dataclass
class Shown:
    """A plane that was put, and who may look at it."""

    ref: PlaneRef
    number: int
    users: set[str] = field(default_factory=set)


class Looking(RuleBasedStateMachine):
    """Producer and consumers of one ring, who come late, die and acknowledge what they do not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ring = Ring(self.folder, slot_bytes=SLOT_BYTES, n_slots=N_SLOTS)
        self.reader = PlaneReader(self.folder)
        self.planes: list[Shown] = []
        self.begun: list[tuple[Reservation, int]] = []
        self.last = 0
        self.n_full = 0

    def _plane(self, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
        self.last += 1
        return np.full(shape, self.last, np.uint16)

    def _room(self) -> bool:
        return len(self.begun) + sum(bool(one.users) for one in self.planes) < N_SLOTS

    # -- the producer -----------------------------------------------------------------------------

    @rule(shape=shapes, whose=consumers)
    def put(self, shape: tuple[int, int], whose: set[str]) -> None:
        plane = self._plane(shape)
        if self._room():
            self.planes.append(Shown(self.ring.put(plane, sorted(whose)), self.last, {"producer", *whose}))
        else:
            self.n_full += 1
            with pytest.raises(RingFull):
                self.ring.put(plane, sorted(whose))

    @precondition(lambda self: self._room())
    @rule(shape=shapes)
    def begin_in_place(self, shape: tuple[int, int]) -> None:
        plane = self._plane(shape)
        reservation = self.ring.reserve(plane.shape, plane.dtype)
        reservation.pixels[: shape[0] // 2] = self.last
        self.begun.append((reservation, self.last))

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), whose=consumers, whole=st.booleans())
    def end_in_place(self, data: st.DataObject, whose: set[str], whole: bool) -> None:
        reservation, number = self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1)))
        if whole:
            reservation.pixels[:] = number
            self.planes.append(Shown(reservation.fill(sorted(whose)), number, {"producer", *whose}))
        else:
            reservation.discard()

    @precondition(lambda self: self.planes)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.planes))
        self._give_back(one, "producer", lambda: self.ring.let_go(one.ref))

    # -- the consumers ----------------------------------------------------------------------------

    @precondition(lambda self: self.planes)
    @rule(data=st.data(), who=st.sampled_from(CONSUMERS))
    def hold(self, data: st.DataObject, who: str) -> None:
        one = data.draw(st.sampled_from(self.planes))
        if one.users and who not in one.users:
            self.ring.hold(one.ref, who)
            one.users.add(who)
        else:
            with pytest.raises(StaleAcknowledgement):
                self.ring.hold(one.ref, who)

    @precondition(lambda self: self.planes)
    @rule(data=st.data(), who=st.sampled_from(CONSUMERS))
    def acknowledge(self, data: st.DataObject, who: str) -> None:
        """Of any plane that ever was: in time, late, twice, or of another's."""
        one = data.draw(st.sampled_from(self.planes))
        self._give_back(one, who, lambda: self.ring.acknowledge(one.ref.slot, one.ref.generation, who))

    @rule(who=st.sampled_from(CONSUMERS))
    def is_gone(self, who: str) -> None:
        held = [one for one in self.planes if who in one.users]
        assert self.ring.release_all(who) == len(held)
        for one in held:
            one.users.remove(who)

    @precondition(lambda self: self.planes)
    @rule(data=st.data())
    def look_late(self, data: st.DataObject) -> None:
        """At the address of any plane that ever was: its own pixels, or none."""
        one = data.draw(st.sampled_from(self.planes))
        try:
            seen = self.reader.view(one.ref)
        except StaleFrame:
            assert not one.users, f"plane {one.number} is held by {one.users}, and stale"
        else:
            assert np.all(seen == one.number), f"under the address of plane {one.number} lies {seen.max()}"

    def _give_back(self, one: Shown, who: str, call: Callable[[], None]) -> None:
        if who in one.users:
            call()
            one.users.remove(who)
        else:
            with pytest.raises(StaleAcknowledgement):
                call()

    # -- what holds at every moment ---------------------------------------------------------------

    @invariant()
    def what_is_held_is_what_was_put(self) -> None:
        for one in self.planes:
            if one.users:
                out = np.empty(one.ref.shape, np.uint16)
                self.reader.copy_into(one.ref, out)
                assert np.all(out == one.number), f"plane {one.number} became {out.max()}"

    @invariant()
    def every_slot_is_counted(self) -> None:
        counts = self.ring.statistics()
        n_held = sum(bool(one.users) for one in self.planes)
        assert (counts.n_held, counts.n_filling) == (n_held, len(self.begun))
        assert counts.n_free == N_SLOTS - n_held - len(self.begun)
        assert counts.n_planes == len(self.planes)
        assert counts.n_full == self.n_full

    def teardown(self) -> None:
        for reservation, _ in self.begun:
            reservation.discard()
        self.reader.close()
        self.ring.close()
        shutil.rmtree(self.folder)


def test_nobody_sees_another_planes_pixels_under_an_address() -> None:
    run_state_machine_as_test(Looking, settings=FEW)


def _generation_stays(self: SlotAllocator, party: str = "") -> Lease | None:
    if not self._free:
        return None
    slot = self._free.pop()
    self._generations[slot] = 1
    self._filling.add(slot)
    return Lease(slot, 1)


def _acknowledged_is_free(self: SlotAllocator, lease: Lease, consumer: str) -> None:
    self._check(lease, consumer in self._holders.get(lease.slot, ()), "is not held")
    for holder in self._holders.pop(lease.slot):
        self._held_by[holder].discard(lease.slot)
    self._kept.discard(lease.slot)
    self._free.append(lease.slot)


def _all_acknowledgements_count(self: SlotAllocator, lease: Lease, allowed: bool, complaint: str) -> None:
    if not allowed:
        raise StaleAcknowledgement(complaint)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("reserve", _generation_stays),
        ("acknowledge", _acknowledged_is_free),
        ("_check", _all_acknowledgements_count),
    ],
    ids=["a slot's generation is not raised", "the first to acknowledge frees it", "stale ones count"],
)
def test_the_ring_machine_finds_planted_faults(name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlotAllocator, name, fault)
    with pytest.raises((AssertionError, StaleFrame, StaleAcknowledgement, pytest.fail.Exception, ExceptionGroup)):
        run_state_machine_as_test(Looking, settings=MANY)
