"""How everything here is timed: both sides in turns, medians over the rounds, processes pinned to cores."""

import os
import statistics
from collections.abc import Callable
from typing import Any

_CORES = "HCS_MESH_BENCH_CORES"
CORES = [int(core) for core in os.environ.get(_CORES, "").split()] or sorted(os.sched_getaffinity(0))
"""The cores that the whole measurement may use: a child would see only the one that its parent keeps to."""
os.environ[_CORES] = " ".join(map(str, CORES))


def pin(n: int) -> None:
    """Keep this process on one core, the n-th of those it may use."""
    os.sched_setaffinity(0, {CORES[n % len(CORES)]})


def paired(reference: Callable[[], float], ours: Callable[[], float], rounds: int = 5) -> tuple[float, float]:
    """Medians over rounds that take turns, so that a slow minute of the machine hits both."""
    pairs = [(reference(), ours()) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def medians(*sides: Callable[[], Any], rounds: int = 5) -> list[list[float]]:
    """As ``paired``, for sides that measure several numbers at once: medians by side, then by number."""
    runs = [[side() for side in sides] for _ in range(rounds)]
    return [
        [statistics.median(run[side][number] for run in runs) for number in range(len(runs[0][side]))]
        for side in range(len(sides))
    ]
