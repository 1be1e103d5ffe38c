"""What every message is: a frozen struct with an explicit tag, and for requests the type of the answer."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

import msgspec

Reply = TypeVar("Reply")

Role = Literal["viewer", "user", "agent", "administrator", "node"]
"""What a key may do; each role of people may do what those before it may.

An agent is a program that hands work over for users, beside a microscope for instance. A node is another host of the
mesh, where nobody orders anything: it joins, and sees what viewers see.
"""

ROLES: tuple[Role, ...] = ("viewer", "user", "agent", "administrator", "node")

_SAID_BY = {role: frozenset(ROLES[: rank + 1]) for rank, role in enumerate(ROLES)} | {
    "node": frozenset[Role](("viewer", "node"))
}

NOMINAL_BYTES = 512


def may_say(role: Role, audience: Role) -> bool:
    """Whether a key of this role may send what is for ``audience``."""
    return audience in _SAID_BY[role]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What actors send each other; every concrete class states its wire tag.

    ``audience`` is the least role that may send it from outside the mesh's own processes, as `may_say` has it;
    None keeps it inside.
    """

    audience: ClassVar[Role | None] = None
    always_taken: ClassVar[bool] = False
    """True for what is said once and settles something, as that a peer is gone: said within the mesh, it is taken
    however full the mailbox is. Only for what there is little of, whatever outsiders do."""
    looks_only: ClassVar[bool] = False
    """True for what programs ask again and again, to show it or to come in: nobody follows such messages."""

    @property
    def nominal_bytes(self) -> int:
        """What the message counts for in a mailbox bounded by bytes."""
        return NOMINAL_BYTES

    @property
    def acts_for(self) -> str:
        """The person in whose name whoever gets it may act until it is answered; empty is nobody."""
        return ""


class Event(Message, frozen=True, kw_only=True):
    """Something that happened; nobody waits for an answer."""

    bulk: ClassVar[bool] = False
    """True for pixels and progress, which travel on the data channel so that they never delay a ping."""


class Request(Message, Generic[Reply], frozen=True, kw_only=True):
    """Something that wants an answer of type ``Reply``."""


class Failure(Message, frozen=True, kw_only=True, tag="failure"):
    """Why a request was not answered: what, where, whose fault, and whether asking again can help."""

    kind: str
    message: str
    hint: str = ""
    where: str = ""
    blame: Literal["caller", "actor", "environment"] = "actor"
    retry: bool = False
    retry_after_s: float = 0.0
    traceback: str = ""


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """How an actor is: what waits for it, what it has done, and what went wrong last."""

    waiting: int
    handled: int
    deferred: int = 0
    expired: int = 0
    refused: int = 0
    last_error: str = ""


class Ping(Request[Pulse], frozen=True, kw_only=True, tag="ping"):
    """Ask any actor how it is; it answers between two messages, however many wait in its mailbox."""

    audience: ClassVar[Role | None] = "viewer"
    looks_only: ClassVar[bool] = True


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is speaking, as the key says; never taken from a message."""

    name: str
    role: Role


INNER = Principal(name="mesh", role="node")
"""The mesh's own processes: they come through the inner endpoint, in a folder that only its owner can enter."""


@functools.cache
def reply_type(request: type[Message]) -> Any:
    """The type that answers a request class.

    Raises:
        TypeError: the class is no ``Request[...]``.
    """
    for cls in request.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Request:
                return get_args(base)[0]
    raise TypeError(f"{request.__name__} is no Request[...], so nothing can answer it")


@functools.cache
def reply_class(request: type[Message]) -> Any:
    """What ``isinstance`` can check an answer against: unions flattened, containers without their parameters."""
    return _checkable(reply_type(request))


def _checkable(kind: Any) -> Any:
    if kind is None:
        return type(None)
    origin = get_origin(kind)
    if origin is None:
        return object if kind is Any else kind
    if isinstance(origin, type) and origin.__module__ != "types":
        return origin
    return tuple(_checkable(one) for one in get_args(kind))
