"""The planes that are under way over one link: given to its socket, which has not let go of them yet."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

MOST_BYTES = 32 << 20
"""So much of one link's planes may wait for its peer to read them, and one plane in any case."""


class UnderWay:
    """Counts what a link's socket holds, whichever of the link's streams it was sent on."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        """Be full with ``most_bytes``."""
        self.n_bytes = 0
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the next plane has to wait."""
        return self.n_bytes >= self._most_bytes

    def note(self, body: NDArray[Any]) -> None:
        """Count this memory for as long as anybody holds it: libzmq lets go of what it has sent or dropped."""
        self.n_bytes += body.nbytes
        # Not by a MessageTracker, which would have to be waited for in a thread, or asked again and again.
        weakref.finalize(body, self._let_go, body.nbytes).atexit = False

    async def change(self) -> None:
        """Wait until less is under way, or until somebody has to look again."""
        self._changed.clear()
        await self._changed.wait()

    def look_again(self) -> None:
        """Wake who waits for a change."""
        self._changed.set()

    def _let_go(self, n_bytes: int) -> None:
        # In the thread of whoever held it last, and perhaps after the end of the loop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._count_out, n_bytes)

    def _count_out(self, n_bytes: int) -> None:
        self.n_bytes -= n_bytes
        self._changed.set()
