"""How messages look on the wire: batches of envelopes, each around one encoded message.

A frame holds a msgpack array of envelopes, so that everything said to one peer within one tick
of the loop travels together. Bodies stay raw until the receiver's own decoder reads them.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import msgspec

from .errors import BadMessage
from .messages import Message, reply_type

BATCH_BYTES = 1 << 20
"""A batch that would hold more leaves before its tick ends."""
HEAD_BYTES = 5
"""What a batch holds beside its envelopes."""


class Kind(IntEnum):
    """What an envelope carries."""

    ASK = 0
    TELL = 1
    REPLY = 2
    FAIL = 3
    HELLO = 4
    BEAT = 5
    BYE = 6
    SEND = 7


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message on its way; ``ttl_s`` is what is left of the ask's time when it was sent.

    ``trace`` names what the message belongs to and its sender; it travels only where somebody follows it.
    """

    kind: int
    id: int
    target: str
    ttl_s: float
    body: msgspec.Raw
    trace: str = ""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """How a node introduces itself; ``key`` ties its two channels together on the front endpoint."""

    name: str
    pid: int
    version: str = ""


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life from a process's loop; ``busy`` says what long work it is at, ``statistics`` are its actor's."""

    busy: str = ""
    loop_lag_s: float = 0.0
    memory_bytes: int = 0
    gpu_used_bytes: int = 0
    gpu_total_bytes: int = 0
    paused: bool = False
    statistics: tuple[tuple[str, int | float | str], ...] = ()


_encoder = msgspec.msgpack.Encoder()
_ARRAY32 = struct.Struct(">BI")
_NOT_ENCODED = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_batches = msgspec.msgpack.Decoder(list[Envelope])


def encode(value: Any) -> bytes:
    """The msgpack bytes of a message or answer.

    Raises:
        BadMessage: it holds what cannot travel.
    """
    try:
        return _encoder.encode(value)
    except _NOT_ENCODED as error:
        raise BadMessage(f"{type(value).__name__} cannot travel: {error}") from error


def seal(kind: int, id: int, target: str, ttl_s: float, body: Any = None, trace: str = "") -> bytes:  # noqa: A002
    """The bytes of one envelope, its body encoded in place.

    Raises:
        BadMessage: the body holds what cannot travel.
    """
    try:
        if trace:
            return _encoder.encode((kind, id, target, ttl_s, body, trace))
        return _encoder.encode((kind, id, target, ttl_s, body))
    except _NOT_ENCODED as error:
        raise BadMessage(f"{type(body).__name__} cannot travel: {error}") from error


def join(envelopes: list[bytes]) -> bytes:
    """The bytes of a batch; an empty one only asks whether the peer is there."""
    return b"".join((_ARRAY32.pack(0xDD, len(envelopes)), *envelopes))


def split(batch: bytes) -> list[Envelope]:
    """The envelopes of a batch.

    Raises:
        BadMessage: these bytes are no batch.
    """
    try:
        return _batches.decode(batch)
    except NOT_DECODED as error:
        raise BadMessage(f"{len(batch)} bytes that are no batch of envelopes: {error}") from error


@functools.cache
def decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of one type, made once."""
    return msgspec.msgpack.Decoder(kind)


@functools.cache
def reply_decoder(request: type[Message]) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of a request's answer."""
    return decoder(reply_type(request))


def union_decoder(members: Iterable[type[Message]]) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of an inbox: one of these messages, told apart by their tags."""
    kinds = tuple(members)
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return msgspec.msgpack.Decoder(union)


def decode(body: msgspec.Raw | bytes, using: msgspec.msgpack.Decoder[Any]) -> Any:
    """One message or answer.

    Raises:
        BadMessage: the tag is unknown here, or a field has the wrong type.
    """
    try:
        return using.decode(body)
    except NOT_DECODED as error:
        raise unreadable(error) from error


def unreadable(error: Exception) -> BadMessage:
    """What a decoder's error says to the sender."""
    return BadMessage(f"the receiver cannot read this message: {error}")
