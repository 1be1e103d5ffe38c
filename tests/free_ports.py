"""Ports of this computer that nobody has, and that nobody is given unasked."""

import random
import socket
from contextlib import suppress

from hcs_mesh.transport.addresses import DATA_PORT_OFFSET

FIRST, BEHIND = 10_000, 31_000
"""Below those that the system gives to whoever connects, of which one may be taken before it is listened at."""
_choice = random.SystemRandom()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free, and whose data port is, for what says by itself where it listens."""
    while True:
        port = _choice.randrange(FIRST, BEHIND)
        with socket.socket() as control, socket.socket() as data, suppress(OSError):
            control.bind((host, port))
            data.bind((host, port + DATA_PORT_OFFSET))
            return port
