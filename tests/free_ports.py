"""A port for whoever is to listen later, in this process or in one that is still to be started."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 10_000, 31_000
"""Below the ports that Linux hands out by itself (net.ipv4.ip_local_port_range begins at 32768): one of those may be
anybody's connection by the time at which it is listened on."""
DATA_ABOVE = 1_000
"""The data channel of a mesh listens so far above its control channel."""


def free_port() -> int:
    """A port on which nothing listens now, nor on the one that a mesh would use beside it."""
    # Not random's own numbers, which a test may have seeded: two workers must not go the same way.
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(LOWEST, HIGHEST)
        with socket.socket() as low, socket.socket() as high:
            try:
                low.bind(("127.0.0.1", port))
                high.bind(("127.0.0.1", port + DATA_ABOVE))
            except OSError:
                continue
            return port
