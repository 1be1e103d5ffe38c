"""Which homes of links are swept just now, and what a sweep that takes its time must spare: what is held meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


class Sweeps:
    """One sweep of a home at a time, and nothing taken away for an import while it is being held; from any thread.

    A disk that hangs holds a sweep for hours, with the list of imports that it began with.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[Path, set[str]] = {}
        """What each sweep is to spare that was not on its list."""
        self._going: set[str] = set()

    def begin(self, home: Path) -> bool:
        """Whether a home may be swept now, which ``of`` ends: not while an earlier sweep has not come back."""
        with self._changed:
            if home in self._running:
                return False
            self._running[home] = set()
            return True

    @contextmanager
    def of(self, home: Path) -> Iterator[Callable[[str], AbstractContextManager[bool]]]:
        """Sweep a home: asked for an import, what is handed out says whether it is spared, and lets nobody hold it."""
        with self._changed:
            held_since = self._running.setdefault(home, set())

        @contextmanager
        def spared(import_id: str) -> Iterator[bool]:
            with self.letting_go(import_id):
                yield import_id in held_since

        try:
            yield spared
        finally:
            with self._changed:
                del self._running[home]

    @contextmanager
    def letting_go(self, import_id: str) -> Iterator[None]:
        """Take an import's links away, with nobody else who takes them or begins to hold them."""
        with self._changed:
            self._changed.wait_for(lambda: import_id not in self._going)
            self._going.add(import_id)
        try:
            yield
        finally:
            with self._changed:
                self._going.remove(import_id)
                self._changed.notify_all()

    def spare(self, import_id: str) -> None:
        """Have every sweep that runs spare an import from now on, once nobody is taking its links away."""
        with self._changed:
            self._changed.wait_for(lambda: import_id not in self._going)
            for held_since in self._running.values():
                held_since.add(import_id)
