"""Compression is decided by what was measured: slow links get it, fast ones do not, and none goes to and fro."""

import random

import hypothesis
import hypothesis.strategies as st
import pytest

from hcs_mesh.actors.viewing.compression import Compression

PLANE = 8 << 20


class Link:
    """A link of a given speed, a codec of a given speed and ratio, and a viewer that takes its time."""

    def __init__(
        self, bytes_per_s: float, *, codec_bytes_per_s: float = 2e9, ratio: float = 1.9, held_s: float = 0.0
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self.codec_bytes_per_s = codec_bytes_per_s
        self.ratio = ratio
        self.held_s = held_s
        self.compression = Compression()
        self.now_s = 100.0
        self._free_s = self._viewer_free_s = 0.0
        self._sequence = 0
        self._on_its_way: list[tuple[float, int]] = []

    def carry(self, n_planes: int, *, n_credits: int = 4) -> bool:
        for _ in range(n_planes):
            while self._on_its_way and (len(self._on_its_way) >= n_credits or self._on_its_way[0][0] <= self.now_s):
                self._acknowledge()
            self._send()
        return self.compression.on

    def _send(self) -> None:
        n_bytes = float(PLANE)
        packed = self.compression.next_is_packed()
        if packed:
            took_s = PLANE / self.codec_bytes_per_s
            self.now_s += took_s
            n_bytes = PLANE / self.ratio
            self.compression.packed(PLANE, int(n_bytes), took_s)
        self._sequence += 1
        self.compression.sent(self._sequence, int(n_bytes), self.now_s, as_it_is=not packed)
        self._free_s = max(self._free_s, self.now_s) + n_bytes / self.bytes_per_s
        self._viewer_free_s = max(self._free_s, self._viewer_free_s) + self.held_s
        self._on_its_way.append((self._viewer_free_s, self._sequence))

    def _acknowledge(self) -> None:
        at_s, sequence = self._on_its_way.pop(0)
        self.now_s = max(self.now_s, at_s)
        self.compression.taken(sequence, self.held_s, at_s)


@pytest.mark.parametrize("megabytes_per_s", [1, 12, 110, 500])
def test_a_link_slower_than_the_codec_is_given_smaller_planes(megabytes_per_s: float) -> None:
    assert Link(megabytes_per_s * 1e6).carry(20)


@pytest.mark.parametrize("megabytes_per_s", [2_500, 10_000])
def test_a_link_faster_than_the_codec_is_given_planes_as_they_are(megabytes_per_s: float) -> None:
    assert not Link(megabytes_per_s * 1e6).carry(200)


def test_a_plane_of_which_nobody_knows_when_it_was_taken_tells_nothing_of_the_link() -> None:
    link = Link(10_000e6)
    assert not link.carry(50)
    known = link.compression.link_bytes_per_s
    for sequence in range(1_000, 1_020):
        link.compression.next_is_packed()
        link.compression.sent(sequence, PLANE, link.now_s, as_it_is=True)
        link.now_s += 1.0
        link.compression.forget(sequence)
        link.compression.taken(sequence, 0.0, link.now_s)
    assert link.compression.link_bytes_per_s == known
    assert not link.compression.on


def test_noise_that_does_not_shrink_is_sent_as_it_is() -> None:
    assert not Link(50e6, ratio=1.02).carry(100)


def test_a_slow_viewer_is_not_taken_for_a_slow_link() -> None:
    assert not Link(5e9, held_s=0.1).carry(200)


def test_it_switches_on_when_the_link_becomes_slow_and_off_when_it_is_fast_again() -> None:
    link = Link(5e9)
    assert not link.carry(40)
    link.bytes_per_s = 20e6
    assert link.carry(40)
    link.bytes_per_s = 5e9
    assert not link.carry(140)
    link.bytes_per_s = 20e6
    assert link.carry(40)
    assert link.compression.n_switches == 3


def test_planes_as_they_are_become_rare_on_a_link_that_stays_slow() -> None:
    link = Link(20e6)
    link.carry(400)
    before_s = link.now_s
    assert link.carry(400)
    assert link.now_s - before_s < 1.05 * 400 * PLANE / 1.9 / 20e6


def test_a_link_that_is_as_slow_as_its_small_planes_seem_is_not_believed_for_long() -> None:
    """While planes are compressed, what takes long may be the processor that both are at."""
    link = Link(20e6)
    assert link.carry(20)
    link.bytes_per_s, link.codec_bytes_per_s = 650e6, 700e6
    assert not link.carry(140)


def test_a_link_near_the_bound_does_not_go_to_and_fro() -> None:
    link, chance = Link(0.58e9), random.Random(7)
    for _ in range(400):
        link.bytes_per_s = 0.58e9 * chance.uniform(0.95, 1.05)
        link.carry(1)
    assert link.compression.n_switches <= 1


def test_nothing_is_decided_before_anything_is_measured() -> None:
    compression = Compression()
    assert compression.gain == 0.0
    assert compression.next_is_packed(), "the first plane tells what the codec makes of this stream"
    assert not compression.next_is_packed()


@hypothesis.given(
    st.lists(
        st.tuples(
            st.sampled_from(["packed", "sent", "taken"]), st.integers(0, 5), st.floats(0, 1e6), st.floats(-10, 1e6)
        ),
        max_size=60,
    )
)
def test_no_order_of_events_breaks_it(events: list[tuple[str, int, float, float]]) -> None:
    compression = Compression()
    for kind, sequence, a_s, b_s in events:
        compression.next_is_packed()
        match kind:
            case "packed":
                compression.packed(PLANE, sequence * 1000, a_s)
            case "sent":
                compression.sent(sequence, PLANE, b_s, as_it_is=sequence % 2 == 0)
            case _:
                compression.taken(sequence, b_s, a_s)
        assert compression.gain >= 0.0
        assert compression.link_bytes_per_s >= 0.0
