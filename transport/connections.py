"""The connection that a message came over, which libzmq has no call to end."""

from __future__ import annotations

import ipaddress
import socket as sockets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
    # There may be no descriptor for the handle.
    with _borrowed(descriptor, listening) as found, suppress(OSError):
        return found.dup() if found is not None else None
    return None


def hang_up_on(descriptor: int, listening: zmq.Socket[bytes]) -> None:
    """End a connection of a listening socket, if it is there still; that takes no descriptor."""
    # It may have ended by itself meanwhile.
    with _borrowed(descriptor, listening) as found, suppress(OSError):
        if found is not None:
            found.shutdown(sockets.SHUT_RDWR)


@contextmanager
def _borrowed(descriptor: int, listening: zmq.Socket[bytes]) -> Iterator[sockets.socket | None]:
    """The connection of a listening socket that has this number, which stays libzmq's."""
    try:
        found = sockets.socket(fileno=descriptor)
    except OSError:
        yield None
        return
    try:
        # The number may be another's by now: nobody is hung up on but a peer of this very address.
        yield found if _is_of(found, listening) else None
    finally:
        found.detach()


def is_of_this_host(frame: Any) -> bool:
    """Whether a received frame came over TCP from the loopback, as its socket says: no peer elsewhere can."""
    try:
        # libzmq asks the socket for it when it accepts (getpeername).
        address = ipaddress.ip_address(str(frame.get("Peer-Address")))
    except (zmq.ZMQError, ValueError):
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def hang_up(connection: sockets.socket) -> None:
    """End a connection; the handle is closed."""
    # It may have ended by itself meanwhile.
    with connection, suppress(OSError):
        connection.shutdown(sockets.SHUT_RDWR)


def is_stalled(descriptors: Iterable[int]) -> bool:
    """Whether one of these connections takes nothing more; one that has ended meanwhile is not asked."""
    poller = zmq.Poller()
    n_asked = 0
    for descriptor in descriptors:
        poller.register(descriptor, zmq.POLLOUT)
        n_asked += 1
    return len(poller.poll(0)) < n_asked


def _is_of(connection: sockets.socket, listening: zmq.Socket[bytes]) -> bool:
    bound = bytes(listening.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
    scheme, _, address = bound.partition("://")
    try:
        own = connection.getsockname()
        if scheme == "tcp":
            # Another socket of this process, not of the internet, may have the number: a path, or nothing.
            is_of = isinstance(own, tuple) and str(own[1]) == address.rpartition(":")[2]
        else:
            is_of = own == address
        if is_of:
            # The handle shares this with libzmq, which needs it so. Of what is another's nothing is changed.
            connection.settimeout(0.0)
    except OSError:
        return False
    return is_of
