"""What the peers of a front say is heard in turns, a slice in each tick, however much one of them says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from . import codec
from .codec import BatchTooLong, Envelope, Kind
from .errors import BadMessage
from .link import Link

PER_TICK = 256
"""Envelopes of all peers together that are heard before the loop's other work gets its turn."""
PER_TURN = 64
"""Envelopes of one peer that are heard before the next one's."""
MAX_WAITING = 100_000
"""Messages of one peer that may wait to be heard."""
_RUN = int(Kind.RUN)


class _Said:
    """What one peer said and was not heard yet: whole messages, and of one of them the envelopes that are left."""

    __slots__ = ("envelopes", "messages", "n_bytes")

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.messages: deque[Any] = deque()
        self.n_bytes = 0


class Turns:
    """Takes every message off the socket at once, and hears the peers in turns.

    Left to wait in libzmq a message would hold up those of the others, and see ``notice_silence``.
    """

    def __init__(self, too_much: Callable[[Link, Any, str], None], *, most_bytes: int) -> None:
        """End a peer by ``too_much(link, frame, why)`` that says too much at once, or has ``most_bytes`` waiting."""
        self._loop = asyncio.get_running_loop()
        self._too_much = too_much
        self._most_bytes = most_bytes
        self._left = PER_TICK
        self._said: dict[Link, _Said] = {}
        self._order: deque[Link] = deque()
        self._next: asyncio.Handle | None = None

    def hear(self, link: Link, frame: Any) -> None:
        """Take a batch (a zmq.Frame) from a peer, at once or in its turn; what cannot be read is an offence."""
        link.last_heard = self._loop.time()
        said = self._said.get(link)
        if said is None:
            said = self._said[link] = _Said()
            self._order.append(link)
        said.messages.append(frame)
        said.n_bytes += len(frame)
        if len(said.messages) > MAX_WAITING or said.n_bytes > self._most_bytes:
            why = f"{len(said.messages)} messages of {said.n_bytes} bytes that came faster than they could be heard"
            said.messages.clear()
            self._too_much(link, frame, why)
            return
        if self._next is None:
            self._left = PER_TICK
            self._next = self._loop.call_soon(self._turn)
        self._hear_some()

    def close(self) -> None:
        """Hear nothing more."""
        self._said.clear()
        self._order.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _turn(self) -> None:
        self._left = PER_TICK
        # Scheduled before anything is heard: what a receiver raises must not keep the others waiting.
        self._next = self._loop.call_soon(self._turn) if self._order else None
        self._hear_some()

    def _hear_some(self) -> None:
        while self._order and self._left > 0:
            link = self._order.popleft()
            said = self._said[link]
            if link.gone:
                del self._said[link]
                continue
            if not said.envelopes and said.messages:
                self._open(link, said)
            n = min(self._left, PER_TURN)
            now, said.envelopes = said.envelopes[:n], said.envelopes[n:]
            if said.envelopes or said.messages:
                self._order.append(link)
            else:
                del self._said[link]
            # An empty batch costs something, too.
            self._left -= max(1, len(now))
            link.take(now)

    def _open(self, link: Link, said: _Said) -> None:
        frame = said.messages.popleft()
        said.n_bytes -= len(frame)
        try:
            said.envelopes = _singly(link, codec.split(frame.bytes, most=codec.MAX_BATCH))
        except BatchTooLong as error:
            said.messages.clear()
            self._too_much(link, frame, str(error))
        except BadMessage as error:
            link.offend("no batch", error)


def _singly(link: Link, envelopes: Iterable[Envelope]) -> list[Envelope]:
    """The envelopes with the events of their runs as such."""
    found: list[Envelope] = []
    for envelope in envelopes:
        if envelope.kind != _RUN:
            found.append(envelope)
            continue
        try:
            n = len(found) + codec.run_length(envelope.body)
            if n > codec.MAX_BATCH:
                raise BatchTooLong(n)
            found += codec.unroll(envelope)
        except BatchTooLong:
            raise
        except BadMessage as error:
            link.offend("no run", error)
    if len(found) > codec.MAX_BATCH:
        raise BatchTooLong(len(found))
    return found
