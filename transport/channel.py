"""A ZMQ socket on an asyncio loop, its descriptor drained in batches.

``zmq.asyncio.Socket`` makes a future for every message and costs a factor of four. Here the loop
watches the socket's descriptor and reads until nothing is left. The descriptor is edge-triggered,
and *sending* consumes the edge too: after every send and every capped read the socket's EVENTS are
looked at again, or a message that is already there would wait for the next one (the classic lost
wake-up; see the ZMQ_FD section of zmq_getsockopt(3)).
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq
import zmq.asyncio

from .connections import connection_of
from .errors import PeerGone
from .wakes import wakes_of

# Plain numbers: arithmetic with zmq's enums costs more than the calls that take them.
_NOBLOCK, _NOBLOCK_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS, _RCVMORE = int(zmq.EVENTS), int(zmq.RCVMORE)
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)

MAX_FRAMES = 3
"""A mesh hears no more: a routing id, a batch, and bytes beside it. Of another message the rest is not kept."""
PART_BYTES, MOST_PARTS = 1 << 20, 32
"""A plane for another host lies in frames of that size beside its batch; of one that would be more, each is larger."""
PER_TICK_DROPPED = 4_096
"""Frames that are thrown away before the loop's other work gets its turn."""
MOST_AT_ONCE = 8_192
"""Where the order matters so much is read in one turn: no flood of it has the rest wait without an end."""

Frames = list[Any]
"""The frames of one message: bytes, or zmq.Frame where the sender's identity is needed."""


class Channel:
    """One socket: incoming messages go to ``receive``, outgoing ones never block."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        receive: Callable[[Frames], None],
        *,
        whole_frames: bool = False,
        per_tick: int = 512,
        max_queued: int = 100_000,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        """Take the socket over.

        Args:
            socket: A connected or bound socket.
            receive: Called with each message's frames, from the loop.
            whole_frames: Hand on zmq.Frame objects, which know the sender's User-Id, instead of bytes.
            per_tick: How many messages are read before the loop's other work gets its turn.
            max_queued: How many messages may wait while the peer does not take them.
            max_frames: How many frames of a message are kept; the others are dropped.
        """
        self._socket = socket
        self._receive = receive
        # What zmq.Socket puts before it is for kinds of sockets that are not used here, and costs as much again.
        self._send_frame = super(zmq.Socket, socket).send
        self._copy = not whole_frames
        self._per_tick = per_tick
        self._max_queued = max_queued
        self._max_frames = max_frames
        self._routes = socket.type == zmq.ROUTER
        self._unsent: deque[tuple[Sequence[Any], bool]] = deque()
        self._loop = asyncio.get_running_loop()
        self._wakes = wakes_of(self._loop)
        self._again: asyncio.Handle | None = None
        self._polling: asyncio.Task[None] | None = None
        self._closed = False
        self._draining = False
        self._in_surplus = False
        self.n_received = 0
        self.n_sent = 0
        self.n_dropped = 0
        self._fd = int(socket.getsockopt(zmq.FD))
        try:
            self._loop.add_reader(self._fd, self._woken)
        except NotImplementedError:
            # A Windows proactor loop has no add_reader: pyzmq brings its own way round.
            self._polling = self._loop.create_task(self._poll())
        self._look_again()

    def send(self, frames: Sequence[Any], *, copy: bool = True) -> bool:
        """Send now, or as soon as the peer takes it; False when too much waits already.

        Raises:
            PeerGone: no peer has this routing id (any more).
        """
        if self._closed:
            return False
        if self._unsent:
            return self._queue(frames, copy)
        try:
            self._put(frames, copy)
        except zmq.Again:
            if self._routes:
                # One peer that reads nothing must not hold up the others behind it.
                self.n_dropped += 1
                return False
            return self._queue(frames, copy)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                self.n_dropped += 1
                raise PeerGone("it hung up") from error
            raise
        self.n_sent += 1
        if self._again is None and not self._draining and self._readable_after_send():
            self._look_again()
        return True

    def connection_of(self, frame: Any) -> sockets.socket | None:
        """A handle on the connection that a received zmq.Frame came over; None where it is gone."""
        return connection_of(frame, self._socket)

    @property
    def is_behind(self) -> bool:
        """Whether messages may be there that were left for a later turn of the loop."""
        return self._again is not None

    def catch_up(self) -> None:
        """Hand on what is there now, before whatever else has come meanwhile."""
        for _ in range(-(-MOST_AT_ONCE // self._per_tick)):
            if self._closed or self._read():
                return

    def go_on(self) -> None:
        """Send what waits: the socket has somebody again who may take it, of which no wake-up tells."""
        self._look_again()

    def close(self, *, linger_ms: int = 200) -> None:
        """Stop watching and close the socket; what was sent gets ``linger_ms`` to leave."""
        if self._closed:
            return
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        if self._polling is not None:
            self._polling.cancel()
        elif not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._socket.close(linger_ms)

    def _put(self, frames: Sequence[Any], copy: bool) -> None:  # noqa: FBT001
        # As send_multipart does, without its checks of every frame's type.
        send = self._send_frame
        for frame in frames[:-1]:
            send(frame, _NOBLOCK_MORE, copy)
        send(frames[-1], _NOBLOCK, copy)

    def _events(self) -> int:
        return int(self._socket.getsockopt(_EVENTS))

    def _readable_after_send(self) -> bool:
        """Whether a message came in while sending used up its wake-up."""
        return bool(self._events() & _POLLIN)

    def _queue(self, frames: Sequence[Any], copy: bool) -> bool:  # noqa: FBT001
        if len(self._unsent) >= self._max_queued:
            self.n_dropped += 1
            return False
        self._unsent.append((frames, copy))
        return True

    def _look_again(self) -> None:
        if self._again is None and not self._closed:
            self._again = self._loop.call_soon(self._drain_again)

    def _drain_again(self) -> None:
        self._again = None
        self._drain()

    def _woken(self) -> None:
        """Hand on the message that woke the loop, and look for more when whoever it is for has had its turn.

        Mostly it came alone, and to ask for more costs more than to receive: its answer would wait for that.
        """
        if self._closed:
            return
        if self._unsent or self._in_surplus:
            self._drain()
            return
        frames = self._next()
        if not frames:
            return
        self._draining = True
        self._wakes.begin()
        try:
            self._receive(frames)
        finally:
            self._wakes.finish()
            # Also after an error of the receiver: what lies behind its message must not wait for the next one.
            self._draining = False
            self._look_again()

    def _drain(self) -> None:
        if self._closed:
            return
        self._draining = True
        emptied = False
        try:
            emptied = self._read()
            if self._unsent:
                self._write_unsent()
                emptied = False
        finally:
            # As above, after an error too.
            self._draining = False
            if not emptied and not self._socket.closed and self._again is None:
                self._look_unless_idle()

    def _read(self) -> bool:
        """Hand on what is there; True when nothing was left, so that the next message wakes the loop."""
        if self._in_surplus and not self._drop_surplus():
            return False
        # To be told that there is no more costs a third of an exception that says it.
        for _ in range(self._per_tick):
            if self._socket.closed or not self._events() & _POLLIN:
                return True
            frames = self._next()
            if not frames:
                return True
            self._receive(frames)
            if self._in_surplus:
                return False
        return False

    def _next(self) -> Frames:
        """The frames of the next message, as many as one may have; none where there is none."""
        receive, ask, copy = self._socket.recv, self._socket.getsockopt, self._copy
        try:
            frames: Frames = [receive(_NOBLOCK, copy)]
        except zmq.Again:
            return []
        # A ROUTER's first frame is the sender's routing id: there is always more.
        if self._routes:
            frames.append(receive(_NOBLOCK, copy))
        # A whole frame knows it by itself, which costs a tenth of the question.
        while ask(_RCVMORE) if copy else frames[-1].more:
            if len(frames) == self._max_frames:
                self._in_surplus = True
                break
            frames.append(receive(_NOBLOCK, copy))
        self.n_received += 1
        return frames

    def _drop_surplus(self) -> bool:
        """Throw away what is left of a message with too many frames; True once it is behind us."""
        for _ in range(PER_TICK_DROPPED):
            if not self._socket.getsockopt(_RCVMORE):
                self._in_surplus = False
                return True
            self._socket.recv(_NOBLOCK, False)  # noqa: FBT003
        return False

    def _write_unsent(self) -> None:
        while self._unsent and not self._socket.closed:
            unsent, copy_sent = self._unsent[0]
            try:
                self._put(unsent, copy_sent)
            except zmq.Again:
                break
            self.n_sent += 1
            self._unsent.popleft()

    def _look_unless_idle(self) -> None:
        events = self._events()
        if events & _POLLIN or (self._unsent and events & _POLLOUT):
            self._look_again()

    async def _poll(self) -> None:
        poller = zmq.asyncio.Poller()
        while not self._closed:
            poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if self._unsent else 0))
            await poller.poll()
            self._drain()
