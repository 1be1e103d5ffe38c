"""Who may shake hands: ZAP answers from the key ring, and the User-Id of a connection is its key."""

from __future__ import annotations

import logging

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from .keys import KeyFileError, KeyRing
from .offences import Offences

log = logging.getLogger(__name__)

MAX_STRANGERS = 16
"""Keys that are on no list and whose refusals are told apart; the others share a count."""


class KeyRingAuthenticator(AsyncioAuthenticator):
    """Lets in the keys of one ring; everything a socket receives then carries its sender's key."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing) -> None:
        # pyzmq logs every handshake at debug level; refusals are logged by us, once each.
        super().__init__(context, log=logging.getLogger("hcs_mesh.transport.zap"))
        self.ring = ring
        self.refusals = Offences("the handshake", max_counts=MAX_STRANGERS)
        self._told = ""
        self.configure_curve_callback("*", self)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may come in; the name is pyzmq's."""
        public = key.decode("ascii")
        if self.ring.by_public(public) is None:
            # It may have been allowed since the folder was last looked at.
            self.look_at_keys()
        known = self.ring.by_public(public) is not None
        if not known:
            self.refusals.add("handshake", public, f"the key {public} is on no list")
        return known

    def look_at_keys(self) -> None:
        """See who may come in now; what of it cannot be read is told once, and the other keys hold."""
        try:
            wrong = self.ring.refresh()
        except KeyFileError as error:
            wrong = () if str(error) == self._told else (error,)
            self._told = str(error)
        else:
            self._told = ""
        for one in wrong:
            log.warning("%s; the other keys hold (%s)", one, one.hint)

    def curve_user_id(self, client_public_key: bytes) -> str:
        """The key itself (Z85): two keys of one principal are revoked one by one."""
        return z85.encode(client_public_key).decode("ascii")
