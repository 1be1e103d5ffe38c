"""The load that every peer is put under, as ask.py, tell.py and publisher.py put it on hcs-mesh.

It needs no library of ours.
"""

import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

N_CALLERS = 64
ASKS_ALONE = (2_000, 10_000)
ASKS = (400, 1_920)
N_EVENTS = 4_000
WINDOW = 1_000
N_CREDITS, N_WARM, N_PLANES = 4, 4, 48
SHAPE, PLANE_MIB = (2048, 2048), 8
CORES = sorted(os.sched_getaffinity(0))


def pin_all(n: int) -> None:
    """Keep this process, with every thread that it has, on the n-th core."""
    for thread in Path("/proc/self/task").iterdir():
        # A thread may end between the listing and the call.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {CORES[n % len(CORES)]})


async def time_asks(ask: Callable[[int], Awaitable[object]], numbers: tuple[int, int] = ASKS) -> tuple[float, float]:
    """The median microseconds of one caller, and the answers per second of 64."""
    n_single, n_many = numbers
    for number in range(100):
        await ask(number)
    times = []
    for number in range(n_single):
        start = time.perf_counter()
        await ask(number)
        times.append(time.perf_counter() - start)

    async def caller() -> None:
        for number in range(n_many // N_CALLERS):
            await ask(number)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(N_CALLERS)))
    rate = n_many // N_CALLERS * N_CALLERS / (time.perf_counter() - start)
    return statistics.median(times) * 1e6, rate


def corners(plane: Any) -> int:
    """What whoever gets a plane looks at."""
    return int(plane[0, 0]) + int(plane[-1, -1])


async def time_planes(look: Callable[[Any], Awaitable[int]]) -> float:
    """MiB per second of planes as an actor's argument, four of them on their way at a time."""
    # Here, as it came with one of the peers: where that did not install, the others are asked all the same.
    import numpy as np

    plane = np.ones(SHAPE, np.uint16)

    async def send(n_planes: int) -> None:
        for _ in range(n_planes):
            assert await look(plane) == 2

    await send(N_WARM)
    start = time.perf_counter()
    await asyncio.gather(*(send(N_PLANES // N_CREDITS) for _ in range(N_CREDITS)))
    return N_PLANES * PLANE_MIB / (time.perf_counter() - start)


def report(numbers: dict[str, float]) -> None:
    """Hand the numbers to peers.py, whatever else the library printed."""
    sys.stdout.write("\n" + json.dumps(numbers) + "\n")
