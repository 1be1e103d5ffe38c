"""How many descriptors a mesh may hold: as many as the system allows, whatever the shell's soft limit is."""

from __future__ import annotations

import sys
from contextlib import suppress


def raise_descriptor_limit() -> int:
    """Lift the soft limit to the hard one; returns what holds now, 0 where there is no such limit.

    Every connection is a descriptor, and libzmq 4.3.5 ends the whole process when its ipc listener finds none
    left (ipc_listener.cpp asserts every errno of accept but EMFILE; the TCP listener bears it). A shell's usual
    1,024 is within reach of a few hundred careless viewers; the hard limit is not.
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS calls its hard limit infinite and refuses it: then the soft one stays.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft
