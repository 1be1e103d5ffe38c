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
"""Envelopes of one key that are heard before the next one's, over however many connections they came."""
MAX_WAITING = 100_000
"""Messages of one key that may wait to be heard."""
LEAST_WAITING_BYTES = 32 << 20
"""So much of one key may wait to be heard, however small its messages have to be."""
_RUN = int(Kind.RUN)


def most_waiting_bytes(max_message_bytes: int) -> int:
    """How much may wait to be heard where a message may be so large."""
    return max(LEAST_WAITING_BYTES, 2 * max_message_bytes)


class _Said:
    """What came over one connection and was not heard yet: whole messages, and of one the envelopes that are left."""

    __slots__ = ("envelopes", "messages", "n_bytes", "n_opened")

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.messages: deque[Any] = deque()
        self.n_bytes = 0
        self.n_opened = 0
        """The bytes of the message whose envelopes are left: it is in memory until the last of them is heard."""


class _Key:
    """What one key said over all its connections, which are heard in turns themselves."""

    __slots__ = ("n_bytes", "n_messages", "order", "said")

    def __init__(self) -> None:
        self.said: dict[Link, _Said] = {}
        self.order: deque[Link] = deque()
        self.n_bytes = 0
        self.n_messages = 0

    def add(self, link: Link, frame: Any) -> None:
        said = self.said.get(link)
        if said is None:
            said = self.said[link] = _Said()
            self.order.append(link)
        said.messages.append(frame)
        said.n_bytes += len(frame)
        self.n_bytes += len(frame)
        self.n_messages += 1

    def next_message(self, said: _Said) -> Any:
        frame = said.messages.popleft()
        said.n_opened = len(frame)
        self.n_messages -= 1
        return frame

    def heard(self, said: _Said) -> None:
        """Nothing is left of the message that was begun."""
        said.n_bytes -= said.n_opened
        self.n_bytes -= said.n_opened
        said.n_opened = 0

    def drop(self, link: Link) -> None:
        said = self.said.pop(link, None)
        if said is not None:
            self.order.remove(link)
            self.n_bytes -= said.n_bytes
            self.n_messages -= len(said.messages)

    def most(self) -> Link:
        """The connection over which the most came that waits as whole messages."""
        return max(
            (link for link, said in self.said.items() if said.messages),
            key=lambda link: (self.said[link].n_bytes, len(self.said[link].messages)),
        )


class Turns:
    """Takes every message off the socket at once, and hears the keys in turns.

    Left to wait in libzmq a message would hold up those of the others, and see ``notice_silence``. What may wait and
    who has a turn goes by keys: whoever has one can make as many connections as he likes.
    """

    def __init__(self, too_much: Callable[[Link, Any, str], None], *, most_bytes: int) -> None:
        """End a peer by ``too_much(link, frame, why)`` that says too much, or whose key has ``most_bytes`` waiting."""
        self._loop = asyncio.get_running_loop()
        self._too_much = too_much
        self._most_bytes = most_bytes
        self._left = PER_TICK
        self._keys: dict[str, _Key] = {}
        self._order: deque[str] = deque()
        self._next: asyncio.Handle | None = None

    def hear(self, link: Link, frame: Any) -> None:
        """Take a batch (a zmq.Frame) from a peer, at once or in its turn; what cannot be read is an offence."""
        link.last_heard = self._loop.time()
        key = self._keys.get(link.public)
        if key is None:
            key = self._keys[link.public] = _Key()
            self._order.append(link.public)
        key.add(link, frame)
        while key.n_messages > MAX_WAITING or key.n_bytes > self._most_bytes:
            self._end_one(key)
        if self._next is None:
            self._left = PER_TICK
            self._next = self._loop.call_soon(self._turn)
        self._hear_some()

    def close(self) -> None:
        """Hear nothing more."""
        self._keys.clear()
        self._order.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _end_one(self, key: _Key) -> None:
        """Hear nothing more over the connection of a key that has brought the most."""
        why = (
            f"{key.n_messages} messages of {key.n_bytes} bytes, over {len(key.said)} connections of its key, "
            "that came faster than they could be heard"
        )
        link = key.most()
        frame = key.said[link].messages[-1]
        key.drop(link)
        self._too_much(link, frame, why)

    def _turn(self) -> None:
        self._left = PER_TICK
        # Scheduled before anything is heard: what a receiver raises must not keep the others waiting.
        self._next = self._loop.call_soon(self._turn) if self._order else None
        self._hear_some()

    def _hear_some(self) -> None:
        while self._order and self._left > 0:
            public = self._order.popleft()
            key = self._keys[public]
            left = min(self._left, PER_TURN)
            link, now = self._next_of(key, left)
            if key.said:
                self._order.append(public)
            else:
                del self._keys[public]
            # An empty batch costs something, too.
            self._left -= max(1, len(now))
            if link is not None:
                link.take(now)

    def _next_of(self, key: _Key, most: int) -> tuple[Link | None, list[Envelope]]:
        """The envelopes whose turn it is, and the connection over which they came."""
        while key.order:
            link = key.order[0]
            said = key.said[link]
            if link.gone:
                key.drop(link)
                continue
            if not said.envelopes and said.messages:
                self._open(link, key, said)
                if link not in key.said:
                    continue
            now, said.envelopes = said.envelopes[:most], said.envelopes[most:]
            if not said.envelopes:
                key.heard(said)
            if said.envelopes or said.messages:
                key.order.rotate(-1)
            else:
                key.drop(link)
            return link, now
        return None, []

    def _open(self, link: Link, key: _Key, said: _Said) -> None:
        frame = key.next_message(said)
        try:
            said.envelopes = _singly(link, codec.split(frame.bytes, most=codec.MAX_BATCH))
        except BatchTooLong as error:
            key.drop(link)
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
