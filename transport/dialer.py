"""The asking side of an endpoint: two DEALER sockets under one routing id, and the link over them.

libzmq dials again after a break, but never after a refusal: there the dialer does it, on either channel.

A ROUTER ignores whoever dials in under a routing id that it knows until it has noticed the end of the connection
before, which takes seconds where a cable was pulled. Letting the later one take the id over (ROUTER_HANDOVER) would let
any key that is allowed take the place of another. So each connection under a key has a routing id made by chance.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from .addresses import Endpoint
from .channel import MOST_PARTS, PART_BYTES, Channel, Frames
from .codec import Beat, Hello, Kind
from .connections import is_stalled
from .dealers import dealer
from .deliveries import Deliver
from .errors import PeerGone
from .keys import KeyPair, ServerKey
from .link import Link
from .refusals import AGAIN_S, refusal, silent_refusal
from .silence import SILENCE_S, last_words_ms

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_REFUSED = (zmq.Event.HANDSHAKE_FAILED_AUTH, zmq.Event.HANDSHAKE_FAILED_PROTOCOL)

SILENT_REFUSALS = 3
"""Handshakes in a row that end without a word before it is told.

Whoever holds another key hangs up without a word, but so does a peer that dies in the middle of one, and a listener
that comes near to its last descriptor.
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

        A message holds at most ``max_message_bytes``; a plane beside it has at most ``max_frame_bytes`` for whoever
        hears of it (``Link.most_attached_bytes``). A connection over which nothing came for ``silence_s`` has broken.

        Raises:
            PeerGone: the system gives no descriptor for it.
        """
        self.endpoint = endpoint
        self.connected = False
        self._n_silent = 0
        self._was_connected = False
        self._again: asyncio.TimerHandle | None = None
        self._data_again: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._hello = Hello(name=name, pid=os.getpid())
        self._on_connected = on_connected
        identity = name.encode() if key is None else _chance_identity()
        self._curve = key is not None
        self._watched: list[Channel] = []
        self.link = Link(endpoint.control, self._write, deliver, max_message_bytes=max_message_bytes)
        self.link.most_attached_bytes = max_frame_bytes
        sockets: list[zmq.Socket[bytes]] = []
        largest_part = max(PART_BYTES, -(-max_frame_bytes // MOST_PARTS))
        try:
            for address, n_bytes in (
                (endpoint.control, max_message_bytes),
                (endpoint.data, max(largest_part, max_message_bytes)),
            ):
                sockets.append(dealer(context, address, identity, key, server, n_bytes, silence_s))
            self._open(sockets)
        except zmq.ZMQError as error:
            # Nobody else knows these sockets, and the end of their context waits for them.
            for channel in self._watched:
                channel.close()
            for socket in sockets:
                socket.close(0)
            if error.errno not in _NO_ROOM:
                raise
            raise PeerGone(
                f"{endpoint.control} cannot be dialled: {error.strerror}",
                hint="this process has no descriptor free: dial again, or raise its limit (LimitNOFILE, ulimit -n)",
            ) from error

    def _open(self, sockets: list[zmq.Socket[bytes]]) -> None:
        monitor = sockets[0].get_monitor_socket(
            zmq.Event.CONNECTED
            | zmq.Event.HANDSHAKE_SUCCEEDED
            | zmq.Event.DISCONNECTED
            | zmq.Event.HANDSHAKE_FAILED_AUTH
            | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        )
        self._sockets = sockets[0], sockets[1]
        self._watched.append(Channel(monitor, self._see))
        self._n_data_connections = 0
        # The newest connection of each channel, by its descriptor.
        self._control_connection: int | None = None
        self._data_connection: int | None = None
        if self._curve:
            data_monitor = sockets[1].get_monitor_socket(
                zmq.Event.CONNECTED
                | zmq.Event.HANDSHAKE_SUCCEEDED
                | zmq.Event.HANDSHAKE_FAILED_AUTH
                | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            )
            self._watched.append(Channel(data_monitor, self._see_data))
        self._control = Channel(sockets[0], self._hear)
        # A batch, and the parts of a plane beside it.
        self._data = Channel(sockets[1], self._hear_data, whole_frames=self._curve, max_frames=1 + MOST_PARTS)
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
            for socket, _ in zip(self._sockets, self._watched, strict=False):
                socket.disable_monitor()
        finally:
            for channel in self._watched:
                channel.close()
            for channel, connection in (
                (self._control, self._control_connection),
                (self._data, self._data_connection),
            ):
                stalled = self._curve and connection is not None and is_stalled([connection])
                channel.close(linger_ms=last_words_ms(stalled=stalled))

    def _connect(self) -> None:
        self._sockets[0].connect(self.endpoint.control)
        self._sockets[1].connect(self.endpoint.data)

    def _dial_as_somebody_new(self) -> None:
        self._leave()
        self._again = None
        identity = _chance_identity()
        for socket in self._sockets:
            socket.setsockopt(zmq.ROUTING_ID, identity)
        self._connect()

    def _leave(self) -> None:
        """Have both sockets send nothing, and keep what they are given, until they are connected again."""
        if self._data_again is not None:
            self._data_again.cancel()
            self._data_again = None
        for socket, address in zip(self._sockets, (self.endpoint.control, self.endpoint.data), strict=True):
            _disconnect(socket, address)
        # Their numbers may be another's by now.
        self._control_connection = self._data_connection = None

    def _dial_again(self) -> None:
        if self.link.gone:
            return
        self._dial_as_somebody_new()
        self._introduce()
        self._control.go_on()
        self._data.go_on()

    def _dial_data_again(self) -> None:
        if self.link.gone:
            return
        self._data_again = None
        self.link.offences.add("data", "", "its data channel was refused alone; it is dialled again")
        # Under the routing id that its control channel has.
        self._sockets[1].connect(self.endpoint.data)
        self._introduce_data()
        self._data.go_on()

    def _introduce(self) -> None:
        self.link.say(Kind.HELLO, body=self._hello)
        self._introduce_data()

    def _introduce_data(self) -> None:
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

    def _see_data(self, frames: Frames) -> None:
        seen = parse_monitor_message(frames)
        event = seen["event"]
        if event == zmq.Event.CONNECTED:
            self._data_connection = int(seen["value"])
            return
        if event in _REFUSED:
            if self._again is None and self._data_again is None:
                _disconnect(self._sockets[1], self.endpoint.data)
                self._data_connection = None
                self._data_again = self._loop.call_later(AGAIN_S, self._dial_data_again)
            return
        self._n_data_connections += 1
        if self._n_data_connections > 1:
            # Where it alone broke libzmq has made it anew, and who says nothing over a connection is hung up on.
            self._introduce_data()

    def _see(self, frames: Frames) -> None:
        seen, where = parse_monitor_message(frames), self.endpoint.control
        event = seen["event"]
        if event == zmq.Event.CONNECTED:
            self._control_connection = int(seen["value"])
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            first, self.connected = not self.connected, True
            self._was_connected = True
            self._n_silent = 0
            if first:
                self._on_connected()
        elif event == zmq.Event.DISCONNECTED and self.connected:
            self.connected = False
            try:
                # What came before the break is an answer all the same.
                self._control.catch_up()
                self._data.catch_up()
            finally:
                self._begin_anew(where)
        elif event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL or event in _REFUSED:
            self.connected = False
            self._n_silent += 1
            if event in _REFUSED:
                self._see_refusal(int(seen["value"]))
            elif self._n_silent >= SILENT_REFUSALS:
                # libzmq dials again by itself.
                self.link.fail_asks(silent_refusal(where, self._n_silent, was_connected=self._was_connected))

    def _begin_anew(self, where: str) -> None:
        if self.link.gone:
            return
        self.link.fail_asks(PeerGone(f"{where}: the connection broke before the answer came"))
        if self._curve:
            self._dial_as_somebody_new()
        # A listener that was started anew has never heard of us.
        self._introduce()

    def _see_refusal(self, status: int) -> None:
        self.link.fail_asks(refusal(self.endpoint.control, status))
        if self._curve and self._again is None:
            # libzmq ends the connection a moment later: what is said until then would be lost with it.
            self._leave()
            self._again = self._loop.call_later(AGAIN_S, self._dial_again)


def _disconnect(socket: zmq.Socket[bytes], address: str) -> None:
    try:
        socket.disconnect(address)
    except zmq.ZMQError as error:
        # It has been left before.
        if error.errno != errno.ENOENT:
            raise


def _chance_identity() -> bytes:
    return secrets.token_bytes(16).replace(b"\0", b"\1")
