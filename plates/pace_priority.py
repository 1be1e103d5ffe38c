"""Threads that stand back: from the processor and from the disk, where this system lets single threads do so."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from contextlib import suppress
from typing import Literal

IoClass = Literal["idle", "best-effort", "none"]

# ioprio_set(2) has no wrapper in the C library, and psutil's works on whole processes.
_SYSCALLS = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
_WHO_THREAD = 1
_PRIORITIES: dict[IoClass, int] = {"best-effort": (2 << 13) | 7, "idle": 3 << 13, "none": 0}


def stand_back(nice: int, io_class: IoClass) -> None:
    """Lower the calling thread for good: to take it back needs rights that a service does not have.

    Only on Linux do priorities belong to threads; elsewhere the whole process would stand back, and nothing is done.
    """
    if sys.platform != "linux":
        return
    me = threading.get_native_id()
    # A thread that stays where it was is limited by its rate all the same.
    with suppress(OSError):
        if nice > os.getpriority(os.PRIO_PROCESS, me):
            os.setpriority(os.PRIO_PROCESS, me, nice)
    number = _SYSCALLS.get(platform.machine())
    if number is not None and io_class != "none":
        ctypes.CDLL(None).syscall(number, _WHO_THREAD, 0, _PRIORITIES[io_class])
