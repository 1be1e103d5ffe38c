"""Who waits for something to change: one future each, all of them told at once."""

from __future__ import annotations

import asyncio


class Changes:
    """Lets people wait until the thing of a name moves."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    async def wait(self, name: str, wait_s: float) -> None:
        """Return once ``tell`` is called for this name, or after ``wait_s``."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(name, [])
        waiting.append(changed)
        try:
            await asyncio.wait([changed], timeout=wait_s)
        finally:
            if not changed.done():
                waiting.remove(changed)

    def tell(self, name: str) -> None:
        """Wake everybody who waits for this name."""
        for changed in self._waiting.pop(name, ()):
            changed.set_result(None)
