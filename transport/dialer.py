"""The asking side of an endpoint: two DEALER sockets under one routing id, and the link over them.

A ROUTER ignores whoever dials in under a routing id that it knows until it has noticed the end of the connection
before, which takes seconds where a cable was pulled. Letting the later one take the id over (ROUTER_HANDOVER) would let
any key that is allowed take the place of another. So each connection under a key has a routing id made by chance.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from .addresses import Endpoint
from .channel import Channel, Frames
from .codec import Beat, Hello, Kind
from .deliveries import Deliver
from .errors import KeyRefused, PeerGone
from .keys import KeyPair, ServerKey
from .link import Link
from .silence import SILENCE_S, notice_silence

_REFUSED = (zmq.Event.HANDSHAKE_FAILED_AUTH, zmq.Event.HANDSHAKE_FAILED_PROTOCOL)

SILENT_REFUSALS = 3
"""Handshakes in a row that end without a word before the key is held to be wrong.

Whoever holds another key hangs up without a word, but so does a peer that dies in the middle of one.
"""


class Dialer:
    """Connects to one endpoint and stays connected: after a break it dials again, as somebody new."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        deliver: Deliver[Link],
        *,
        name: str,
        key: KeyPair | None = None,
        server: ServerKey | None = None,
        on_connected: Callable[[], None] = lambda: None,
        max_message_bytes: int = 64 << 20,
        max_frame_bytes: int = 256 << 20,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Dial; with ``key`` the connection is CURVE and only the holder of ``server`` can answer.

        A message holds at most ``max_message_bytes``, a plane beside it at most ``max_frame_bytes``; a connection over
        which nothing has come for ``silence_s`` has broken.
        """
        self.endpoint = endpoint
        self.connected = False
        self._n_silent = 0
        self._hello = Hello(name=name, pid=os.getpid())
        self._on_connected = on_connected
        identity = name.encode() if key is None else _chance_identity()
        sockets = [
            _prepare(context, address, identity, key, server, n_bytes, silence_s)
            for address, n_bytes in (
                (endpoint.control, max_message_bytes),
                (endpoint.data, max(max_frame_bytes, max_message_bytes)),
            )
        ]
        self.link = Link(endpoint.control, self._write, deliver, max_message_bytes=max_message_bytes)
        monitor = sockets[0].get_monitor_socket(
            zmq.Event.HANDSHAKE_SUCCEEDED
            | zmq.Event.DISCONNECTED
            | zmq.Event.HANDSHAKE_FAILED_AUTH
            | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        )
        self._sockets = sockets[0], sockets[1]
        self._watched = Channel(monitor, self._see)
        self._control = Channel(sockets[0], self._hear)
        self._data = Channel(sockets[1], self._hear_data, whole_frames=key is not None)
        self._curve = key is not None
        try:
            self._connect()
            self._introduce()
        except BaseException:
            # Nobody else knows these sockets, and the end of their context waits for them.
            self._hang_up()
            raise

    def beat(self, busy: str = "", loop_lag_s: float = 0.0) -> None:
        """Send a sign of life."""
        self.link.say(Kind.BEAT, body=Beat(busy=busy, loop_lag_s=loop_lag_s))

    def close(self) -> None:
        """Say goodbye and hang up."""
        if self.link.gone:
            return
        self.link.say(Kind.BYE)
        self.link.flush()
        self.link.lost("this side hung up")
        self._hang_up()

    def _hang_up(self) -> None:
        try:
            self._sockets[0].disable_monitor()
        finally:
            for channel in (self._watched, self._control, self._data):
                channel.close()

    def _connect(self) -> None:
        self._sockets[0].connect(self.endpoint.control)
        self._sockets[1].connect(self.endpoint.data)

    def _dial_as_somebody_new(self) -> None:
        identity = _chance_identity()
        for socket, address in zip(self._sockets, (self.endpoint.control, self.endpoint.data), strict=True):
            socket.disconnect(address)
            socket.setsockopt(zmq.ROUTING_ID, identity)
        self._connect()

    def _introduce(self) -> None:
        self.link.say(Kind.HELLO, body=self._hello)
        self.link.say(Kind.HELLO, body=self._hello, bulk=True)

    def _write(self, frames: Sequence[Any], bulk: bool) -> bool:  # noqa: FBT001
        return (self._data if bulk else self._control).send(frames, copy=len(frames) == 1)

    def _hear(self, frames: Frames) -> None:
        for batch in frames:
            self.link.hear(batch)

    def _hear_data(self, frames: Frames) -> None:
        if not self._curve:
            self._hear(frames)
        elif len(frames) == 1:
            self.link.hear(frames[0].bytes)
        else:
            # A plane: its pixels are looked at where libzmq has decrypted them.
            self.link.hear_beside(frames[0].bytes, [frame.buffer for frame in frames[1:]])

    def _see(self, frames: Frames) -> None:
        event = parse_monitor_message(frames)["event"]
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            first, self.connected = not self.connected, True
            self._n_silent = 0
            if first:
                self._on_connected()
        elif event == zmq.Event.DISCONNECTED and self.connected:
            self.connected = False
            self.link.fail_asks(PeerGone(f"{self.endpoint.control}: the connection broke before the answer came"))
            if self._curve:
                self._dial_as_somebody_new()
            # A listener that was started anew has never heard of us.
            self._introduce()
        elif event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL or event in _REFUSED:
            self.connected = False
            self._n_silent += 1
            if self._n_silent < SILENT_REFUSALS and event not in _REFUSED:
                return
            self.link.fail_asks(
                KeyRefused(
                    f"{self.endpoint.control} refused the handshake: the keys do not match",
                    hint="use the key of this mesh's data folder, or ask its administrator to allow yours",
                )
            )


def _chance_identity() -> bytes:
    return secrets.token_bytes(16).replace(b"\0", b"\1")


def _prepare(
    context: zmq.Context[zmq.Socket[bytes]],
    address: str,
    identity: bytes,
    key: KeyPair | None,
    server: ServerKey | None,
    max_bytes: int,
    silence_s: float,
) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, identity)
    socket.setsockopt(zmq.LINGER, 200)
    socket.setsockopt(zmq.SNDHWM, 10_000)
    socket.setsockopt(zmq.RCVHWM, 10_000)
    socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
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
