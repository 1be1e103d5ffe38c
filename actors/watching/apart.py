"""A thread that may be left behind: for disks that may never answer."""

from __future__ import annotations

import asyncio
import sys
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

    def tell(outcome: tuple[T] | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if outcome is not None:
            answer.set_result(outcome[0])
        else:
            answer.set_exception(error or RuntimeError(f"{name} ended without an answer"))

    def run() -> None:
        outcome: tuple[T] | None = None
        try:
            outcome = (work(),)
        finally:
            # Whoever asked may be gone, and the loop with it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, outcome, sys.exc_info()[1])

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answer
