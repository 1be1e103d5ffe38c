"""What one life of an actor has begun beside its messages: child tasks and reminders, and how they are laid down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..config import get_logger
from ..transport.messages import Message
from .cell import Cell

WIND_UP_S = 3.0
"""What is cancelled at a life's end may take so long to lay down; then it is told of, and the life ends without it.

A kill does not cut it short: its supervisor waits for as long, and for ``ended`` besides.
"""

log = get_logger(__name__)


class Errands:
    """Runs them until the life is over, and waits until they are."""

    def __init__(self, cell: Cell, failed: Callable[[BaseException], None]) -> None:
        """Run nothing yet; ``failed`` hears of a child task that did."""
        self._cell = cell
        self._failed = failed
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._over = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a child task; what is laid down begins nothing any more, for nobody would end it."""
        task = self._cell.loop.create_task(work, name=f"{self._cell.name}: spawned")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if self._over:
            task.cancel()

    def remind(self, delay_s: float, message: Message) -> None:
        """Hand the actor a message later, in this life."""
        if self._over:
            return

        def due() -> None:
            self._timers.discard(handle)
            self._cell.post_own(message)

        handle = self._cell.loop.call_later(delay_s, due)
        self._timers.add(handle)

    def end(self, deferred: Iterable[asyncio.Task[Any]]) -> None:
        """Cancel all of it; what was deferred has been cancelled, and is waited for as well."""
        self._over = True
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._tasks.update(deferred)

    async def wind_up(self) -> None:
        """Wait until nothing is at work any more, or too long; what is left is told of."""
        until_s = self._cell.loop.time() + WIND_UP_S
        left = self._tasks
        try:
            # Again, because what lays down may have begun something that ends at once.
            while left and (wait_s := until_s - self._cell.loop.time()) > 0:
                await asyncio.wait(left, timeout=wait_s)
                left = {task for task in self._tasks if not task.done()}
        finally:
            for task in left:
                log.error("work of an actor goes on after its end", actor=self._cell.name, work=task.get_name())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
