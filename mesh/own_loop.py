"""A loop in a thread of its own, for callers that have none to wait in, or one that they must not stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


class OwnLoop:
    """Keeps an async context open in a thread, and runs what blocking callers ask of it there."""

    def __init__(self, context: AbstractAsyncContextManager[object], *, name: str) -> None:
        """Enter ``context`` in a new thread.

        Raises:
            BaseException: whatever entering it raised.
        """
        self._context = context
        # A factory of its own: the caller's thread keeps the loop that it may have.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._lock = threading.Lock()
        self._closed = False
        self._awaited: set[Future[Any]] = set()
        # A daemon: a script that forgets to close comes to its end all the same.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        try:
            self.run(self._enter())
        except BaseException:
            self._closed = True
            self._end()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the outcome of ``work``; whoever interrupts the wait ends the work as well.

        Raises:
            CancelledError: another thread has closed this, or did meanwhile.
        """
        with self._lock:
            # A loop that is ending would take the work and never say what became of it.
            if self._closed:
                work.close()
                raise CancelledError
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._awaited.add(future)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            with self._lock:
                self._awaited.discard(future)

    def iterate(self, following: AsyncIterator[T]) -> Iterator[T]:
        """What an async generator yields, each waited for when it is asked for."""
        turn = asyncio.Lock()

        async def step() -> T:
            async with turn:
                return await anext(following, _END)

        async def close() -> None:
            # A step that was interrupted is still on its way out.
            async with turn:
                ending = getattr(following, "aclose", None)
                if ending is not None:
                    await ending()

        try:
            while (one := self.run(step())) is not _END:
                yield one
        finally:
            # The end of the loop closes what is left of it.
            if not self._closed:
                self.run(close())

    def close(self) -> None:
        """Leave the context and end the thread; closing again does nothing."""
        with self._lock:
            closed, self._closed = self._closed, True
            awaited = tuple(self._awaited)
        if not closed:
            for future in awaited:
                future.cancel()
            try:
                asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()
            finally:
                self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _main(self) -> None:
        with self._runner:
            self._loop.run_forever()

    async def _enter(self) -> None:
        await self._context.__aenter__()

    async def _leave(self) -> None:
        await self._context.__aexit__(None, None, None)
