"""How many of a process's descriptors connections may take, so that some are always left for everything else."""

from __future__ import annotations

import sys

KEPT = 4
"""One descriptor in so many is kept for all that is no stranger's: files, processes, and libzmq's ipc listener.

libzmq 4.3.5 ends the whole process when that one finds none left (ipc_listener.cpp).
"""
LEAST_KEPT = 32
UNLIMITED = 1 << 20
"""As many as there may be where the system says no number."""


def limit() -> int:
    """The descriptors that this process may have open at once."""
    if sys.platform == "win32":
        return UNLIMITED
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if 0 < soft < UNLIMITED else UNLIMITED


def most(n_allowed: int) -> int:
    """The number of a descriptor from which on no connection may have it, where so many are allowed (pure)."""
    return n_allowed - max(n_allowed // KEPT, min(LEAST_KEPT, n_allowed // 2))
