"""Who may shake hands: ZAP answers from the key ring, and the User-Id of a connection is the key's name."""

from __future__ import annotations

import logging

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from .keys import KeyRing


class KeyRingAuthenticator(AsyncioAuthenticator):
    """Lets in the keys of one ring; everything a socket receives then carries the key's name."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing) -> None:
        # pyzmq logs every handshake at debug level; refusals are logged by us, once each.
        super().__init__(context, log=logging.getLogger("hcs_mesh.transport.zap"))
        self._ring = ring
        self.n_refused = 0
        self.configure_curve_callback("*", self)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may come in; the name is pyzmq's."""
        known = self._ring.by_public(key.decode("ascii")) is not None
        self.n_refused += not known
        return known

    def curve_user_id(self, client_public_key: bytes) -> str:
        """The name of the principal who holds the key."""
        principal = self._ring.by_public(z85.encode(client_public_key).decode("ascii"))
        return principal.name if principal is not None else ""
