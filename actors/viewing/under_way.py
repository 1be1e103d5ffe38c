"""The planes that are under way over one link: given to its socket, which has not let go of them yet."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 32 << 20
"""So much of one link's planes may wait for its peer to read them, and one plane in any case."""
PART_BYTES = 1 << 20
"""So much is copied in one turn of the loop: a tenth of a millisecond."""
MOST_SPARE = 2
"""The memory of so many planes is kept to be written again: fresh memory costs more than to copy a plane into it."""
SPARE_S = 10.0
"""For so long after the last plane."""


class UnderWay:
    """Counts what a link's socket holds, whichever of the link's streams it was sent on."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        """Be full with ``most_bytes``."""
        self.n_bytes = 0
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._spare: list[NDArray[np.uint8]] = []
        self._dropping: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next plane has to wait."""
        return self.n_bytes >= self._most_bytes

    async def copied(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """The bytes of a plane, contiguous, in memory that nobody else has."""
        source = pixels.reshape(-1).view(np.uint8)
        target = np.frombuffer(self._memory(pixels.nbytes).data, np.uint8, pixels.nbytes)
        for start in range(0, source.size, PART_BYTES):
            target[start : start + PART_BYTES] = source[start : start + PART_BYTES]
            # A turn for everybody else; to a thread and back is a longer way, and takes as much of the loop's core.
            await asyncio.sleep(0)
        return target

    def note(self, body: NDArray[Any]) -> None:
        """Count this memory for as long as anybody holds it: libzmq lets go of what it has sent or dropped."""
        self.n_bytes += body.nbytes
        # Not by a MessageTracker, which would have to be waited for in a thread, or asked again and again.
        # Parts of it are views of it, as numpy looks no further down than to the memory's buffer.
        weakref.finalize(body, self._let_go, body.nbytes, getattr(body.base, "obj", None)).atexit = False

    async def change(self) -> None:
        """Wait until less is under way, or until somebody has to look again."""
        self._changed.clear()
        await self._changed.wait()

    def look_again(self) -> None:
        """Wake who waits for a change."""
        self._changed.set()

    def _memory(self, n_bytes: int) -> NDArray[np.uint8]:
        # Nothing may be spare yet.
        with suppress(IndexError):
            memory = self._spare.pop()
            if memory.nbytes >= n_bytes:
                return memory
        return np.empty(n_bytes, np.uint8)

    def _let_go(self, n_bytes: int, memory: Any) -> None:
        # In the thread of whoever held it last, and perhaps after the end of the loop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._count_out, n_bytes, memory)

    def _count_out(self, n_bytes: int, memory: Any) -> None:
        self.n_bytes -= n_bytes
        if isinstance(memory, np.ndarray) and len(self._spare) < MOST_SPARE:
            self._spare.append(memory)
            if self._dropping is not None:
                self._dropping.cancel()
            self._dropping = self._loop.call_later(SPARE_S, self._spare.clear)
        self._changed.set()
