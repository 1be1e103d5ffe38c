"""Reading a journal's folder back: what it holds, where it is torn, whether it is damaged."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from .disk import DISK, Disk
from .errors import JournalDamaged
from .framing import Ending, Scan, SegmentHead, SegmentKind, parse_segment_head, scan
from .segments import segment_path, segment_paths


class TornTail(msgspec.Struct, frozen=True, kw_only=True):
    """An append that was being written when the writer died; nobody was told that it is durable."""

    file: str
    offset: int
    n_bytes: int
    reason: str


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What opening a journal found and did."""

    n_records: int
    n_segments: int
    last_sequence: int
    snapshot_through: int
    torn: TornTail | None = None
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that a folder's files say: a snapshot's records, then those of the log behind it."""

    snapshot: list[tuple[str, Scan]]
    through: int
    log: list[tuple[str, Scan]]
    next_sequence: int
    last_log: Path | None
    end: int
    torn: TornTail | None

    @property
    def n_records(self) -> int:
        """How many records must be replayed."""
        return sum(len(found.payloads) for _, found in self.snapshot) + self.next_sequence - 1 - self.through

    def payloads(self) -> list[bytes]:
        """Return the payloads that must be replayed, in order."""
        payloads = [payload for _, found in self.snapshot for payload in found.payloads]
        for _, found in self.log:
            payloads += found.payloads[max(0, self.through + 1 - found.first_sequence) :]
        return payloads

    def first_uses(self) -> list[tuple[bytes, str, int]]:
        """Return each tag that occurs in each file, with the file and the offset of its first use there."""
        return [
            (tag, file, found.offsets[found.tags.index(tag)])
            for file, found in self.snapshot + self.log
            for tag in set(found.tags)
        ]


def read_folder(folder: Path, disk: Disk = DISK) -> Contents:
    """Read and verify a journal's folder without changing it.

    Raises:
        JournalDamaged: something that was durable is missing or changed.
    """
    snapshot, through = _read_snapshot(folder, disk)
    logs = segment_paths(folder, SegmentKind.LOG, disk)
    # Logs that the snapshot stands for wholly may be left from a checkpoint that was cut short.
    while len(logs) > 1 and int(logs[1].stem) <= through + 1:
        del logs[0]
    if not logs:
        if through:
            missing = segment_path(folder, SegmentKind.LOG, through + 1)
            raise JournalDamaged(str(missing), 0, "the log behind the snapshot is missing")
        return Contents([], 0, [], 1, None, 0, None)
    expected = int(logs[0].stem)
    if expected > through + 1:
        raise JournalDamaged(str(logs[0]), 0, f"it begins with record {expected}, yet record {through + 1} is missing")
    read: list[tuple[str, Scan]] = []
    torn: TornTail | None = None
    end = 0
    for path in logs:
        data = disk.read(path)
        head = _head(path, data, SegmentKind.LOG)
        if head.sequence != expected or int(path.stem) != expected:
            raise JournalDamaged(str(path), 0, f"it begins with record {head.sequence}, record {expected} is due")
        found = scan(data, expected)
        if found.ending is Ending.DAMAGED or (found.ending is Ending.TORN and path != logs[-1]):
            raise JournalDamaged(str(path), found.offset, found.reason)
        if found.ending is Ending.TORN:
            torn = _torn(path, data, found)
        read.append((str(path), found))
        expected, end = found.next_sequence, found.end
    if expected <= through:
        raise JournalDamaged(str(logs[-1]), end, f"records {expected} to {through} are missing")
    return Contents(snapshot, through, read, expected, logs[-1], end, torn)


def _torn(path: Path, data: bytes, found: Scan) -> TornTail:
    n_bytes = len(data[found.end :].rstrip(b"\0"))
    return TornTail(file=str(path), offset=found.end, n_bytes=n_bytes, reason=found.reason)


def _read_snapshot(folder: Path, disk: Disk) -> tuple[list[tuple[str, Scan]], int]:
    snapshots = segment_paths(folder, SegmentKind.SNAPSHOT, disk)
    if not snapshots:
        return [], 0
    path = snapshots[-1]
    data = disk.read(path)
    head = _head(path, data, SegmentKind.SNAPSHOT)
    if head.sequence != int(path.stem):
        raise JournalDamaged(str(path), 0, f"its name and its header ({head.sequence}) disagree")
    found = scan(data, 1)
    if found.ending is not Ending.CLEAN or found.end != len(data):
        raise JournalDamaged(str(path), found.offset, found.reason or "bytes follow the last record")
    if len(found.payloads) != head.n_records:
        raise JournalDamaged(str(path), found.end, f"it holds {len(found.payloads)} records of {head.n_records}")
    return [(str(path), found)], head.sequence


def _head(path: Path, data: bytes, kind: SegmentKind) -> SegmentHead:
    try:
        head = parse_segment_head(data)
    except ValueError as error:
        raise JournalDamaged(str(path), 0, str(error)) from error
    if head.kind is not kind:
        raise JournalDamaged(str(path), 0, f"it is a {head.kind.name.lower()}, not a {kind.name.lower()}")
    return head
