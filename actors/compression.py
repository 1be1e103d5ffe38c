"""Whether a stream's planes are worth compressing: measured times in, a decision out (pure).

A plane is compressed where that carries more of it per second than sending it as it is: where the
link, encryption included, is slower than the codec. Both are measured on the stream itself. What a
viewer does with a plane is not the link's time: it says how long it held each one. A link counts as
measured only by planes that the viewer was waiting for.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

GAIN_ON = 1.3
GAIN_OFF = 1.1
"""Between the two nothing changes, so that a link near the bound does not go to and fro."""
N_SAMPLES = 3
"""Planes that must have measured the link before anything is decided."""
N_DWELL = 6
"""Planes that a decision stands for at least."""
PROBE_EVERY = 32
"""One plane in so many is compressed while compression is off, to know what it would do now."""
WEIGHT = 0.4
BREATH_S, HASTE = 2e-4, 0.05
"""A viewer that starts on a plane so soon after the last one had it lying there: it did not wait for the link."""


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    n_bytes: int
    at_s: float


class Compression:
    """Decides for one stream; every time comes in as an argument."""

    def __init__(self) -> None:
        self.on = False
        self.n_switches = 0
        self.link_bytes_per_s = 0.0
        self.codec_bytes_per_s = 0.0
        self.ratio = 0.0
        self._n_planes = 0
        self._n_samples = 0
        self._since_switch = N_DWELL
        self._sent: OrderedDict[int, _OnItsWay] = OrderedDict()
        self._arrived_s = 0.0
        self._taken_s = 0.0

    @property
    def gain(self) -> float:
        """How many times as much would pass per second with compression; 0 as long as it is unknown."""
        if not self.link_bytes_per_s or not self.codec_bytes_per_s:
            return 0.0
        return min(self.codec_bytes_per_s, self.link_bytes_per_s * self.ratio) / self.link_bytes_per_s

    def next_is_packed(self) -> bool:
        """Whether the next plane is compressed, to gain by it or to measure what it would gain."""
        self._n_planes += 1
        return self.on or self._n_planes % PROBE_EVERY == 1

    def packed(self, n_bytes: int, n_packed: int, took_s: float) -> None:
        """The codec made ``n_packed`` bytes of ``n_bytes``."""
        self.codec_bytes_per_s = _mean(self.codec_bytes_per_s, n_bytes / max(took_s, 1e-9))
        self.ratio = _mean(self.ratio, n_bytes / max(n_packed, 1))

    def sent(self, sequence: int, n_bytes: int, now_s: float) -> None:
        """A plane was given to the link as so many bytes."""
        self._sent[sequence] = _OnItsWay(n_bytes, now_s)

    def taken(self, sequence: int, held_s: float, now_s: float) -> None:
        """The viewer has acknowledged a plane that it held for ``held_s``."""
        plane = self._sent.pop(sequence, None)
        if plane is None:
            return
        arrived_s = now_s - max(0.0, held_s)
        began_s = max(plane.at_s, self._arrived_s)
        waited_for = arrived_s > self._taken_s + BREATH_S + HASTE * held_s
        self._arrived_s, self._taken_s = max(arrived_s, self._arrived_s), now_s
        if waited_for and arrived_s > began_s:
            self.link_bytes_per_s = _mean(self.link_bytes_per_s, plane.n_bytes / (arrived_s - began_s))
            self._n_samples += 1
        self._since_switch += 1
        self._decide()

    def _decide(self) -> None:
        if self._n_samples < N_SAMPLES or self._since_switch < N_DWELL:
            return
        wanted = self.gain > (GAIN_OFF if self.on else GAIN_ON)
        if wanted != self.on:
            self.on = wanted
            self.n_switches += 1
            self._since_switch = 0


def _mean(before: float, now: float) -> float:
    """The fading mean of rates; of their inverses, since it is times that add up."""
    return now if not before else 1.0 / ((1.0 - WEIGHT) / before + WEIGHT / max(now, 1e-9))
