"""How much has come over a TCP connection, and gone, as Linux tells it."""

from __future__ import annotations

import socket as sockets
import struct

HANDSHAKE_SAID_BYTES = 270
"""What a listener has said over a connection whose key it let in is more, and is less before that.

A greeting has 64, WELCOME 170, and what follows 67 where the key is let in and 12 where it is not (ZMTP 3.1, CURVE).
"""
_TCP_INFO_BYTES = 216
_RECEIVED_AT, _SENT_AT = 128, 200
"""Where ``tcpi_bytes_received`` stands in Linux's ``struct tcp_info``, and ``tcpi_bytes_sent`` before ``_retrans``.

A kernel before 4.19 tells less than that, and one before 4.1 neither.
"""


def counted(descriptor: int) -> tuple[int, bool]:
    """The bytes that have come over a connection, and whether its handshake has succeeded.

    Nothing where the system does not count them, as over a Unix socket.
    """
    try:
        one = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, fileno=descriptor)
    except OSError:
        return 0, False
    try:
        return told_by(_ask(one))
    except (OSError, AttributeError):
        return 0, False
    finally:
        # The descriptor is libzmq's.
        one.detach()


def told_by(info: bytes) -> tuple[int, bool]:
    """What a ``tcp_info`` tells, as far as it goes; who is not known to have been let in is a stranger (pure)."""
    if len(info) < _RECEIVED_AT + 8:
        return 0, False
    [n_received] = struct.unpack_from("=Q", info, _RECEIVED_AT)
    if len(info) < _TCP_INFO_BYTES:
        return n_received, False
    n_sent, n_sent_again = struct.unpack_from("=QQ", info, _SENT_AT)
    return n_received, n_sent - n_sent_again > HANDSHAKE_SAID_BYTES


def what_is_not_counted() -> str:
    """What this system does not tell of connections, and what follows; empty where nothing is missing, or all of it."""
    try:
        with sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM) as one:
            return missing_of(len(_ask(one)))
    except (OSError, AttributeError):
        # Not Linux: its documents say so.
        return ""


def missing_of(n_bytes: int) -> str:
    """What is missing in a ``tcp_info`` of so many bytes (pure)."""
    if n_bytes >= _TCP_INFO_BYTES:
        return ""
    if n_bytes >= _RECEIVED_AT + 8:
        return (
            f"this kernel does not tell what a connection has sent (tcp_info of {n_bytes} bytes): who sends too much "
            "over connections of which nothing can be heard is hung up on, and no key is shut out for it"
        )
    return (
        f"this kernel does not tell what has come over a connection (tcp_info of {n_bytes} bytes): of those of which "
        "nothing can be heard only how many there are is bounded"
    )


def _ask(one: sockets.socket) -> bytes:
    return one.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _TCP_INFO_BYTES)
