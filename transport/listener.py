"""The answering side of an endpoint: two ROUTER sockets, control and data, and a link for every peer."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import zmq

from . import codec
from .addresses import AddressError, Endpoint
from .channel import Channel, Frames
from .codec import Kind
from .connections import hang_up
from .deliveries import Deliver
from .errors import BadMessage, EndpointInUse, PeerGone
from .failures import failure_of
from .keys import KeyPair, KeyRing
from .link import Link
from .messages import INNER, Principal
from .offences import Offences
from .silence import SILENCE_S, notice_silence
from .turns import Turns

HANDSHAKE_MS = 10_000

MAX_DEPARTED = 1_024
"""Routing ids of peers that are gone and whose late words are known for what they are."""

LEAST_WAITING_BYTES = 32 << 20
"""So much of one peer may wait to be heard, however small its messages have to be."""
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
    ) -> None:
        """Bind both channels; a peer of which nothing has come for ``silence_s`` is looked for.

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
        self._turns = (
            Turns(self._said_too_much, most_bytes=max(LEAST_WAITING_BYTES, 2 * max_message_bytes))
            if ring is not None
            else None
        )
        self._control = Channel(
            _bind(context, endpoint.control, key, max_message_bytes, silence_s),
            self._hear_control,
            whole_frames=ring is not None,
        )
        try:
            self._data = Channel(
                _bind(context, endpoint.data, key, max_message_bytes, silence_s),
                self._hear_data,
                whole_frames=ring is not None,
            )
        except EndpointInUse:
            self._control.close()
            raise

    def close(self) -> None:
        """Hang up on everybody."""
        if self._turns is not None:
            self._turns.close()
        for link in list(self.links.values()):
            link.lost("the endpoint was closed")
        self.links.clear()
        for connection in list(self._connections):
            self._end(connection)
        self._control.close()
        self._data.close()

    def forget(self, link: Link, why: str) -> None:
        """A peer is gone: what waits for it fails, and its next message makes a new link."""
        for identity, known in list(self.links.items()):
            if known is link:
                del self.links[identity]
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
            link = self.links.get(identity) or self._meet(identity, INNER)
            if channel is self._data:
                self._with_data.add(identity)
            link.hear(batch)
        else:
            self._hear_front(frames, channel, self._turns)

    def _hear_front(self, frames: Frames, channel: Channel, turns: Turns) -> None:
        identity = frames[0].bytes
        if identity in self._hung_up_on:
            return
        # The key speaks, not the message: libzmq attaches the User-Id that ZAP gave at the handshake.
        public = _user_id(frames[1])
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
            self._departed.pop(identity, None)
            link = self._meet(identity, principal)
            link.public = public
        else:
            link.principal = principal
        if channel is self._data:
            self._with_data.add(identity)
        turns.hear(link, frames[1])

    def _said_too_much(self, link: Link, frame: Any, why: str) -> None:
        identity = next((identity for identity, known in self.links.items() if known is link), None)
        if identity is not None:
            self._hang_up(identity, frame, link.principal, why)

    def _hang_up(self, identity: bytes, frame: Any, principal: Principal, why: str) -> None:
        """Tell a peer what it should not have sent, and hear nothing more over this connection."""
        self.offences.add("hung up on", _user_id(frame), f"from {principal.name}: {why}; it is hung up on")
        self._hung_up_on[identity] = None
        _keep_newest(self._hung_up_on)
        failure = failure_of(BadMessage(why, hint="dial again, and say less at once"), where=self.endpoint.control)
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

    def _meet(self, identity: bytes, principal: Principal) -> Link:
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
        self.links[identity] = link
        self._on_peer(link)
        return link


_TOO_MANY_FRAMES = "a message of more frames than 2"


def _keep_newest(identities: dict[bytes, None]) -> None:
    while len(identities) > MAX_DEPARTED:
        del identities[next(iter(identities))]


def _bind(
    context: zmq.Context[zmq.Socket[bytes]],
    address: str,
    key: KeyPair | None,
    max_message_bytes: int,
    silence_s: float,
) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.LINGER, 200)
    socket.setsockopt(zmq.SNDHWM, 10_000)
    socket.setsockopt(zmq.RCVHWM, 10_000)
    socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
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
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        socket.close(0)
        if error.errno == zmq.EADDRINUSE:
            raise EndpointInUse(
                f"{address} is in use by another process",
                hint="choose another port in [front], or stop what listens there",
            ) from error
        raise EndpointInUse(f"cannot listen on {address}: {error}", hint="check the address in [front]") from error
    return socket


def _user_id(frame: Any) -> str:
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
