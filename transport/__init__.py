"""How anything travels: messages, links, keys, and planes in shared memory."""

from .addresses import AddressError, Endpoint, ipc_endpoint, socket_folder, tcp_endpoint
from .cards import MeshCard, NoCard, find_card, load_card, parse_address
from .codec import Beat, Envelope, Hello, Kind
from .dialer import Dialer
from .errors import (
    ActorGivenUp,
    ActorUnknown,
    AskTimedOut,
    BadMessage,
    EndpointInUse,
    HeldOff,
    KeyRefused,
    MailboxFull,
    NodeMissing,
    NotPermitted,
    PeerAnew,
    PeerGone,
    TransportError,
)
from .failures import AskFailed, exception_of, failure_of
from .key_ring import KeyRing
from .keys import KeyFileError, KeyPair, ServerKey, load_or_create_pair, load_pair, new_pair, save_pair
from .link import Link
from .listener import Listener
from .messages import INNER, ROLES, Event, Failure, Message, Ping, Principal, Pulse, Request, Role
from .peer_refs import PeerRef
from .refs import ASK_TIMEOUT_S, Ref
from .silence import SILENCE_S
from .zap import KeyRingAuthenticator

__all__ = [
    "ASK_TIMEOUT_S",
    "INNER",
    "ROLES",
    "SILENCE_S",
    "ActorGivenUp",
    "ActorUnknown",
    "AddressError",
    "AskFailed",
    "AskTimedOut",
    "BadMessage",
    "Beat",
    "Dialer",
    "Endpoint",
    "EndpointInUse",
    "Envelope",
    "Event",
    "Failure",
    "HeldOff",
    "Hello",
    "KeyFileError",
    "KeyPair",
    "KeyRefused",
    "KeyRing",
    "KeyRingAuthenticator",
    "Kind",
    "Link",
    "Listener",
    "MailboxFull",
    "MeshCard",
    "Message",
    "NoCard",
    "NodeMissing",
    "NotPermitted",
    "PeerAnew",
    "PeerGone",
    "PeerRef",
    "Ping",
    "Principal",
    "Pulse",
    "Ref",
    "Request",
    "Role",
    "ServerKey",
    "TransportError",
    "exception_of",
    "failure_of",
    "find_card",
    "ipc_endpoint",
    "load_card",
    "load_or_create_pair",
    "load_pair",
    "new_pair",
    "parse_address",
    "save_pair",
    "socket_folder",
    "tcp_endpoint",
]
