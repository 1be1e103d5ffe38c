"""The answering side of an endpoint: two ROUTER sockets, control and data, and a link for every peer."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import zmq

from . import codec
from .addresses import AddressError, Endpoint
from .binding import bind, prepared
from .channel import Channel, Frames
from .codec import Kind
from .connections import hang_up
from .deliveries import Deliver
from .errors import BadMessage, EndpointInUse, PeerGone
from .failures import failure_of
from .keys import KeyPair, KeyRing
from .link import Link
from .messages import INNER, Principal
from .newcomers import Newcomers
from .offences import Offences
from .silence import SILENCE_S
from .turns import Turns

MAX_DEPARTED = 1_024
"""Routing ids of peers that are gone and whose late words are known for what they are."""

LEAST_WAITING_BYTES = 32 << 20
"""So much of one key may wait to be heard, however small its messages have to be."""
MAX_CONNECTIONS = 256
"""So many connections of one key are heard: what one of them costs is small, but not what thousands cost."""
LAST_WORD_S = 0.1
"""Who is hung up on has so long to be told why."""


class Listener:
    """Binds one endpoint; with a key pair every connection is CURVE and must be on the key ring."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        deliver: Deliver[Link],
        *,
        on_peer: Callable[[Link], None] = lambda link: None,
        key: KeyPair | None = None,
        ring: KeyRing | None = None,
        max_message_bytes: int = 64 << 20,
        silence_s: float = SILENCE_S,
        on_heard: Callable[[str], None] = lambda public: None,
    ) -> None:
        """Bind both channels; a peer of which nothing has come for ``silence_s`` is looked for.

        ``on_heard`` is told the key of each connection over which something was heard for the first time.

        Raises:
            EndpointInUse: another process listens there.
            AddressError: without a key, the address can be reached by others than the owner of a folder.
        """
        if (key is None) != (ring is None):
            raise ValueError("a key without a ring lets nobody in, a ring without a key checks nobody")
        if key is None and not all(
            one.startswith(("ipc://", "inproc://")) for one in (endpoint.control, endpoint.data)
        ):
            raise AddressError(f"{endpoint.control} would be open to everybody", hint="give it a key and a key ring")
        self.endpoint = endpoint
        self.links: dict[bytes, Link] = {}
        self._n_of: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self.offences = Offences(endpoint.control, now=self._loop.time)
        self._deliver = deliver
        self._on_peer = on_peer
        self._ring = ring
        self._max_message_bytes = max_message_bytes
        self._silence_s = silence_s
        self._with_data: set[bytes] = set()
        # Under a key every connection has a routing id of its own, so that who is gone is gone for good.
        self._departed: dict[bytes, None] = {}
        self._hung_up_on: dict[bytes, None] = {}
        self._connections: set[sockets.socket] = set()
        most_bytes = max(LEAST_WAITING_BYTES, 2 * max_message_bytes)
        self._turns = Turns(self._said_too_much, most_bytes=most_bytes) if ring is not None else None
        self._on_heard = on_heard
        control = prepared(context, key, max_message_bytes, silence_s)
        data = prepared(context, key, max_message_bytes, silence_s)
        # Before either is bound: no connection may be missed.
        followed = (control, data) if ring is not None else ()
        self._newcomers = tuple(Newcomers(one, most_bytes=most_bytes) for one in followed)
        try:
            bind(control, endpoint.control)
            bind(data, endpoint.data)
        except EndpointInUse:
            for newcomers in self._newcomers:
                newcomers.close()
            control.close(0)
            data.close(0)
            raise
        self._control = Channel(control, self._hear_control, whole_frames=ring is not None)
        self._data = Channel(data, self._hear_data, whole_frames=ring is not None)
        self._new_on = dict(zip((self._control, self._data), self._newcomers, strict=False))

    def close(self) -> None:
        """Hang up on everybody."""
        if self._turns is not None:
            self._turns.close()
        for link in list(self.links.values()):
            link.lost("the endpoint was closed")
        self.links.clear()
        for connection in list(self._connections):
            self._end(connection)
        for newcomers in self._newcomers:
            newcomers.close()
        self._control.close()
        self._data.close()

    def forget(self, link: Link, why: str) -> None:
        """A peer is gone: what waits for it fails, and its next message makes a new link."""
        for identity, known in list(self.links.items()):
            if known is link:
                del self.links[identity]
                self._n_of[link.public] -= 1
                if not self._n_of[link.public]:
                    del self._n_of[link.public]
                self._with_data.discard(identity)
                if self._ring is not None:
                    self._departed[identity] = None
        _keep_newest(self._departed)
        link.lost(why)

    def hang_up_on_revoked(self) -> None:
        """Say nothing more to peers whose key is not on the ring any more; what they say is dropped already."""
        if self._ring is None:
            return
        for link in list(self.links.values()):
            if self._ring.by_public(link.public) is None:
                self.forget(link, "its key was revoked")

    def look_for_lost(self, now: float) -> None:
        """Find out which of the peers that said nothing for too long are not there any more."""
        for link in list(self.links.values()):
            if now - link.last_heard > self._silence_s:
                link.look()

    def look_at_newcomers(self) -> bool:
        """Hang up on connections that have sent too much while nothing could be heard; whether there were any."""
        sent: list[int] = []
        for newcomers in self._newcomers:
            newcomers.look(sent.append)
        for n_bytes in sent:
            what = f"{n_bytes} bytes came over connections of which nothing can be heard; they are hung up on"
            self.offences.add("unheard", "", f"{what} (their routing id may be taken)")
        return bool(sent)

    def statistics(self) -> dict[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "peers": len(self.links),
            "received": self._control.n_received + self._data.n_received,
            "sent": self._control.n_sent + self._data.n_sent,
            "dropped": self._control.n_dropped + self._data.n_dropped,
            "offences": self.offences.n,
        }

    def _hear_control(self, frames: Frames) -> None:
        self._hear(frames, self._control)

    def _hear_data(self, frames: Frames) -> None:
        self._hear(frames, self._data)

    def _hear(self, frames: Frames, channel: Channel) -> None:
        if self._turns is None:
            identity, batch = frames[:2]
            if len(frames) != 2:
                self.offences.add("frames", identity.decode("utf-8", "backslashreplace"), _TOO_MANY_FRAMES)
                return
            link = self.links.get(identity) or self._meet(identity, INNER)
            if channel is self._data:
                self._with_data.add(identity)
            link.hear(batch)
        else:
            self._hear_front(frames, channel, self._turns)

    def _hear_front(self, frames: Frames, channel: Channel, turns: Turns) -> None:
        identity = frames[0].bytes
        # The key speaks, not the message: libzmq attaches the User-Id that ZAP gave at the handshake.
        public = _user_id(frames[1])
        if self._new_on[channel].heard(frames[1]):
            self._on_heard(public)
        if identity in self._hung_up_on:
            return
        principal = self._ring.by_public(public) if self._ring is not None else None
        if principal is None:
            self.offences.add("revoked", public, "a message under a key that is not allowed any more")
            return
        link = self.links.get(identity)
        if link is not None and link.principal.name != principal.name:
            what = f"{principal.name} spoke under the routing id of {link.principal.name}"
            self.offences.add("routing id", public, what)
            return
        if len(frames) != 2:
            self._hang_up(identity, frames[1], principal, _TOO_MANY_FRAMES)
            return
        if link is None:
            if channel is self._data and identity in self._departed:
                # Its other channel's last words: they were under way when it said goodbye.
                return
            if self._n_of[public] >= MAX_CONNECTIONS:
                why = f"its key has {MAX_CONNECTIONS} connections already"
                self._hang_up(identity, frames[1], principal, why, hint="close some of them, or use one for more")
                return
            self._departed.pop(identity, None)
            link = self._meet(identity, principal, public)
        else:
            link.principal = principal
        if channel is self._data:
            self._with_data.add(identity)
        turns.hear(link, frames[1])

    def _said_too_much(self, link: Link, frame: Any, why: str) -> None:
        identity = next((identity for identity, known in self.links.items() if known is link), None)
        if identity is not None:
            self._hang_up(identity, frame, link.principal, why)

    def _hang_up(
        self,
        identity: bytes,
        frame: Any,
        principal: Principal,
        why: str,
        *,
        hint: str = "dial again, and say less at once",
    ) -> None:
        """Tell a peer what it should not have sent, and hear nothing more over this connection."""
        self.offences.add("hung up on", _user_id(frame), f"from {principal.name}: {why}; it is hung up on")
        self._hung_up_on[identity] = None
        _keep_newest(self._hung_up_on)
        failure = failure_of(BadMessage(why, hint=hint), where=self.endpoint.control)
        # It may not be there to be told any more.
        with suppress(PeerGone):
            self._control.send([identity, codec.join([codec.seal(Kind.FAIL, 0, "", 0.0, failure)])])
        link = self.links.get(identity)
        if link is not None:
            self.forget(link, f"it was hung up on: {why}")
        # Whichever of both it came over: the address is the control channel's or the data channel's.
        connection = self._control.connection_of(frame) or self._data.connection_of(frame)
        if connection is not None:
            self._connections.add(connection)
            self._loop.call_later(LAST_WORD_S, self._end, connection)

    def _end(self, connection: sockets.socket) -> None:
        self._connections.discard(connection)
        hang_up(connection)

    def _meet(self, identity: bytes, principal: Principal, public: str = "") -> Link:
        def write(frames: Sequence[Any], bulk: bool) -> bool:  # noqa: FBT001
            channel = self._data if bulk and identity in self._with_data else self._control
            try:
                # Pixels beside a batch are encrypted where they lie.
                return channel.send([identity, *frames], copy=len(frames) == 1)
            except PeerGone as error:
                self.forget(link, str(error))
                return False

        link = Link(
            identity.decode("utf-8", "backslashreplace") if self._ring is None else principal.name,
            write,
            self._deliver,
            principal=principal,
            offences=self.offences,
            max_message_bytes=self._max_message_bytes,
        )
        link.public = public
        self.links[identity] = link
        self._n_of[public] += 1
        self._on_peer(link)
        return link


_TOO_MANY_FRAMES = "a message of more frames than 2"


def _keep_newest(identities: dict[bytes, None]) -> None:
    while len(identities) > MAX_DEPARTED:
        del identities[next(iter(identities))]


def _user_id(frame: Any) -> str:
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
