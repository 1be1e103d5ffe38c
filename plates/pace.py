"""How fast a guest may read: a bucket of tokens, and a rate that makes way for whoever else writes (pure)."""

from __future__ import annotations

import math
from typing import NamedTuple

UNLIMITED = math.inf
MIB = 1 << 20


class TokenBucket:
    """Lets ``rate`` bytes pass in a second, and after a rest at most ``burst_s`` seconds' worth at once."""

    def __init__(self, rate: float = UNLIMITED, *, burst_s: float = 0.1) -> None:
        self._rate = rate
        self._burst_s = burst_s
        self._tokens = 0.0
        self._at_s: float | None = None

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self._rate

    def set_rate(self, rate: float, now_s: float) -> None:
        """Go on at another rate; what was owed is paid at the new one."""
        self._fill(now_s)
        self._rate = rate
        if rate == UNLIMITED:
            self._tokens = 0.0

    def take(self, n_bytes: int, now_s: float) -> float:
        """Take tokens for bytes that pass now; returns for how many seconds nothing more should.

        More than there are may be taken: the debt is what is waited for, so that a large read waits longer and
        not for ever.
        """
        if self._rate == UNLIMITED:
            return 0.0
        self._fill(now_s)
        self._tokens -= n_bytes
        return max(0.0, -self._tokens / self._rate)

    def _fill(self, now_s: float) -> None:
        if self._at_s is not None and self._rate != UNLIMITED:
            rested_s = max(0.0, now_s - self._at_s)
            self._tokens = min(self._rate * self._burst_s, self._tokens + rested_s * self._rate)
        self._at_s = now_s


class Traffic(NamedTuple):
    """What was seen in one stretch of time: bytes that others wrote and that we read, and how disks answered.

    ``latency_ms`` is the mean time of a write on the disks looked at, 0 where nobody says. ``sent_bytes`` are those
    that we read and that are written elsewhere.
    """

    duration_s: float
    foreign_bytes: float
    own_bytes: float
    latency_ms: float = 0.0
    sent_bytes: float = 0.0


class BackOff:
    """Additive increase, multiplicative decrease: others who write come first, and an import still comes to its end.

    While nobody else writes, nothing is limited, and what is reached then is remembered as the free rate. As
    soon as somebody does, the rate falls to ``least_share`` of that. From there it feels its way up while the disk
    answers as fast as before, at most to ``most_share``, and down again when it does not; while the free rate was
    never seen, the disk's answers alone are the bound. Only after ``calm_s``
    without a foreign byte is it free again: acquisitions write in bursts, and our own bytes reach the disk late.
    """

    def __init__(
        self,
        *,
        free_rate: float = 0.0,
        least_share: float = 0.25,
        most_share: float = 0.5,
        calm_s: float = 10.0,
        assumed_free_rate: float = 128.0 * MIB,
        foreign_floor: float = 1.0 * MIB,
    ) -> None:
        self._least_share = least_share
        self._most_share = max(most_share, least_share)
        self._calm_s = calm_s
        self._assumed = assumed_free_rate
        self._foreign_floor = foreign_floor
        self._free_rate = free_rate
        self._quiet_s = 0.0
        self._calm_ms = 0.0
        # Nobody knows yet who else writes: a guest comes in quietly.
        self._rate = least_share * (free_rate or assumed_free_rate)
        self._yields = False

    @property
    def rate(self) -> float:
        """The bytes a second allowed now."""
        return self._rate

    @property
    def free_rate(self) -> float:
        """The bytes a second reached, or assumed, when nobody else writes."""
        return self._free_rate or self._assumed

    @property
    def seen_rate(self) -> float:
        """The bytes a second reached when nobody else wrote; 0 while that was never seen."""
        return self._free_rate

    @property
    def yields(self) -> bool:
        """Whether somebody else writes and is made way for."""
        return self._yields

    def step(self, seen: Traffic) -> float:
        """Take note of what was seen and return the bytes a second allowed from now on."""
        if seen.duration_s <= 0:
            return self._rate
        foreign, own = seen.foreign_bytes / seen.duration_s, seen.own_bytes / seen.duration_s
        # A little of what we write ourselves is counted as foreign: folders, journals, the catalogue.
        writes = foreign > max(self._foreign_floor, 0.05 * own)
        self._quiet_s = 0.0 if writes else self._quiet_s + seen.duration_s
        if writes and not self._yields:
            self._yields, self._calm_ms = True, seen.latency_ms
            self._rate = self.least_rate
        elif self._yields and self._quiet_s >= self._calm_s:
            self._yields = False
            self._rate = UNLIMITED
        elif self._yields:
            self._feel(seen.latency_ms)
        else:
            if self._rate == UNLIMITED:
                # The best of late, and forgotten slowly: a slow source, or small files, make another free rate.
                reached = own + seen.sent_bytes / seen.duration_s
                self._free_rate = max(reached, self._free_rate * 0.98) if reached else self._free_rate
            self._rate = UNLIMITED
        return self._rate

    def rest(self, seen: Traffic) -> float:
        """Take note of what was seen while nothing was read for long, and return the bytes a second allowed now.

        Nobody can say when in that time somebody wrote: an import begins with care then, and the next look decides.
        """
        if seen.foreign_bytes <= self._foreign_floor:
            return self.step(seen)
        self._yields, self._quiet_s, self._rate = False, 0.0, self.least_rate
        return self._rate

    @property
    def least_rate(self) -> float:
        """The bytes a second that are read however busy the disk is."""
        return self._least_share * self.free_rate

    def _feel(self, latency_ms: float) -> None:
        if not latency_ms:
            return
        # The fastest answers of late are what an undisturbed disk gives.
        self._calm_ms = min(latency_ms, self._calm_ms * 1.02) if self._calm_ms else latency_ms
        if latency_ms > 1.5 * self._calm_ms:
            self._rate = max(self.least_rate, 0.5 * self._rate)
        else:
            most = self._most_share * self._free_rate if self._free_rate else UNLIMITED
            self._rate = min(most, self._rate + 0.01 * self.free_rate)
