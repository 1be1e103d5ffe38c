"""Blocking work of an actor in threads, which its next life can wait for."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """Runs blocking calls; a cancelled caller leaves, the thread goes on, and ``finish`` waits for it."""

    def __init__(self, name: str, *, n_threads: int = 8, pool: concurrent.futures.Executor | None = None) -> None:
        """Run in ``pool``, or in threads of its own."""
        self.finishing = False
        self._pool = pool or concurrent.futures.ThreadPoolExecutor(n_threads, thread_name_prefix=name)
        self._running: dict[concurrent.futures.Future[object], str] = {}

    async def run(self, work: Callable[[], T], *, group: str = "") -> T:
        """Call ``work`` in a thread; ``group`` names what ``finish`` may wait for alone."""
        future = self._pool.submit(work)
        self._running[future] = group  # type: ignore[index]
        future.add_done_callback(lambda done: self._running.pop(done, None))  # type: ignore[arg-type]
        return await asyncio.wrap_future(future)

    async def finish(self, group: str | None = None) -> None:
        """Wait for the calls of a group, or for all of them and for good."""
        if group is None:
            self.finishing = True
        waiting = [future for future, of in list(self._running.items()) if group is None or of == group]
        # Their results go to whoever called them, if anybody still waits.
        await asyncio.gather(*map(asyncio.wrap_future, waiting), return_exceptions=True)
        if group is None:
            self._pool.shutdown(wait=False)
