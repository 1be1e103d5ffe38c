"""Connections over which nothing has been heard yet: how many there are, and how much they have sent.

Whoever says nothing costs a descriptor all the same. Of those that nothing was heard of the oldest are hung up on where
there are too many, or where the process comes near to its last descriptor, and each one after ``UNHEARD_S``.

libzmq reads what comes under a routing id that another connection has, and hands none of it on, to the end of its
socket: not even the end of that connection frees it. Nor does it tell that there is such a connection. So every one is
looked at from its beginning until the first message over it is heard. (ROUTER_HANDOVER would hand it on; but then the
connection before is left without a reader, and libzmq 4.3.5 aborts when that breaks and heartbeats are due on it.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from . import descriptors
from .byte_counts import counted, what_is_not_counted
from .channel import Channel, Frames
from .connections import hang_up_on, is_stalled
from .offences import Offences

log = logging.getLogger(__name__)

UNHEARD_S = 30.0
"""So long a connection may be of which nothing was heard; what is ours speaks as soon as it is connected."""
UNHEARD_SHARE = 2
"""One descriptor in so many may be that of a connection of which nothing was heard."""
MAX_CONNECTIONS = 256
"""So many connections of one key are heard: what one of them costs is small, but not what thousands cost."""
KEY_SHARE = 4
"""Where descriptors are few: one in so many that connections may have is the most for the control connections of one
key, and for those of it over which nothing was heard."""
PER_LOOK = 500
"""So many of them are asked for their bytes at each look, in turn: with thousands of them that is what costs.

So many are hung up on at each look at the most for having said nothing for too long.
"""
MUCH_BYTES = 1 << 20
"""Who has sent so much is asked at every look; of those there are few before they are hung up on."""
HANDSHAKE_BYTES = 16 << 10
"""More than anybody sends who goes away before the first message."""
FADES_S = 3_600.0
"""Of what came over connections that have ended since half is forgotten after so long: some of them break by chance."""
_SRCFD = int(zmq.SRCFD)


class _Newcomer:
    __slots__ = ("let_in", "n_bytes", "since_s", "socket")

    def __init__(self, socket: zmq.Socket[bytes], since_s: float) -> None:
        self.socket = socket
        self.since_s = since_s
        self.n_bytes = 0
        self.let_in = False
        """Whether its handshake has succeeded: it is under a key of somebody's."""


class Newcomers:
    """The connections of a node's sockets over which nothing was heard."""

    def __init__(self, *, most_bytes: int, n_descriptors: int | None = None) -> None:
        """Let all those unheard together send ``most_bytes``; of descriptors there are so many, or the system's number.

        Those under a key may do so, and those of strangers: nobody is suspected of what strangers send.

        What a peer of ours says first has 100 bytes; somebody else's first message may be as large as any.
        """
        n_descriptors = descriptors.limit() if n_descriptors is None else n_descriptors
        self.most_descriptors = descriptors.most(n_descriptors)
        self.most_links_of_key = max(1, min(MAX_CONNECTIONS, self.most_descriptors // KEY_SHARE))
        self.most_unheard_of_key = max(2, min(2 * MAX_CONNECTIONS, self.most_descriptors // KEY_SHARE))
        self.offences = Offences("the open port", now=asyncio.get_running_loop().time)
        self._most = n_descriptors // UNHEARD_SHARE
        self._most_bytes = most_bytes
        self._now = asyncio.get_running_loop().time
        if missing := what_is_not_counted():
            log.warning("%s", missing)
        # By their descriptors, the oldest first; a plain dict would walk over all that it has lost to find the next.
        self._unheard: OrderedDict[int, _Newcomer] = OrderedDict()
        self._turn: deque[int] = deque()
        self._much: set[int] = set()
        # What strangers have sent, and who was let in.
        self._sent_bytes = [0, 0]
        self._lost_bytes = 0
        self._faded_s = self._now()
        self._followed: dict[zmq.Socket[bytes], Channel] = {}
        # Of all connections, also those that were heard: whose each descriptor is.
        self._open: dict[int, zmq.Socket[bytes]] = {}

    def __len__(self) -> int:
        return len(self._unheard)

    def follow(self, socket: zmq.Socket[bytes]) -> None:
        """Follow a socket's connections; before it is bound, so that none is missed."""
        monitor = socket.get_monitor_socket(zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED)
        self._followed[socket] = Channel(monitor, lambda frames: self._see(socket, frames))

    def heard(self, frame: Any) -> bool:
        """Note that a message (a zmq.Frame of it) came; whether it is the first over its connection."""
        for channel in self._followed.values():
            if channel.is_behind:
                # The news of this very connection may be among it, behind a flood of others: read afterwards it would
                # stand for one of which nothing was heard, and who has said his only word would be hung up on.
                channel.catch_up()
        return bool(self._unheard) and self._take(frame.get(_SRCFD)) is not None

    def look(self) -> bool:
        """Hang up on those that have been silent for too long, or have sent most where it is too much.

        Returns whether it was too much over connections under keys that were let in.
        """
        self._fade()
        self._end_the_overdue()
        self._count_some()
        self._end_the_greatest(let_in=False)
        return self._end_the_greatest(let_in=True)

    def is_stalled(self, socket: zmq.Socket[bytes]) -> bool:
        """Whether one of a socket's connections takes nothing more, so that words to it wait inside libzmq."""
        return is_stalled(descriptor for descriptor, one in self._open.items() if one is socket)

    def leave(self, socket: zmq.Socket[bytes]) -> None:
        """Follow a socket no more; before it is closed."""
        channel = self._followed.pop(socket, None)
        if channel is not None:
            if not socket.closed:
                socket.disable_monitor()
            channel.close()
        for descriptor in [number for number, one in self._unheard.items() if one.socket is socket]:
            self._take(descriptor)
        for descriptor in [number for number, one in self._open.items() if one is socket]:
            del self._open[descriptor]

    def _see(self, socket: zmq.Socket[bytes], frames: Frames) -> None:
        event = parse_monitor_message(frames)
        descriptor = int(event["value"])
        before = self._unheard.get(descriptor)
        if event["event"] == zmq.Event.ACCEPTED:
            # As the newest, also where the number was another's of whose end nothing was told.
            self._take(descriptor)
            self._open[descriptor] = socket
            self._unheard[descriptor] = _Newcomer(socket, self._now())
            # The lowest number that is free is given to each: what lies below is taken.
            if len(self._unheard) > self._most or descriptor >= self.most_descriptors:
                self._end_oldest()
            return
        if self._open.get(descriptor) is socket:
            del self._open[descriptor]
        if before is not None and before.socket is socket:
            self._take(descriptor)
            if before.let_in and before.n_bytes > HANDSHAKE_BYTES:
                # As far as it was seen: the connection cannot be asked any more. A stranger's bytes went with it.
                self._lost_bytes += before.n_bytes

    def _end_oldest(self) -> None:
        n_unheard = len(self._unheard)
        self._end(next(iter(self._unheard)))
        what = f"{n_unheard} connections of which nothing was heard; the oldest are hung up on"
        self.offences.add("silent", "", what)

    def _end_the_overdue(self) -> None:
        overdue_s = self._now() - UNHEARD_S
        for _ in range(min(PER_LOOK, len(self._unheard))):
            descriptor, one = next(iter(self._unheard.items()))
            if one.since_s > overdue_s:
                return
            self._end(descriptor)
            self.offences.add("overdue", "", f"a connection over which nothing was heard for {UNHEARD_S:g} s")

    def _fade(self) -> None:
        n_times = int((self._now() - self._faded_s) / FADES_S)
        self._faded_s += n_times * FADES_S
        self._lost_bytes >>= min(n_times, self._lost_bytes.bit_length())

    def _count_some(self) -> None:
        """Ask what they have sent those whose turn it is, and those who have sent much."""
        asked = set(self._much)
        for _ in range(min(PER_LOOK, len(self._unheard))):
            if not self._turn:
                self._turn.extend(self._unheard)
            asked.add(self._turn.popleft())
        for descriptor in asked & self._unheard.keys():
            one = self._unheard[descriptor]
            self._sent_bytes[one.let_in] -= one.n_bytes
            one.n_bytes, let_in = counted(descriptor)
            one.let_in = one.let_in or let_in
            self._sent_bytes[one.let_in] += one.n_bytes
            if one.n_bytes >= MUCH_BYTES:
                self._much.add(descriptor)

    def _end_the_greatest(self, *, let_in: bool) -> bool:
        """Hang up on those that have sent most, where all of their kind have sent too much; whether they have."""
        lost_bytes = self._lost_bytes if let_in else 0
        n_bytes = self._sent_bytes[let_in] + lost_bytes
        if n_bytes <= self._most_bytes:
            return False
        if lost_bytes:
            self._too_much(lost_bytes)
            n_bytes -= lost_bytes
            self._lost_bytes = 0
        kind = [(one.n_bytes, descriptor) for descriptor, one in self._unheard.items() if one.let_in == let_in]
        for sent_bytes, descriptor in sorted(kind, reverse=True):
            if n_bytes <= self._most_bytes // 2:
                break
            n_bytes -= sent_bytes
            self._end(descriptor)
            self._too_much(sent_bytes)
        return True

    def _end(self, descriptor: int) -> None:
        one = self._take(descriptor)
        if one is not None:
            hang_up_on(descriptor, one.socket)

    def _take(self, descriptor: int) -> _Newcomer | None:
        """Count a connection no more."""
        one = self._unheard.pop(descriptor, None)
        if one is not None:
            self._much.discard(descriptor)
            self._sent_bytes[one.let_in] -= one.n_bytes
        return one

    def _too_much(self, n_bytes: int) -> None:
        what = f"{n_bytes} bytes came over connections of which nothing can be heard; they are hung up on"
        self.offences.add("unheard", "", f"{what} (their routing id may be taken)")
