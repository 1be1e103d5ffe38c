"""Taking turns in tasks: a task waits for its place and gives it back, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ...messages.imports import ImportPriority
from .turns import Turns


@asynccontextmanager
async def turn(turns: Turns, priority: ImportPriority, say: Callable[[int], None]) -> AsyncIterator[None]:
    """Hold a place for as long as the block runs; ``say`` is told how many wait if there is none at once."""
    called = asyncio.get_running_loop().create_future()

    passed_on = False

    def call() -> bool:
        nonlocal passed_on
        # Cancelled in the tick in which its place came: that is the next one's.
        passed_on = called.cancelled()
        if not passed_on:
            called.set_result(None)
        return not passed_on

    ticket = turns.ask(priority, call)
    if not called.done():
        say(turns.n_waiting)
    try:
        await called
    except asyncio.CancelledError:
        if called.done() and not called.cancelled():
            turns.give_back()
        elif not passed_on:
            turns.leave(ticket)
        raise
    try:
        yield
    finally:
        turns.give_back()
