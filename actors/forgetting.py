"""The forgetting of what ended long ago, while everything else goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from ..config import get_logger
from ..supervisors.journal import JournalFull
from .ledger import Ledger
from .retention import Retention

R = TypeVar("R", bound=msgspec.Struct)

log = get_logger(__name__)

AT_ONCE = 200
"""Records that are written together, so that one look at the disk is enough for them."""


class Remembering(Protocol):
    """A book that knows what it could do without."""

    def outlived(self, retention: Retention, now_unix_s: float) -> tuple[str, ...]:
        """What has ended and is to be forgotten."""
        ...

    def drop_old_keys(self, retention: Retention, now_unix_s: float) -> None:
        """Let the keys go of what was forgotten long ago."""
        ...


async def keep_forgetting(
    book: Remembering, ledger: Ledger[R], retention: Retention, forgotten: Callable[[str, float], R]
) -> None:
    """Look again and again, for as long as the actor lives; ``forgotten`` makes the record."""
    while True:
        # Before the first look too: a computer may come up with a clock that is years ahead, until it hears of others.
        await asyncio.sleep(retention.look_s)
        await forget_now(book, ledger, retention, forgotten)


async def forget_now(
    book: Remembering, ledger: Ledger[R], retention: Retention, forgotten: Callable[[str, float], R]
) -> None:
    """Forget what the settings keep no longer.

    Raises:
        JournalPoisoned: the disk failed.
    """
    now_unix_s = time.time()
    book.drop_old_keys(retention, now_unix_s)
    names = iter(book.outlived(retention, now_unix_s))
    try:
        while some := tuple(islice(names, AT_ONCE)):
            await asyncio.gather(*(ledger.write(forgotten(name, now_unix_s)) for name in some))
    except JournalFull as full:
        log.warning("what ended long ago stays on the list for now", reason=str(full))
