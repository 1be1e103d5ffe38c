"""What takes links of imports away just now, and what that must spare however long it takes: what is held meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from weakref import WeakSet

Spared = Callable[[str], AbstractContextManager[bool]]
"""Asked for an import, says whether it is spared, and lets nobody else take its links or begin to hold them."""


class _HeldSince:
    """The imports that were held since somebody was asked to take links away."""

    def __init__(self) -> None:
        self.import_ids: set[str] = set()


class Sweeps:
    """One sweep of a home at a time, and nothing taken away for an import while it is being held; from any thread.

    A disk that hangs holds a sweep for hours, with the list of imports that it began with, and a release as well.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[Path, Spared] = {}
        # Those that were given up before they began are just gone.
        self._asked: WeakSet[_HeldSince] = WeakSet()
        self._going: set[str] = set()

    def begin(self, home: Path) -> bool:
        """Whether a home may be swept now, which ``of`` ends: not while an earlier sweep has not come back."""
        with self._changed:
            if home in self._running:
                return False
            self._running[home] = self.from_now_on()
            return True

    @contextmanager
    def of(self, home: Path) -> Iterator[Spared]:
        """Sweep a home: what is handed out spares what was held since that began."""
        with self._changed:
            spared = self._running.setdefault(home, self.from_now_on())
        try:
            yield spared
        finally:
            with self._changed:
                del self._running[home]

    def from_now_on(self) -> Spared:
        """Be asked to take links away: what is handed out spares what is held after this call."""
        since = _HeldSince()
        with self._changed:
            self._asked.add(since)
        return partial(self._spared, since)

    @contextmanager
    def _spared(self, since: _HeldSince, import_id: str) -> Iterator[bool]:
        with self._changed:
            self._changed.wait_for(lambda: import_id not in self._going)
            self._going.add(import_id)
        try:
            yield import_id in since.import_ids
        finally:
            with self._changed:
                self._going.remove(import_id)
                self._changed.notify_all()

    def spare(self, import_id: str) -> bool:
        """Have all that was asked until now to take links away spare an import; whether some are being taken still."""
        with self._changed:
            for since in self._asked:
                since.import_ids.add(import_id)
            return import_id in self._going

    def wait(self, import_id: str) -> None:
        """Block until nobody is taking an import's links away."""
        with self._changed:
            self._changed.wait_for(lambda: import_id not in self._going)
