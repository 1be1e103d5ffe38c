"""A thread that may be left behind: for disks that may never answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def run_apart(work: Callable[[], T], name: str) -> T:
    """Call ``work`` in a thread of its own, which holds up neither its cancelled caller nor the end of the process.

    A network drive that hangs holds a thread for good: those of a pool would be waited for at the end.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(done: concurrent.futures.Future[T]) -> None:
        if answer.done():
            return
        error = done.exception()
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())

    def run() -> None:
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is the asker's
            done.set_exception(error)
        # Whoever asked may be gone, and the loop with it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, done)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answer
