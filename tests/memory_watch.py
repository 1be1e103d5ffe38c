"""A test whose memory grows without end is ended and named, before the computer that it runs on is."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading

MOST_BYTES = 8 * 2**30
"""Several times what the largest test takes."""
LOOK_S = 0.5


def begin() -> None:
    """Watch this process from a thread of its own; to be called while pytest does not hold back what is written."""
    if sys.platform == "linux":
        threading.Thread(target=_watch, args=(os.dup(2),), name="memory watch", daemon=True).start()


def _watch(stderr: int) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    # Held open: a test may leave this process no descriptor, and what fails in this thread fails a test.
    told = os.open("/proc/self/statm", os.O_RDONLY)
    never = threading.Event()
    while not never.wait(LOOK_S):
        resident = int(os.pread(told, 256, 0).split()[1]) * page
        if resident > MOST_BYTES:
            test = os.environ.get("PYTEST_CURRENT_TEST", "no test")
            os.write(stderr, f"\n{test} holds {resident >> 20} MiB, and no end is in sight:\n".encode())
            faulthandler.dump_traceback(stderr)
            os._exit(70)
