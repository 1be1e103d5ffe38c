"""What can go wrong between two parties, told apart by what the caller should do next."""

from __future__ import annotations

from ..config.errors import MeshError


class TransportError(MeshError):
    """The message could not be carried."""


class AskTimedOut(TransportError, TimeoutError):
    """No answer came before the ask's deadline; whether the request took effect is unknown."""


class PeerGone(TransportError, ConnectionError):
    """The process that should have answered has ended or hung up."""


class PeerAnew(PeerGone):
    """The peer ended before it answered, and another life of it is there."""


class HeldOff(PeerGone):
    """The other side lets nobody in under this key for a while; who stays connected is let in again by himself."""


class KeyRefused(TransportError, PermissionError):
    """The other side does not know the key that was shown, or is not who it should be."""


class NotPermitted(TransportError, PermissionError):
    """The key is known, and its role does not allow this request."""


class ActorUnknown(TransportError, LookupError):
    """No actor has this name on the node that was asked."""


class ActorGivenUp(ActorUnknown):
    """The actor's branch was set aside, or the actor was stopped: it does not come back by itself."""


class MailboxFull(TransportError, BlockingIOError):
    """The actor has as much waiting as it may hold; ``retry_after_s`` says when to come again."""

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 0.1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class BadMessage(TransportError, ValueError):
    """The bytes are not a message that the receiver knows."""


class EndpointInUse(TransportError, OSError):
    """Another process listens on this address already."""


class NodeMissing(TransportError, ConnectionError):
    """Nobody listens at this address."""
