"""Who may shake hands: ZAP answers from the key ring, and the User-Id of a connection is its key."""

from __future__ import annotations

import logging

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from .keys import KeyFileError, KeyRing
from .offences import Offences
from .unheard import Unheard

log = logging.getLogger(__name__)

MAX_STRANGERS = 16
"""Keys that are on no list and whose refusals are told apart; the others share a count."""

_UNHEARD = (
    "connections were made under it over which nothing could be heard, and which take memory all the same "
    "(hcs-mesh keys allow lets it in again)"
)


class KeyRingAuthenticator(AsyncioAuthenticator):
    """Lets in the keys of one ring; everything a socket receives then carries its sender's key."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing) -> None:
        # pyzmq logs every handshake at debug level; refusals are logged by us, once each.
        super().__init__(context, log=logging.getLogger("hcs_mesh.transport.zap"))
        self.ring = ring
        self.refusals = Offences("the handshake", max_counts=MAX_STRANGERS)
        self.unheard = Unheard()
        self._told = ""
        self.configure_curve_callback("*", self)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may come in; the name is pyzmq's."""
        public = key.decode("ascii")
        if self.ring.by_public(public) is None:
            # It may have been allowed since the folder was last looked at.
            self.look_at_keys()
        known = self.ring.by_public(public) is not None
        if known:
            self.unheard.add(public)
        else:
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

    def look_at_unheard(self) -> None:
        """Shut out the keys under which one connection after another was made over which nothing could be heard."""
        for public in self.unheard.look():
            principal = self.ring.by_public(public)
            if principal is None:
                continue
            self.ring.shut_out(public)
            log.warning("the key of %s is shut out: %s", principal.name, _UNHEARD)

    def curve_user_id(self, client_public_key: bytes) -> str:
        """The key itself (Z85): two keys of one principal are revoked one by one."""
        return z85.encode(client_public_key).decode("ascii")
