"""Whom a message wakes takes its turn at once, not in the loop's next round, which costs a look at every descriptor."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Generator
from typing import Any
from weakref import WeakKeyDictionary


class Nap:
    """What a task awaits that has nothing to do: a future for one task, which ``Wakes`` ends."""

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_done", "_go_on", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._go_on: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None
        self._done = False
        self._cancelled = False

    def __await__(self) -> Generator[Any, None, None]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def go_on(self) -> None:
        """Let the task take its turn now; no other task may be taking one."""
        if not self._done:
            self._done = True
            if self._go_on is not None and self._context is not None:
                self._context.run(self._go_on, self)

    def end(self) -> None:
        """Let the task take its turn in the loop's next round."""
        if not self._done:
            self._done = True
            if self._go_on is not None:
                self._loop.call_soon(self._go_on, self, context=self._context)

    # -- what a task expects of a future ----------------------------------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its task."""
        return self._loop

    def add_done_callback(self, go_on: Callable[[Any], object], *, context: contextvars.Context | None = None) -> None:
        """Remember how the task goes on."""
        self._go_on, self._context = go_on, context or contextvars.copy_context()

    def cancel(self, msg: object = None) -> bool:
        """The task is cancelled."""
        if self._done:
            return False
        self._cancelled = True
        self.end()
        return True

    def done(self) -> bool:
        """Whether it is over."""
        return self._done

    def result(self) -> None:
        """Nothing, unless the task was cancelled."""
        if self._cancelled:
            raise asyncio.CancelledError


class Wakes:
    """Who was woken while a message was handed on; they take their turns when all of it has been."""

    __slots__ = ("__weakref__", "_naps", "_receiving")

    def __init__(self) -> None:
        self._naps: deque[Nap] = deque()
        self._receiving = False

    def wake(self, nap: Nap) -> None:
        """End a nap: as soon as the message in hand has been handed on, or in the loop's next round."""
        if self._receiving:
            self._naps.append(nap)
        else:
            nap.end()

    def begin(self) -> None:
        """A message is about to be handed on, and no task is taking its turn."""
        self._receiving = True

    def finish(self) -> None:
        """It has been."""
        self._receiving = False
        while self._naps:
            self._naps.popleft().go_on()


_wakes: WeakKeyDictionary[asyncio.AbstractEventLoop, Wakes] = WeakKeyDictionary()


def wakes_of(loop: asyncio.AbstractEventLoop) -> Wakes:
    """The one of a loop."""
    found = _wakes.get(loop)
    if found is None:
        found = _wakes[loop] = Wakes()
    return found
