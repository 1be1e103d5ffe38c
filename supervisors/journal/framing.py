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
CRC = struct.Struct("<I")
CRC_BYTES = CRC.size
MAX_PAYLOAD_BYTES = 256 * 1024 * 1024
MAX_TAG_BYTES = 255

SEGMENT_MAGIC = b"HCSMJRNL"
SEGMENT_VERSION = 1
SEGMENT_HEAD = struct.Struct("<8sHHIQQ28x")
SEGMENT_HEAD_BYTES = SEGMENT_HEAD.size + CRC_BYTES

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
    """What a segment's bytes hold: whole appends up to ``end``, and how it goes on from there.

    Records are numbered from ``first_sequence`` without a gap. Columns, not an object for each record: at opening
    there may be millions.
    """

    first_sequence: int
    offsets: list[int]
    tags: list[bytes]
    payloads: list[bytes]
    end: int
    ending: Ending
    offset: int
    reason: str = ""

    @property
    def next_sequence(self) -> int:
        """The number that the next record gets."""
        return self.first_sequence + len(self.payloads)


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
    offsets: list[int] = []
    tags: list[bytes] = []
    payloads: list[bytes] = []
    unpack, unpack_crc, head_bytes = HEAD.unpack_from, CRC.unpack_from, HEAD.size
    offset = committed_end = start
    expected = first_sequence
    n_committed = 0
    gap = ""
    n_bytes = len(data)
    while offset + head_bytes <= n_bytes:
        magic, length, sequence, _, flags, tag_bytes = unpack(data, offset)
        tag_end = offset + head_bytes + tag_bytes
        end = tag_end + length
        if magic != MAGIC or end + CRC_BYTES > n_bytes or unpack_crc(data, end)[0] != crc32c(data[offset:end]):
            break
        if sequence != expected:
            gap = f"record {sequence} stands where record {expected} belongs"
            break
        offsets.append(offset)
        tags.append(data[offset + head_bytes : tag_end])
        payloads.append(data[tag_end:end])
        expected += 1
        offset = end + CRC_BYTES
        if not flags & MORE:
            n_committed = len(payloads)
            committed_end = offset
    ending, where, reason = (Ending.DAMAGED, offset, gap) if gap else _ending(data, offset, committed_end, expected)
    for column in (offsets, tags, payloads):
        del column[n_committed:]
    return Scan(first_sequence, offsets, tags, payloads, committed_end, ending, where, reason)


def _ending(data: bytes, offset: int, committed_end: int, expected: int) -> tuple[Ending, int, str]:
    """Say what the bytes from ``offset`` on mean, where no valid record ``expected`` begins."""
    # Compared, not counted: counting stops at each of the millions of zeros of a segment that has just been begun.
    if data.startswith(bytes(len(data) - offset), offset):
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
