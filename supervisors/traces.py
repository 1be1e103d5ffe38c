"""The ways of messages through one node: which actors handled what, for whom, and how long it took."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from ..config.bounded_text import bounded

MAX_TRACES = 512
MAX_HOPS = 512
"""Hops that are kept of one trace: a job with thousands of wells must not push out everybody else's."""
LONGEST_OUTCOME = 400
"""Characters of what is kept of how a hop ended: it may repeat what was asked."""


class Hop:
    """One message at one actor, from the moment that it was taken up."""

    __slots__ = ("_clock", "actor", "at_unix_s", "began_s", "message", "outcome", "sender", "took_s", "trace")

    def __init__(
        self, trace: str, sender: str, actor: str, message: str, at_unix_s: float, clock: Callable[[], float]
    ) -> None:
        self.trace = trace
        self.sender = sender
        self.actor = actor
        self.message = message
        self.at_unix_s = at_unix_s
        self.took_s = 0.0
        self.outcome = ""
        self.began_s = clock()
        self._clock = clock

    def end(self, outcome: str) -> None:
        """It was answered, or failed; the first word counts."""
        if not self.outcome:
            self.outcome = bounded(outcome, LONGEST_OUTCOME)
            self.took_s = self._clock() - self.began_s


class Traces:
    """The latest traces of a node, bounded in number and in length."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, unix_s: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._unix_s = unix_s
        self._hops: OrderedDict[str, list[Hop]] = OrderedDict()
        self.n_hops = 0
        self.n_left_out = 0

    def begin(self, carried: str, actor: str, message: str) -> Hop:
        """Note that an actor takes a message up; ``carried`` is the trace's id and the sender."""
        trace, _, sender = carried.partition(" ")
        hop = Hop(trace, sender, actor, message, self._unix_s(), self._clock)
        hops = self._hops.get(trace)
        if hops is None:
            hops = self._hops[trace] = []
            if len(self._hops) > MAX_TRACES:
                self._hops.popitem(last=False)
        if len(hops) < MAX_HOPS:
            hops.append(hop)
            self.n_hops += 1
        else:
            self.n_left_out += 1
        return hop

    def of(self, trace: str) -> list[Hop]:
        """The hops of every trace whose id begins so, in the order in which they were taken up."""
        found = [hop for name, hops in self._hops.items() if name.startswith(trace) for hop in hops]
        return sorted(found, key=lambda hop: hop.at_unix_s)

    def latest(self, n: int) -> list[Hop]:
        """The first hop of each of the latest traces, newest first."""
        return [hops[0] for hops in list(self._hops.values())[: -n - 1 : -1] if hops]
