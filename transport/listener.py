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
from .connections import hang_up, is_of_this_host
from .deliveries import Deliver
from .errors import BadMessage, EndpointInUse, PeerGone
from .failures import failure_of
from .key_ring import KeyRing
from .keys import KeyPair
from .link import Link
from .messages import INNER, Principal
from .newcomers import MAX_CONNECTIONS, Newcomers
from .offences import Offences
from .silence import SILENCE_S, last_words_ms
from .turns import Turns, most_waiting_bytes

MAX_DEPARTED = 1_024
"""Routing ids of peers that are gone and whose late words are known for what they are."""
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
        newcomers: Newcomers | None = None,
        on_heard: Callable[[str], None] = lambda public: None,
    ) -> None:
        """Bind both channels; a peer of which nothing has come for ``silence_s`` is looked for.

        With a key its connections are among the ``newcomers`` until something is heard, and then ``on_heard`` is told
        whose key each is under.

        Raises:
            EndpointInUse: another process listens there.
            AddressError: without a key, the address can be reached by others than the owner of a folder.
        """
        if (key is None) != (ring is None):
            raise ValueError("a key without a ring lets nobody in, a ring without a key checks nobody")
        self._is_local = all(one.startswith(("ipc://", "inproc://")) for one in (endpoint.control, endpoint.data))
        if key is None and not self._is_local:
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
        # By the channel over which they spoke; None once they have been hung up on over the other one as well.
        self._hung_up_on: dict[bytes, Channel | None] = {}
        self._connections: set[sockets.socket] = set()
        most_bytes = most_waiting_bytes(max_message_bytes)
        self._turns = Turns(self._said_too_much, most_bytes=most_bytes) if ring is not None else None
        if newcomers is None and ring is not None:
            newcomers = Newcomers(most_bytes=most_bytes)
        self._newcomers = newcomers
        self._most_of_key = self._newcomers.most_links_of_key if self._newcomers is not None else MAX_CONNECTIONS
        self._on_heard = on_heard
        control = prepared(context, key, max_message_bytes, silence_s)
        data = prepared(context, key, max_message_bytes, silence_s)
        self._sockets = control, data
        try:
            if self._newcomers is not None:
                # Before either is bound: no connection may be missed.
                self._newcomers.follow(control)
                self._newcomers.follow(data)
            bind(control, endpoint.control)
            bind(data, endpoint.data)
        except EndpointInUse:
            self._follow_no_more()
            control.close(0)
            data.close(0)
            raise
        self._control = Channel(control, self._hear_control, whole_frames=ring is not None)
        self._data = Channel(data, self._hear_data, whole_frames=ring is not None)

    def close(self) -> None:
        """Hang up on everybody."""
        if self._turns is not None:
            self._turns.close()
        for link in list(self.links.values()):
            # Whoever asked hears why it gets no answer, as far as that was said in this tick.
            link.flush()
            link.lost("the endpoint was closed")
        self.links.clear()
        for connection in list(self._connections):
            self._end(connection)
        lingers_ms = [last_words_ms(stalled=self.is_stalled(socket)) for socket in self._sockets]
        self._follow_no_more()
        for channel, linger_ms in zip((self._control, self._data), lingers_ms, strict=True):
            channel.close(linger_ms=linger_ms)

    def is_stalled(self, *sockets: zmq.Socket[bytes]) -> bool:
        """Whether a peer takes nothing of what it is told, on any of these sockets or else of both."""
        followed = self._newcomers
        return followed is not None and any(followed.is_stalled(socket) for socket in sockets or self._sockets)

    def _follow_no_more(self) -> None:
        if self._newcomers is not None:
            for socket in self._sockets:
                self._newcomers.leave(socket)

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
            link = self.links.get(identity) or self._meet(identity, INNER, here=self._is_local)
            if channel is self._data:
                self._with_data.add(identity)
            link.hear(batch)
        else:
            self._hear_front(frames, channel, self._turns)

    def _hear_front(self, frames: Frames, channel: Channel, turns: Turns) -> None:
        identity = frames[0].bytes
        # The key speaks, not the message: libzmq attaches the User-Id that ZAP gave at the handshake.
        public = _user_id(frames[1])
        if self._newcomers is not None and self._newcomers.heard(frames[1]):
            self._on_heard(public)
        if identity in self._hung_up_on:
            if self._hung_up_on[identity] not in (channel, None):
                # Left open it would look to its peer like one that never answers.
                self._hung_up_on[identity] = None
                self._end_within(LAST_WORD_S, channel.connection_of(frames[1]))
            return
        principal = self._ring.by_public(public) if self._ring is not None else None
        if principal is None:
            self.offences.add("revoked", public, "a message under a key that is not allowed any more; it is hung up on")
            self._hear_no_more(identity, frames[1], "its key was revoked")
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
            if self._n_of[public] >= self._most_of_key:
                why = f"its key has {self._most_of_key} connections already"
                self._hang_up(identity, frames[1], principal, why, hint="close some of them, or use one for more")
                return
            self._departed.pop(identity, None)
            link = self._meet(identity, principal, public, here=self._is_local or is_of_this_host(frames[1]))
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
        failure = failure_of(BadMessage(why, hint=hint), where=self.endpoint.control)
        # It may not be there to be told any more.
        with suppress(PeerGone):
            self._control.send([identity, codec.join([codec.seal(Kind.FAIL, 0, "", 0.0, failure)])])
        self._hear_no_more(identity, frame, f"it was hung up on: {why}", within_s=LAST_WORD_S)

    def _hear_no_more(self, identity: bytes, frame: Any, why: str, *, within_s: float = 0.0) -> None:
        """End the connection that a frame came over; whatever else comes over it is nobody's."""
        # Whichever of both it came over: the address is the control channel's or the data channel's.
        connection, channel = self._control.connection_of(frame), self._control
        if connection is None:
            connection, channel = self._data.connection_of(frame), self._data
        self._hung_up_on[identity] = channel
        _keep_newest(self._hung_up_on)
        link = self.links.get(identity)
        if link is not None:
            self.forget(link, why)
        self._end_within(within_s, connection)

    def _end_within(self, within_s: float, connection: sockets.socket | None) -> None:
        if connection is not None:
            self._connections.add(connection)
            self._loop.call_later(within_s, self._end, connection)

    def _end(self, connection: sockets.socket) -> None:
        self._connections.discard(connection)
        hang_up(connection)

    def _meet(self, identity: bytes, principal: Principal, public: str = "", *, here: bool) -> Link:
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
        link.public, link.here = public, here
        self.links[identity] = link
        self._n_of[public] += 1
        self._on_peer(link)
        return link


_TOO_MANY_FRAMES = "a message of more frames than 2"


def _keep_newest(identities: dict[bytes, Any]) -> None:
    while len(identities) > MAX_DEPARTED:
        del identities[next(iter(identities))]


def _user_id(frame: Any) -> str:
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
