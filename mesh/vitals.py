"""How a process is: its memory, its card's memory, and what its actor counts."""

from __future__ import annotations

import sys
from contextlib import suppress

import psutil

from .supervisors import Node
from .transport import Beat

NODE_DESK = "desk"
"""The name of the desk that every child process has."""


def sign_of_life(node: Node, actor: str, device: str, *, loop_lag_s: float) -> Beat:
    """What a child process tells its parent twice a second."""
    cell = node.cells[actor]
    statistics = cell.statistics()
    used, total = gpu_memory(device)
    return Beat(
        busy=str(statistics.get("busy", "")),
        loop_lag_s=loop_lag_s,
        memory_bytes=memory_bytes(),
        gpu_used_bytes=used,
        gpu_total_bytes=total,
        paused=cell.paused,
        statistics=tuple(statistics.items()),
    )


class _Memory:
    """What this process holds in memory, as it was seen last; 0 before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._seen_bytes = 0

    def look(self) -> int:
        # Where no descriptor is free to look, what was seen last is an answer too.
        with suppress(OSError):
            self._seen_bytes = int(self._process.memory_info().rss)
        return self._seen_bytes


_MEMORY = _Memory()


def memory_bytes() -> int:
    """What this process holds in memory; what it held before, where the system does not let it look."""
    return _MEMORY.look()


def gpu_memory(device: str) -> tuple[int, int]:
    """The bytes of a card that are in use, by whomever, and those it has; zeros for a CPU."""
    cupy = sys.modules.get("cupy")
    kind, _, number = device.partition(":")
    if kind != "cuda" or cupy is None:
        return 0, 0
    free, total = cupy.cuda.Device(int(number)).mem_info
    return int(total - free), int(total)
