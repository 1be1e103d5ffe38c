"""Two ways of waiting: for a thread that nobody must wait for, and for work that has to come to its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio

from ....config.errors import MeshError

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, name: str) -> T:
    """What ``work`` gives, done in a thread that no end of the program waits for: a server may hold it up for long.

    Raises:
        MeshError, OSError: what the work raises.
    """
    done: Future[T] = Future()
    # So that it cannot be cancelled from here on: the thread will have something to say.
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except (MeshError, OSError) as error:
            done.set_exception(error)
        finally:
            # A fault goes the way of any thread's, and whoever waits must not wait for ever.
            if not done.done():
                done.set_exception(RuntimeError(f"the thread {name} has failed"))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do work whole though whoever waits for it is cancelled; the cancellation goes on afterwards.

    Raises:
        asyncio.CancelledError: it was cancelled meanwhile, and the work is done.
        Exception: what the work raises.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    # Anyio would cancel the wait again and again; the loop's own cancellation comes once.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return task.result()
    if (failure := task.exception()) is not None:
        cancelled.add_note(f"Meanwhile: {failure}")
    raise cancelled
