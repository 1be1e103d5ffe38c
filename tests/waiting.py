"""Waiting for what tells nobody: another process, another thread, a library's own loop."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

LOOK_EVERY_S = 0.01


async def eventually(condition: Callable[[], Any], within_s: float = 30.0, what: str = "what was waited for") -> Any:
    """Return what a condition gives as soon as it is true; looked at every ``LOOK_EVERY_S``, and awaited if it must be.

    Raises:
        AssertionError: it is not true within ``within_s``.
    """
    until_s = time.monotonic() + within_s
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < until_s, f"{what} did not happen within {within_s:g} s"
        await asyncio.sleep(LOOK_EVERY_S)
