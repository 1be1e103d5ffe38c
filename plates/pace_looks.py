"""Looks at disks of which any may never answer: each in a thread that may be left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from .pace import Traffic
from .pace_traffic import TrafficWatch

ANSWER_S = 2.0
"""A disk that was silent for as long is waited for no more until it has answered sooner, whoever reads from it."""


class _Look:
    """What one look has seen, once it has ended."""

    def __init__(self) -> None:
        self.seen: Traffic | None = None
        self.ended = threading.Event()


class WatchApart:
    """Looks with a watch in threads of their own, one at a time: a drive that hangs keeps that thread alone."""

    def __init__(self, watch: TrafficWatch, own_bytes: Callable[[], int]) -> None:
        """Look with ``watch``; ``own_bytes`` says how many bytes we have written to the repository's disk by now."""
        self._watch = watch
        self._own_bytes = own_bytes
        self._told_bytes = own_bytes()
        self._last: _Look | None = None
        self._is_behind = False

    @property
    def devices(self) -> frozenset[int]:
        """The file systems that are looked at."""
        return self._watch.devices

    def begin(self, duration_s: float) -> _Look | None:
        """Begin to look; None where nobody is to wait for it, since the disk was silent the last time.

        A disk that has answered at last is looked at to compare with later, and counts from the look after.
        """
        if self._last is not None and not self._last.ended.is_set():
            self.fall_behind()
            return None
        was_behind, self._is_behind = self._is_behind, False
        self._last = self._apart(duration_s)
        return None if was_behind else self._last

    def fall_behind(self) -> None:
        """Take no notice of the look that goes on, nor of what the one after it finds: nobody knows when that was."""
        self._is_behind = True

    def _apart(self, duration_s: float) -> _Look:
        look, begun_s = _Look(), time.monotonic()

        def run() -> None:
            try:
                # Just before the disk is asked: what is written between the two would be taken for somebody else's.
                own_bytes = self._own_bytes()
                told_bytes, self._told_bytes = self._told_bytes, own_bytes
                look.seen = self._watch.look(duration_s, own_bytes - told_bytes)
            finally:
                if time.monotonic() - begun_s > ANSWER_S:
                    self.fall_behind()
                look.ended.set()

        # Not one of a pool, whose threads are waited for at the end of the process.
        threading.Thread(target=run, name="look who writes", daemon=True).start()
        return look


def look_together(watches: Iterable[WatchApart], duration_s: float) -> list[tuple[WatchApart, Traffic]]:
    """Look with all of them at the same time, and say what was seen on the disks that answer.

    Whoever asks is kept for ``ANSWER_S`` at most, and by a disk that goes on being silent only once.
    """
    begun = [(watch, look) for watch in watches if (look := watch.begin(duration_s)) is not None]
    until_s = time.monotonic() + ANSWER_S
    seen: list[tuple[WatchApart, Traffic]] = []
    for watch, look in begun:
        look.ended.wait(max(0.0, until_s - time.monotonic()))
        if look.seen is not None:
            seen.append((watch, look.seen))
        else:
            watch.fall_behind()
    return seen
