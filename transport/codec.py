"""How messages look on the wire: batches of envelopes, each around one encoded message.

A frame holds a msgpack array of envelopes, so that everything said to one peer within one tick
of the loop travels together. Bodies stay raw until the receiver's own decoder reads them. Events
that are told to one actor one after the other share an envelope, a *run*: its body is their array,
which the receiver decodes in one go.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any

import msgspec

from .errors import BadMessage
from .messages import Message, reply_type

BATCH_BYTES = 1 << 20
"""A batch that would hold more leaves before its tick ends."""
HEAD_BYTES = 5
"""What a batch holds beside its envelopes."""
MAX_RUN = 1_024
"""Events in one envelope."""
MAX_BATCH = 2 * MAX_RUN
"""Envelopes in one batch, each event of a run counted: a front hangs up on whoever sends more."""
RUN_HEAD_BYTES = 24
"""What a run holds at most beside its events and its target's name."""


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
    RUN = 8


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


_LEAST_BYTES = 6
"""An envelope has no fewer: an array's head and five fields."""
_TELL, _RUN = int(Kind.TELL), int(Kind.RUN)
_encoder = msgspec.msgpack.Encoder()
_ARRAY32 = struct.Struct(">BI")
_HEAD_OF_ONE = _ARRAY32.pack(0xDD, 1)
_NOT_ENCODED = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_raw_list = msgspec.msgpack.Decoder(list[msgspec.Raw])
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


def encode_into(value: Any, buffer: bytearray) -> None:
    """Append the msgpack bytes of a message; what an error leaves behind is for the caller to cut off.

    Raises:
        BadMessage: it holds what cannot travel.
    """
    try:
        _encoder.encode_into(value, buffer, -1)
    except _NOT_ENCODED as error:
        raise BadMessage(f"{type(value).__name__} cannot travel: {error}") from error


def seal_run(target: str, n: int, bodies: bytes | bytearray) -> bytes:
    """The bytes of one envelope around ``n`` events that are encoded already."""
    return seal(_RUN, 0, target, 0.0, msgspec.Raw(b"".join((_ARRAY32.pack(0xDD, n), bodies))))


def run_length(body: msgspec.Raw) -> int:
    """How many events a run says that it holds.

    Raises:
        BadMessage: it is no run, or a longer one than may be.
    """
    try:
        tag, n = _ARRAY32.unpack_from(body)
    except struct.error as error:
        raise BadMessage(f"a run of events that is no array: {error}") from error
    if tag != 0xDD or n > MAX_RUN:
        raise BadMessage(f"a run of events holds an array of at most {MAX_RUN}")
    return int(n)


def unroll(run: Envelope) -> Iterator[Envelope]:
    """The events of a run, as they would have come alone.

    Raises:
        BadMessage: its body is no array.
    """
    for body in decode(run.body, _raw_list):
        yield Envelope(_TELL, 0, run.target, 0.0, body, run.trace)


def join(envelopes: list[bytes]) -> bytes:
    """The bytes of a batch; an empty one only asks whether the peer is there."""
    return b"".join((_ARRAY32.pack(0xDD, len(envelopes)), *envelopes))


def alone(envelope: bytes) -> bytes:
    """The bytes of a batch of one, for which nothing has to be counted."""
    return _HEAD_OF_ONE + envelope


class BatchTooLong(BadMessage):
    """A peer says more at once than it may."""

    def __init__(self, n: int) -> None:
        super().__init__(f"a batch of {n} envelopes and events, and one holds at most {MAX_BATCH}")


def split(batch: bytes, *, most: int | None = None) -> list[Envelope]:
    """The envelopes of a batch, which are ``most`` at most.

    Raises:
        BatchTooLong: there are more; none of them was read.
        BadMessage: these bytes are no batch.
    """
    if most is not None and (n := _length(batch)) > most:
        if n * _LEAST_BYTES > len(batch):
            raise BadMessage(f"{len(batch)} bytes that are no batch of {n} envelopes")
        raise BatchTooLong(n)
    try:
        return _batches.decode(batch)
    except NOT_DECODED as error:
        raise BadMessage(f"{len(batch)} bytes that are no batch of envelopes: {error}") from error


def _length(batch: bytes) -> int:
    """How many envelopes a batch says that it holds; 0 of what is no array."""
    match batch[:1]:
        case b"\xdd":
            return int.from_bytes(batch[1:5], "big")
        case b"\xdc":
            return int.from_bytes(batch[1:3], "big")
    # Of the short form there are at most 15.
    return 0


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
    return msgspec.msgpack.Decoder(_union(members))


def run_decoder(members: Iterable[type[Message]]) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of several messages for one inbox."""
    return msgspec.msgpack.Decoder(list[_union(members)])  # type: ignore[misc]


def _union(members: Iterable[type[Message]]) -> Any:
    kinds = tuple(members)
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union


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
