"""The sockets that listen: how they are set up, and bound."""

from __future__ import annotations

import zmq

from .errors import EndpointInUse
from .keys import KeyPair
from .silence import notice_silence

HANDSHAKE_MS = 10_000
CURVE_BYTES = 33
"""What encryption adds to a frame: libzmq holds it against the bound with that. https://rfc.zeromq.org/spec/26"""


def prepared(
    context: zmq.Context[zmq.Socket[bytes]], key: KeyPair | None, max_message_bytes: int, silence_s: float
) -> zmq.Socket[bytes]:
    """A socket for many peers; with a key each of them must be encrypted, and is looked for when it is silent."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.LINGER, 200)
    socket.setsockopt(zmq.SNDHWM, 10_000)
    socket.setsockopt(zmq.RCVHWM, 10_000)
    socket.setsockopt(zmq.MAXMSGSIZE, on_wire(max_message_bytes, key))
    if key is None:
        # Between one owner's processes on one host: a peer that comes back under its name is the same peer.
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    else:
        socket.curve_server = True
        socket.curve_publickey = key.public.encode()
        socket.curve_secretkey = key.secret.encode()
        # Who holds a connection and never finishes its handshake is hung up on; libzmq's own patience is 30 s.
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        notice_silence(socket, silence_s)
    return socket


def on_wire(n_bytes: int, key: KeyPair | None) -> int:
    """What a frame of so many bytes has at most on its way."""
    return n_bytes + CURVE_BYTES if key is not None else n_bytes


def bind(socket: zmq.Socket[bytes], address: str) -> None:
    """Let a socket listen.

    Raises:
        EndpointInUse: another process listens there, or nobody can.
    """
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise EndpointInUse(
                f"{address} is in use by another process",
                hint="choose another port in [front], or stop what listens there",
            ) from error
        raise EndpointInUse(f"cannot listen on {address}: {error}", hint="check the address in [front]") from error
