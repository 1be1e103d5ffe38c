"""The progress of an import: bytes counted in threads, shown while they work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .life import ImportLife

T = TypeVar("T")

LOOK_S = 0.2


class ImportProgress:
    """Counts the bytes of one phase and says so where people look."""

    def __init__(
        self,
        life: ImportLife,
        tell_changed: Callable[[str], None],
        *,
        n_bytes_done: int = 0,
        why_slow: Callable[[], str] = str,
    ) -> None:
        """Count on from ``n_bytes_done``; ``why_slow`` says what holds the work up, if anything."""
        self._why_slow = why_slow
        self._life = life
        self._tell_changed = tell_changed
        self._n_bytes = self._n_bytes_before = n_bytes_done
        # Several threads copy at once, and += is not one step.
        self._counting = threading.Lock()

    @property
    def n_bytes_added(self) -> int:
        """The bytes that were counted here."""
        return self._n_bytes - self._n_bytes_before

    def add(self, n_bytes: int) -> None:
        """Count bytes; from any thread."""
        with self._counting:
            self._n_bytes += n_bytes

    async def follow(self, work: Coroutine[Any, Any, T], look: Callable[[int], None] = lambda n_bytes: None) -> T:
        """Return what the work returns, and show how far it is until then; ``look`` is told the bytes as they come."""
        working = asyncio.ensure_future(work)
        try:
            while not working.done():
                await asyncio.wait([working], timeout=LOOK_S)
                self._show()
                look(self.n_bytes_added)
            return working.result()
        finally:
            working.cancel()

    def _show(self) -> None:
        # What is copied once more counts twice, and yet there is never more than all.
        n_bytes = min(self._n_bytes, self._life.n_bytes)
        if self._life.goes_on(n_bytes, self._why_slow()):
            self._tell_changed(self._life.import_id)
