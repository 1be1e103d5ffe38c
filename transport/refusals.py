"""What is said of a handshake that was refused: by words, for a while, or by hanging up (pure)."""

from __future__ import annotations

from .errors import HeldOff, KeyRefused, PeerGone

AGAIN_S = 3.0
"""So long after a refusal it is dialled again: it may have been for a while, or somebody has mended the cause."""
REFUSED, HELD_OFF = 400, 500
"""What a listener refuses with for good, and for a while: the status of its ZAP answer, which libzmq hands to the peer.

RFC 27 has 300 for the latter. But of that one libzmq 4.3.5 says nothing to the peer, and leaves the connection open
until the time for its handshake is over.
"""
_MATCHING_KEY = "use the key of this mesh's data folder, or ask its administrator to allow yours"
_NO_ROOM = "if the mesh's log tells of connections of which nothing was heard, it has no descriptor left (ulimit -n)"


def refusal(where: str, status: int) -> HeldOff | KeyRefused:
    """The error for a refusal in words."""
    if status == HELD_OFF:
        return HeldOff(
            f"{where} lets nobody in under this key for a while",
            hint="nothing could be heard over connections that were made under it, which stand in the mesh's log; "
            f"whoever stays connected dials again after {AGAIN_S:g} s",
        )
    return KeyRefused(f"{where} refused the handshake: the keys do not match", hint=_MATCHING_KEY)


def silent_refusal(where: str, n_handshakes: int, *, was_connected: bool) -> PeerGone | KeyRefused:
    """The error for handshakes in a row that ended without a word."""
    what = f"hung up in the middle of {n_handshakes} handshakes in a row"
    if was_connected:
        return PeerGone(f"{where} {what}", hint=f"it is dialled again all the while; {_NO_ROOM}")
    return KeyRefused(
        f"{where} refused the handshake: it {what}, without a word; the keys do not match, or it has no room",
        hint=f"{_MATCHING_KEY}; {_NO_ROOM}",
    )
