"""Which executors a host gets: one for each CPU slot and each CUDA device."""

from __future__ import annotations

import importlib.util
import os

from .config import Settings


def devices(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The executors to start: name and device, one for each CPU slot and each CUDA device."""
    n_slots = settings.devices.n_cpu_slots(os.cpu_count() or 1)
    cpus = tuple((f"executor.cpu{number}", "cpu") for number in range(n_slots))
    return cpus + tuple((f"executor.cuda{number}", f"cuda:{number}") for number in cuda_devices(settings))


def cuda_devices(settings: Settings) -> tuple[int, ...]:
    """The CUDA devices to use: those that the settings name, or every one that CuPy finds."""
    chosen = settings.devices.gpu
    if chosen == "off":
        return ()
    if chosen != "auto":
        return chosen
    if importlib.util.find_spec("cupy") is None:
        return ()
    import cupy

    try:
        return tuple(range(cupy.cuda.runtime.getDeviceCount()))
    except cupy.cuda.runtime.CUDARuntimeError:
        # CuPy without a driver or a card: a machine that only has CPUs.
        return ()
