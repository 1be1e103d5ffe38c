"""How records lie in a segment file, and what a run of bytes says about them (pure).

A record is ``magic, payload length, sequence, index in its group, flags, tag length, tag, payload, CRC32C``,
little-endian. A *group* is what was written by one write and made durable by one sync. The index tells torn from
damaged: pages of an unsynced group reach the disk in any order, so a valid record behind a broken one proves damage
only when its group began after the broken one, for that group was written only once the earlier was durable.
"""

import enum
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import google_crc32c

MAGIC = b"\xa7hJ\x1e"
MORE = 1  # flag: the next record belongs to the same atomic append
HEAD = struct.Struct("<4sIQIBB")
CRC_BYTES = 4
MAX_PAYLOAD_BYTES = 256 * 1024 * 1024
MAX_TAG_BYTES = 255

SEGMENT_MAGIC = b"HCSMJRNL"
SEGMENT_VERSION = 1
SEGMENT_HEAD = struct.Struct("<8sHHIQQ28x")
SEGMENT_HEAD_BYTES = SEGMENT_HEAD.size + CRC_BYTES

Framed = tuple[int, int, bytes, bytes]
"""Sequence, offset in the file, tag, payload: a plain tuple, for millions of them are scanned at opening."""

Encoded = tuple[bytes, bytes]
"""Tag and payload."""

crc32c: Callable[[bytes], int] = google_crc32c.value


class SegmentKind(enum.IntEnum):
    """What a segment file holds."""

    LOG = 1
    SNAPSHOT = 2


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """The first bytes of a segment.

    ``sequence`` is the first record's number in a log, the last number that it stands for in a snapshot.
    ``n_records`` is known for snapshots only, 0 in a log.
    """

    kind: SegmentKind
    sequence: int
    n_records: int = 0


class Ending(enum.Enum):
    """How the readable part of a segment ends."""

    CLEAN = "clean"
    TORN = "torn"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment's bytes hold: whole appends up to ``end``, and how it goes on from there."""

    records: list[Framed]
    end: int
    ending: Ending
    next_sequence: int
    offset: int
    reason: str = ""


def frame(sequence: int, index: int, flags: int, tag: bytes, payload: bytes) -> bytes:
    """Return the bytes of one record."""
    body = HEAD.pack(MAGIC, len(payload), sequence, index, flags, len(tag)) + tag + payload
    return body + crc32c(body).to_bytes(CRC_BYTES, "little")


def frame_append(records: Sequence[Encoded], sequence: int, index: int) -> bytes:
    """Return the bytes of one atomic append, whose first record gets ``sequence`` and ``index``."""
    if len(records) == 1:
        [(tag, payload)] = records  # framed in place: this is the path of nearly every record
        body = HEAD.pack(MAGIC, len(payload), sequence, index, 0, len(tag)) + tag + payload
        return body + crc32c(body).to_bytes(CRC_BYTES, "little")
    last = len(records) - 1
    return b"".join(
        frame(sequence + i, index + i, MORE if i < last else 0, tag, payload)
        for i, (tag, payload) in enumerate(records)
    )


def framed_bytes(records: Sequence[Encoded]) -> int:
    """Return how many bytes an append takes in a segment."""
    return sum(HEAD.size + len(tag) + len(payload) + CRC_BYTES for tag, payload in records)


def segment_head(head: SegmentHead) -> bytes:
    """Return the bytes that begin a segment."""
    body = SEGMENT_HEAD.pack(SEGMENT_MAGIC, SEGMENT_VERSION, head.kind, 0, head.sequence, head.n_records)
    return body + crc32c(body).to_bytes(CRC_BYTES, "little")


def parse_segment_head(data: bytes) -> SegmentHead:
    """Return what the first bytes of a segment say.

    Raises:
        ValueError: they are not a whole, intact header of a version that is known.
    """
    body, crc = data[: SEGMENT_HEAD.size], data[SEGMENT_HEAD.size : SEGMENT_HEAD_BYTES]
    if len(crc) < CRC_BYTES or crc32c(body).to_bytes(CRC_BYTES, "little") != crc:
        raise ValueError("the segment header's checksum does not match")
    magic, version, kind, _, sequence, n_records = SEGMENT_HEAD.unpack(body)
    if magic != SEGMENT_MAGIC:
        raise ValueError("this is not a journal segment")
    if version != SEGMENT_VERSION:
        raise ValueError(f"segment format {version} is unknown, this program reads {SEGMENT_VERSION}")
    return SegmentHead(SegmentKind(kind), sequence, n_records)


def scan(data: bytes, first_sequence: int, start: int = SEGMENT_HEAD_BYTES) -> Scan:
    """Return the records of a segment from ``start`` on, and whether it ends clean, torn or damaged."""
    records: list[Framed] = []
    unpack, head_bytes, add = HEAD.unpack_from, HEAD.size, records.append
    offset = committed_end = start
    expected = first_sequence
    n_committed = 0
    last_head = len(data) - head_bytes
    while offset <= last_head:
        magic, length, sequence, _, flags, tag_bytes = unpack(data, offset)
        if magic != MAGIC:
            break
        end = offset + head_bytes + tag_bytes + length
        body = data[offset:end]
        if data[end : end + CRC_BYTES] != crc32c(body).to_bytes(CRC_BYTES, "little"):
            break
        if sequence != expected:
            return Scan(
                records[:n_committed],
                committed_end,
                Ending.DAMAGED,
                first_sequence + n_committed,
                offset,
                f"record {sequence} stands where record {expected} belongs",
            )
        add((sequence, offset, body[head_bytes : head_bytes + tag_bytes], body[head_bytes + tag_bytes :]))
        expected += 1
        offset = end + CRC_BYTES
        if not flags & MORE:
            n_committed = len(records)
            committed_end = offset
    ending, where, reason = _ending(data, offset, committed_end, expected)
    return Scan(records[:n_committed], committed_end, ending, first_sequence + n_committed, where, reason)


def _ending(data: bytes, offset: int, committed_end: int, expected: int) -> tuple[Ending, int, str]:
    """Say what the bytes from ``offset`` on mean, where no valid record ``expected`` begins."""
    if data.count(0, offset) == len(data) - offset:
        if offset == committed_end:
            return Ending.CLEAN, offset, ""
        return Ending.TORN, committed_end, "the last append is incomplete"
    at = data.find(MAGIC, offset + 1)
    while at >= 0:
        found = _record_at(data, at)
        if found is not None and found[0] - found[1] > expected:
            return (
                Ending.DAMAGED,
                offset,
                f"record {expected} is unreadable, yet record {found[0]} follows at byte {at}",
            )
        at = data.find(MAGIC, at + 1)
    return Ending.TORN, committed_end, f"record {expected} is incomplete"


def _record_at(data: bytes, offset: int) -> tuple[int, int] | None:
    """Return sequence and group index of the valid record at ``offset``, or None."""
    if offset + HEAD.size > len(data):
        return None
    _, length, sequence, index, _, tag_bytes = HEAD.unpack_from(data, offset)
    end = offset + HEAD.size + tag_bytes + length
    crc = data[end : end + CRC_BYTES]
    if len(crc) < CRC_BYTES or crc32c(data[offset:end]).to_bytes(CRC_BYTES, "little") != crc:
        return None
    return sequence, index
