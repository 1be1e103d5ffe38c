"""Connections over which nothing has been heard yet, and how much they have sent.

libzmq reads what comes under a routing id that another connection has, and hands none of it on, to the end of its
socket: not even the end of that connection frees it. Nor does it tell that there is such a connection. So every one is
looked at from its beginning until the first message over it is heard. (ROUTER_HANDOVER would hand it on; but then the
connection before is left without a reader, and libzmq 4.3.5 aborts when that breaks and heartbeats are due on it.)
"""

from __future__ import annotations

import socket as sockets
import struct
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from .channel import Channel, Frames
from .connections import connection_at, hang_up

HANDSHAKE_BYTES = 16 << 10
"""More than anybody sends who goes away before the first message."""
_SRCFD = int(zmq.SRCFD)
_TCP_INFO_BYTES = 136
_RECEIVED_AT = 128
"""Where ``tcpi_bytes_received`` stands in Linux's ``struct tcp_info``."""


class Newcomers:
    """The connections of one socket over which nothing was heard."""

    def __init__(self, socket: zmq.Socket[bytes], *, most_bytes: int) -> None:
        """Follow a socket's connections, before it is bound; all those unheard may together send ``most_bytes``.

        What a peer of ours says first has 100 bytes; somebody else's first message may be as large as any.
        """
        self._socket = socket
        self._most_bytes = most_bytes
        self._unheard: dict[int, int] = {}
        self._lost_bytes = 0
        monitor = socket.get_monitor_socket(zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED)
        self._events = Channel(monitor, self._see)

    def __len__(self) -> int:
        return len(self._unheard)

    def heard(self, frame: Any) -> bool:
        """Note that a message (a zmq.Frame of it) came; whether it is the first over its connection.

        The next one is, where a flood of connections keeps the news of this one back.
        """
        if not self._unheard:
            return False
        connection = frame.get(_SRCFD)
        if connection not in self._unheard:
            return False
        del self._unheard[connection]
        return True

    def look(self, too_much: Callable[[int], None]) -> None:
        """Hang up on those that have sent most, where all have sent too much together; ``too_much`` hears how much."""
        if not self._unheard and not self._lost_bytes:
            return
        for descriptor in self._unheard:
            self._unheard[descriptor] = _received(descriptor)
        n_bytes = sum(self._unheard.values()) + self._lost_bytes
        if n_bytes <= self._most_bytes:
            return
        if self._lost_bytes:
            too_much(self._lost_bytes)
            n_bytes -= self._lost_bytes
            self._lost_bytes = 0
        for descriptor, n in sorted(self._unheard.items(), key=lambda one: -one[1]):
            if n_bytes <= self._most_bytes // 2:
                break
            n_bytes -= n
            del self._unheard[descriptor]
            connection = connection_at(descriptor, self._socket)
            if connection is not None:
                hang_up(connection)
            too_much(n)

    def close(self) -> None:
        """Follow no connection any more; before the socket is closed."""
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._events.close()

    def _see(self, frames: Frames) -> None:
        event = parse_monitor_message(frames)
        if event["event"] == zmq.Event.ACCEPTED:
            self._unheard[int(event["value"])] = 0
            return
        n_bytes = self._unheard.pop(int(event["value"]), 0)
        if n_bytes > HANDSHAKE_BYTES:
            # As far as it was seen: the connection cannot be asked any more.
            self._lost_bytes += n_bytes


def _received(descriptor: int) -> int:
    """The bytes that have come over a connection; 0 where the system does not count them, as over a Unix socket."""
    try:
        one = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, fileno=descriptor)
    except OSError:
        return 0
    try:
        told = one.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _TCP_INFO_BYTES)
        return int(struct.unpack_from("=Q", told, _RECEIVED_AT)[0])
    except (OSError, AttributeError, struct.error):
        return 0
    finally:
        # The descriptor is libzmq's.
        one.detach()
