"""The connection that a message came over, which libzmq has no call to end."""

from __future__ import annotations

import socket as sockets
from contextlib import suppress
from typing import Any

import zmq


def connection_of(frame: Any, listening: zmq.Socket[bytes]) -> sockets.socket | None:
    """A handle of its own on the connection that a received frame came over; None where it is gone."""
    try:
        return connection_at(frame.get(zmq.SRCFD), listening)
    except zmq.ZMQError:
        return None


def connection_at(descriptor: int, listening: zmq.Socket[bytes]) -> sockets.socket | None:
    """A handle of its own on a connection of a listening socket; None where it is gone."""
    try:
        found = sockets.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        # The handle shares this with libzmq, which needs it so.
        found.settimeout(0.0)
        # The number may be another's by now: nobody is hung up on but a peer of this very address.
        return found.dup() if _is_of(found, listening) else None
    except OSError:
        return None
    finally:
        found.detach()


def hang_up(connection: sockets.socket) -> None:
    """End a connection; the handle is closed."""
    # It may have ended by itself meanwhile.
    with connection, suppress(OSError):
        connection.shutdown(sockets.SHUT_RDWR)


def _is_of(connection: sockets.socket, listening: zmq.Socket[bytes]) -> bool:
    bound = bytes(listening.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
    scheme, _, address = bound.partition("://")
    own = connection.getsockname()
    return str(own[1]) == address.rpartition(":")[2] if scheme == "tcp" else own == address
