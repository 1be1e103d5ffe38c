"""The line before the inspector: one question at a time, so that what becomes of it is that question's doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class InspectorLine:
    """Lets one question at a time to an inspector; all who ask the same one stand in the same line."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        # A lock is there as long as somebody is at it.
        self._askers: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.is_ending = False
        """Whether the inspector is being ended for a question before: the next death may be that one."""

    @asynccontextmanager
    async def turn(self, asker: str) -> AsyncIterator[None]:
        """Be the one that asks; of each asker one question stands in the line, however many he has."""
        mine = self._askers.setdefault(asker, asyncio.Lock())
        async with mine, self._asking:
            yield
