"""Who waits for something to change: one future each, all of them told at once."""

from __future__ import annotations

import asyncio

LONGEST_WAIT_S = 60.0
"""How long anybody is let wait, whatever was asked for: it may be asked again."""


class Changes:
    """Lets people wait until the thing of a name moves."""

    def __init__(self, *, longest_s: float = LONGEST_WAIT_S) -> None:
        """Let nobody wait for longer than ``longest_s``."""
        self._longest_s = longest_s
        # In the order in which they came, and quick to leave: thousands may wait for one thing.
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def wait(self, name: str, wait_s: float) -> None:
        """Return once ``tell`` is called for this name, or after ``wait_s``."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(name, {})
        waiting[changed] = None
        # What is no time at all, such as NaN, would put every timer of the loop out of order.
        timeout_s = min(wait_s, self._longest_s) if wait_s >= 0.0 else 0.0
        try:
            await asyncio.wait([changed], timeout=timeout_s)
        finally:
            waiting.pop(changed, None)
            if not waiting and self._waiting.get(name) is waiting:
                del self._waiting[name]

    def tell(self, name: str) -> None:
        """Wake everybody who waits for this name."""
        for changed in self._waiting.pop(name, ()):
            changed.set_result(None)
