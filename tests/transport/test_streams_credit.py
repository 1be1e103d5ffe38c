"""One viewer's stream: credits, numbers, what may be skipped and what may not."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hcs_mesh.transport.planes import Lease
from hcs_mesh.transport.streams import (
    Fact,
    HangUp,
    Instruction,
    Pixels,
    Release,
    Send,
    StreamError,
    StreamState,
    ViewerStream,
)

N_CREDITS = 3
LAYERS = ("raw", "labels")


class Viewer(RuleBasedStateMachine):
    """A stream, a state for late joiners, and a viewer that shows what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.versions = itertools.count(1)
        self.state: StreamState[int, int] = StreamState()
        self.published: list[Pixels[int] | Fact[int]] = []
        self.join()

    def join(self) -> None:
        self.stream: ViewerStream[int, int] = ViewerStream(N_CREDITS)
        self.in_flight: dict[int, Lease | None] = {}
        self.held: set[Lease] = set()
        self.last_sequence = 0
        self.shown: dict[object, int] = {}
        self.skips_told = 0
        self.n_pixels_sent = 0
        self.n_pixels_published = 0
        self.facts_received: list[int] = []
        # Slots of a snapshot are the shell's to place: its items carry none.
        self.snapshot = [
            Pixels(i.layer, i.coordinates, i.body) if isinstance(i, Pixels) else i for i in self.state.snapshot()
        ]
        self.tail_start = len(self.published)
        self.n_pixels_published += sum(isinstance(item, Pixels) for item in self.snapshot)
        self.perform(self.stream.join(self.snapshot))

    def perform(self, instructions: list[Instruction[int, int]]) -> None:
        for instruction in instructions:
            match instruction:
                case Send(sequence=sequence, item=item, n_skipped=n_skipped):
                    assert sequence == self.last_sequence + 1
                    self.last_sequence = sequence
                    self.in_flight[sequence] = item.lease if isinstance(item, Pixels) else None
                    self.skips_told += n_skipped
                    if isinstance(item, Pixels):
                        self.n_pixels_sent += 1
                        assert self.shown.get(item.key, 0) < item.body
                        self.shown[item.key] = item.body
                        fact_before = max((f for f in self.facts_published() if f < item.body), default=0)
                        assert not fact_before or fact_before in self.facts_received
                    else:
                        self.facts_received.append(item.body)
                case Release(lease=lease):
                    self.held.remove(lease)
                case HangUp():
                    raise AssertionError("nobody was that far behind")

    def facts_published(self) -> list[int]:
        snapshot_facts = [item.body for item in self.snapshot if isinstance(item, Fact)]
        return snapshot_facts + [i.body for i in self.published[self.tail_start :] if isinstance(i, Fact)]

    @rule(layer=st.sampled_from(LAYERS), z=st.integers(0, 2), in_ring=st.booleans())
    def pixels(self, layer: str, z: int, in_ring: bool) -> None:
        version = next(self.versions)
        lease = Lease(version, version) if in_ring else None
        if lease:
            self.held.add(lease)
        item: Pixels[int] = Pixels(layer, (z,), version, lease)
        self.published.append(item)
        self.n_pixels_published += 1
        self.state.publish(item)
        self.perform(self.stream.publish(item))

    @rule(key=st.sampled_from(("status", "table")))
    def fact(self, key: str) -> None:
        item: Fact[int] = Fact(key, next(self.versions))
        self.published.append(item)
        self.state.publish(item)
        self.perform(self.stream.publish(item))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def place(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.in_flight)))
        if self.in_flight[sequence] is None:
            lease = Lease(-sequence, next(self.versions))
            self.held.add(lease)
            self.in_flight[sequence] = lease
            self.perform(self.stream.placed(sequence, lease))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.in_flight)))
        lease = self.in_flight.pop(sequence)
        self.perform(self.stream.acknowledged(sequence))
        assert lease not in self.held
        with pytest.raises(StreamError):
            self.stream.acknowledged(sequence)

    @rule()
    def die_and_join_again(self) -> None:
        self.perform(self.stream.gone())
        assert not self.held
        self.join()

    @invariant()
    def credits_are_never_overdrawn_nor_left_idle(self) -> None:
        found = self.stream.statistics()
        assert 0 <= found.n_in_flight == len(self.in_flight) <= N_CREDITS
        assert found.n_waiting == 0 or found.n_in_flight == N_CREDITS
        assert found.n_skipped == self.n_pixels_published - self.n_pixels_sent - self.n_pixels_waiting()

    def n_pixels_waiting(self) -> int:
        return self.stream.statistics().n_waiting - (len(self.facts_published()) - len(self.facts_received))

    @rule()
    def catch_up(self) -> None:
        while self.in_flight:
            sequence = min(self.in_flight)
            del self.in_flight[sequence]
            self.perform(self.stream.acknowledged(sequence))
        assert not self.held
        assert self.facts_received == self.facts_published()
        latest = {item.key: item.body for item in self.published if isinstance(item, Pixels)}
        assert self.shown == latest
        assert self.skips_told == self.stream.statistics().n_skipped


TestViewer = Viewer.TestCase
TestViewer.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def sent(instructions: list[Instruction[str, str]]) -> list[tuple[int, str, int]]:
    return [(i.sequence, i.item.body, i.n_skipped) for i in instructions if isinstance(i, Send)]


def test_newer_pixels_take_the_place_of_older_ones_that_wait_and_say_so():
    stream: ViewerStream[str, str] = ViewerStream(1)
    assert sent(stream.publish(Pixels("raw", (0,), "first"))) == [(1, "first", 0)]
    slots = [Lease(n, 1) for n in range(3)]
    assert stream.publish(Pixels("raw", (0,), "second", slots[0])) == []
    assert stream.publish(Pixels("raw", (0,), "third", slots[1])) == [Release(slots[0])]
    assert stream.publish(Pixels("raw", (0,), "fourth", slots[2])) == [Release(slots[1])]
    assert sent(stream.acknowledged(1)) == [(2, "fourth", 2)]
    assert stream.statistics().n_skipped == 2


def test_pixels_never_overtake_the_fact_that_describes_them():
    stream: ViewerStream[str, str] = ViewerStream(1)
    stream.publish(Fact("status", "busy"))
    stream.publish(Pixels("labels", (0,), "old"))
    stream.publish(Fact("layer", "labels are int32 now"))
    stream.publish(Pixels("labels", (0,), "new"))
    assert sent(stream.acknowledged(1)) == [(2, "labels are int32 now", 0)]
    assert sent(stream.acknowledged(2)) == [(3, "new", 1)]


def test_a_plane_that_changes_all_the_time_is_still_shown():
    stream: ViewerStream[str, str] = ViewerStream(1)
    stream.publish(Pixels("raw", (0,), "a"))
    stream.publish(Pixels("raw", (1,), "b"))
    stream.publish(Pixels("raw", (2,), "c"))
    stream.publish(Pixels("raw", (1,), "b again"))
    assert sent(stream.acknowledged(1)) == [(2, "b again", 1)]


def test_a_viewer_that_never_acknowledges_is_hung_up_on_with_its_slots_released():
    stream: ViewerStream[str, str] = ViewerStream(1, max_facts=2)
    lease = Lease(0, 1)
    stream.publish(Pixels("raw", (0,), "pixels", lease))
    assert stream.publish(Fact("table", "1")) == []
    assert stream.publish(Fact("table", "2")) == []
    released, hung_up = stream.publish(Fact("table", "3"))
    assert released == Release(lease)
    assert isinstance(hung_up, HangUp)
    assert stream.publish(Pixels("raw", (0,), "late", Lease(1, 1))) == [Release(Lease(1, 1))]


def test_a_late_joiner_is_sent_the_latest_of_everything_then_the_tail():
    state: StreamState[str, str] = StreamState()
    for item in (Fact("status", "idle"), Pixels("raw", (0,), "v1"), Pixels("raw", (0,), "v2"), Fact("status", "busy")):
        state.publish(item)
    stream: ViewerStream[str, str] = ViewerStream(10)
    assert sent(stream.join(state.snapshot())) == [(1, "v2", 0), (2, "busy", 0)]
    assert sent(stream.publish(Pixels("raw", (0,), "v3"))) == [(3, "v3", 0)]
    assert state.forget_layer("raw") == 1
    assert len(state) == 1
