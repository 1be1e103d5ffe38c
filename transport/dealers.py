"""The sockets that dial: how they are set up."""

from __future__ import annotations

import zmq

from .binding import on_wire
from .keys import KeyPair, ServerKey
from .silence import notice_silence


def dealer(
    context: zmq.Context[zmq.Socket[bytes]],
    address: str,
    identity: bytes,
    key: KeyPair | None,
    server: ServerKey | None,
    max_bytes: int,
    silence_s: float,
) -> zmq.Socket[bytes]:
    """A socket to one listener; with a key it is encrypted, and notices when nobody is there any more."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, identity)
    socket.setsockopt(zmq.LINGER, 200)
    socket.setsockopt(zmq.SNDHWM, 10_000)
    socket.setsockopt(zmq.RCVHWM, 10_000)
    socket.setsockopt(zmq.MAXMSGSIZE, on_wire(max_bytes, key))
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
    if key is not None:
        if server is None:
            raise ValueError(f"a key without the server's key cannot dial {address}")
        socket.curve_publickey = key.public.encode()
        socket.curve_secretkey = key.secret.encode()
        socket.curve_serverkey = server.public.encode()
        notice_silence(socket, silence_s)
    return socket
