"""What supervision takes from the world, so that a test can put another world in its place."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .reports import Reporter


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock, sleep, chance, and where reports go; children inherit their supervisor's."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    unix_s: Callable[[], float] = time.time
    reporter: Reporter | None = None
