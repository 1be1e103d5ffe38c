"""Whether a stream's planes are worth compressing: measured times in, a decision out (pure).

A plane is compressed where that carries more of it per second than sending it as it is: where the
link, encryption included, is slow beside the codec. Both are measured on the stream itself. What a
viewer does with a plane is not the link's time: it says how long it held each one. The link is
measured by planes that went as they are and that the viewer was waiting for: a small one tells more
of the codec and of who else wants the processor. So a few go as they are now and then while the
others are compressed, or nobody would find out that the link is fast again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

GAIN_ON = 1.25
GAIN_OFF = 1.05
"""Between the two nothing changes, so that a link near the bound does not go to and fro."""
N_SAMPLES = 3
"""Planes that must have measured the link before anything is decided."""
N_DWELL = 6
"""Planes that a decision stands for at least."""
PROBE_EVERY = 32
"""One plane in so many is compressed while compression is off, to know what it would do now."""
N_TRIAL = 3
"""So many planes in a row go as they are while compression is on; the first follows a small one and is not timed."""
FIRST_TRIAL_AFTER, LAST_TRIAL_AFTER = 32, 128
"""Compressed planes between such trials. On a slow link a trial is dear: each that changes nothing doubles the wait."""
WEIGHT = 0.4
BREATH_S, HASTE = 2e-4, 0.05
"""A viewer that starts on a plane so soon after the last one had it lying there: it did not wait for the link."""


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    n_bytes: int
    at_s: float
    as_it_is: bool
    trial: int
    """Which one of a trial it is, from 1 on; 0 for none."""


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
        self._trial = 0
        self._trial_after = self._until_trial = FIRST_TRIAL_AFTER
        self._trial_bytes, self._trial_s = 0, 0.0

    @property
    def gain(self) -> float:
        """How many times as much would pass per second with compression; 0 as long as it is unknown.

        As if a plane were compressed first and sent then: the two share the processor, encryption being work too.
        """
        if not self.link_bytes_per_s or not self.codec_bytes_per_s:
            return 0.0
        return 1.0 / (self.link_bytes_per_s / self.codec_bytes_per_s + 1.0 / self.ratio)

    def next_is_packed(self) -> bool:
        """Whether the next plane is compressed, to gain by it or to measure what it would gain."""
        self._n_planes += 1
        self._trial = 0
        if not self.on:
            return self._n_planes % PROBE_EVERY == 1
        self._until_trial -= 1
        if self._until_trial >= 0:
            return True
        self._trial = -self._until_trial
        if self._trial == N_TRIAL:
            self._until_trial = self._trial_after
        return False

    def packed(self, n_bytes: int, n_packed: int, took_s: float) -> None:
        """The codec made ``n_packed`` bytes of ``n_bytes``."""
        self.codec_bytes_per_s = _mean(self.codec_bytes_per_s, n_bytes / max(took_s, 1e-9))
        self.ratio = _mean(self.ratio, n_bytes / max(n_packed, 1))

    def sent(self, sequence: int, n_bytes: int, now_s: float, *, as_it_is: bool) -> None:
        """The plane last asked about was given to the link as so many bytes."""
        self._sent[sequence] = _OnItsWay(n_bytes, now_s, as_it_is, self._trial)

    def taken(self, sequence: int, held_s: float, now_s: float) -> None:
        """The viewer has acknowledged a plane that it held for ``held_s``."""
        plane = self._sent.pop(sequence, None)
        if plane is None:
            return
        arrived_s = now_s - max(0.0, held_s)
        began_s = max(plane.at_s, self._arrived_s)
        waited_for = arrived_s > self._taken_s + BREATH_S + HASTE * held_s
        self._arrived_s, self._taken_s = max(arrived_s, self._arrived_s), now_s
        took_s = arrived_s - began_s if waited_for and plane.as_it_is else 0.0
        if plane.trial:
            self._tried(plane, took_s)
        elif took_s > 0.0 and not self.on:
            self.link_bytes_per_s = _mean(self.link_bytes_per_s, plane.n_bytes / took_s)
            self._n_samples += 1
        self._since_switch += 1
        self._decide()

    def forget(self, sequence: int) -> None:
        """The viewer does not hold this plane any more, and nobody knows since when."""
        self._sent.pop(sequence, None)

    def _tried(self, plane: _OnItsWay, took_s: float) -> None:
        """Once a trial is over, what it found stands instead of what was measured before compression was on."""
        if plane.trial == 1:
            self._trial_bytes, self._trial_s = 0, 0.0
        elif took_s > 0.0:
            self._trial_bytes += plane.n_bytes
            self._trial_s += took_s
        if plane.trial == N_TRIAL and self._trial_s > 0.0:
            self.link_bytes_per_s = self._trial_bytes / self._trial_s
            self._trial_after = min(2 * self._trial_after, LAST_TRIAL_AFTER)

    def _decide(self) -> None:
        if self._n_samples < N_SAMPLES or self._since_switch < N_DWELL:
            return
        wanted = self.gain > (GAIN_OFF if self.on else GAIN_ON)
        if wanted != self.on:
            self.on = wanted
            self.n_switches += 1
            self._since_switch = 0
            self._trial_after = self._until_trial = FIRST_TRIAL_AFTER


def _mean(before: float, now: float) -> float:
    """The fading mean of rates; of their inverses, since it is times that add up."""
    return now if not before else 1.0 / ((1.0 - WEIGHT) / before + WEIGHT / max(now, 1e-9))
