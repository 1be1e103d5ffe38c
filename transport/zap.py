"""Who may shake hands: ZAP answers from the key ring, and the User-Id of a connection is its key."""

from __future__ import annotations

import logging

import zmq
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from .key_ring import KeyRing
from .keys import KeyFileError
from .offences import Offences
from .refusals import HELD_OFF, REFUSED
from .shut_outs import ShutOuts
from .unheard import MOST_OF_KEY, Unheard

log = logging.getLogger(__name__)

MAX_STRANGERS = 16
"""Keys that are on no list and whose refusals are told apart; the others share a count."""

_UNHEARD = (
    "connections were made under it over which nothing could be heard, and which take memory all the same "
    "(hcs-mesh keys allow lets it in again at once)"
)


class KeyRingAuthenticator(AsyncioAuthenticator):
    """Lets in the keys of one ring; everything a socket receives then carries its sender's key."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing, *, most_unheard: int = MOST_OF_KEY
    ) -> None:
        """Answer handshakes; of one key there may be ``most_unheard`` connections of which nothing was heard."""
        # pyzmq logs every handshake at debug level; refusals are logged by us, once each.
        super().__init__(context, log=logging.getLogger("hcs_mesh.transport.zap"))
        self.ring = ring
        self.refusals = Offences("the handshake", max_counts=MAX_STRANGERS)
        self.unheard = Unheard(most_unheard)
        self._shut_outs = ShutOuts()
        self._for_a_while = False
        self._told = ""
        self.configure_curve_callback("*", self)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may come in; the name is pyzmq's."""
        self._for_a_while = False
        public = key.decode("ascii")
        if self.ring.by_public(public) is None:
            # It may have been allowed since the folder was last looked at.
            self.look_at_keys()
        principal = self.ring.by_public(public)
        if principal is None:
            self._for_a_while = self.ring.is_shut_out(public)
            why = "is shut out for a while" if self._for_a_while else "is on no list"
            self.refusals.add("handshake", public, f"the key {public} {why}")
            return False
        if not self.unheard.add(public):
            what = f"too many connections under the key of {principal.name} over which nothing is said"
            self.refusals.add("silent", public, what)
            self._for_a_while = True
            return False
        return True

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
        """Shut out the keys under which one connection after another was made over which nothing could be heard.

        Those whose time is over come in again.
        """
        for public in self._shut_outs.over(self.unheard.n_looks):
            self.ring.let_in_again(public)
        for public in self.unheard.look():
            principal = self.ring.by_public(public)
            if principal is None:
                continue
            self.ring.shut_out(public)
            shut_out_s = self._shut_outs.begin(public, self.unheard.n_looks)
            log.warning("the key of %s is shut out for %g s: %s", principal.name, shut_out_s, _UNHEARD)

    def _send_zap_reply(
        self, request_id: bytes, status_code: bytes, status_text: bytes, user_id: str = "anonymous"
    ) -> None:
        # pyzmq knows yes and no. One handshake is answered after the other: it is the one that was just looked at.
        if int(status_code) == REFUSED and self._for_a_while:
            status_code = b"%d" % HELD_OFF
        self._for_a_while = False
        super()._send_zap_reply(request_id, status_code, status_text, user_id)

    def curve_user_id(self, client_public_key: bytes) -> str:
        """The key itself (Z85): two keys of one principal are revoked one by one."""
        return z85.encode(client_public_key).decode("ascii")
