"""Long lists, asked for page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .messages.listing import MOST_LISTED

T = TypeVar("T")


async def paged(
    ask: Callable[[int, str], Awaitable[tuple[T, ...]]], limit: int, *, name_of: Callable[[T], str]
) -> tuple[T, ...]:
    """The first ``limit`` entries of a list, or all where it is 0; ``ask`` gets so many from behind a name on."""
    found: list[T] = []
    while not limit or len(found) < limit:
        n = min(limit - len(found), MOST_LISTED) if limit else MOST_LISTED
        page = await ask(n, name_of(found[-1]) if found else "")
        found += page
        if len(page) < n:
            break
    return tuple(found)
