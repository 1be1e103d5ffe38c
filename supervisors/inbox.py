"""What a class of actors takes in: one for all actors of the class, which are many."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ..transport.codec import run_decoder, union_decoder
from ..transport.messages import NOMINAL_BYTES, Message, Ping, Request, reply_class
from .actor import Actor


class Inbox:
    """The messages of a class, what reads them, and what they count for."""

    __slots__ = ("decoder", "events", "kinds", "replies", "requests", "run_decoder")

    def __init__(self, kind: type[Actor[Any]]) -> None:
        self.kinds = kind.inbox
        self.decoder = union_decoder((*kind.inbox, Ping))
        self.run_decoder = run_decoder((*kind.inbox, Ping))
        self.replies: dict[type, Any] = {one: reply_class(one) for one in kind.inbox if issubclass(one, Request)}
        """What ``isinstance`` checks the answer to each request against."""
        self.events = {one: _fixed_bytes(one) for one in kind.inbox if one not in self.replies}
        self.requests = {one: _fixed_bytes(one) for one in self.replies}


_inboxes: WeakKeyDictionary[type[Actor[Any]], Inbox] = WeakKeyDictionary()


def inbox_of(kind: type[Actor[Any]]) -> Inbox:
    """The one of a class."""
    found = _inboxes.get(kind)
    if found is None or found.kinds != kind.inbox:
        found = _inboxes[kind] = Inbox(kind)
    return found


def _fixed_bytes(kind: type[Message]) -> int:
    """What every message of a class counts for; 0 where each says it for itself."""
    return NOMINAL_BYTES if kind.nominal_bytes is Message.nominal_bytes else 0
