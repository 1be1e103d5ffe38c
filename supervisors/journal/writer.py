"""The one hand that writes a journal: it takes what has gathered, writes it at once, syncs once, then answers."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .disk import NO_ROOM, Disk
from .errors import CheckpointSuperseded, JournalError, JournalFull, JournalPoisoned
from .framing import (
    SEGMENT_HEAD_BYTES,
    Encoded,
    SegmentHead,
    SegmentKind,
    frame_append,
    framed_bytes,
)
from .segments import create_segment, remove_obsolete

GROUP_BYTES = 4 * 1024 * 1024


Append = tuple[tuple[Encoded, ...], "asyncio.Future[int]"]
"""Records that become durable together, and who waits for the first one's sequence; a plain tuple for speed."""


@dataclass(slots=True)
class Checkpoint:
    """Records that stand for everything up to ``through``."""

    records: list[Encoded]
    through: int
    done: "asyncio.Future[int]"


Answer = tuple["asyncio.Future[int]", int | JournalError]
Job = list[Append] | Checkpoint | None
"""None is the last one."""


@dataclass(slots=True)
class Writer:
    """Writes appends in the order of their coming; all its methods run in its own thread."""

    folder: Path
    disk: Disk
    loop: asyncio.AbstractEventLoop
    segment_bytes: int
    descriptor: int
    capacity: int
    offset: int
    next_sequence: int
    first_sequence: int
    through: int
    """What the last checkpoint stands for."""
    stopped: "asyncio.Future[int]"
    poison: str = ""
    n_syncs: int = 0
    n_records: int = 0
    n_bytes: int = 0
    largest_group: int = 0

    def work(self, jobs: Sequence[Job]) -> bool:
        """Do what has gathered: appends beside each other are written at once; False after the last job."""
        appends: deque[Append] = deque()
        for job in jobs:
            if isinstance(job, list):
                appends += job
                continue
            self._append(appends)
            if job is None:
                self.disk.close(self.descriptor)
                self._answer([(self.stopped, 0)])
                return False
            self._answer([(job.done, self._attempt_checkpoint(job))])
        self._append(appends)
        return True

    def _append(self, appends: deque[Append]) -> None:
        while appends:
            try:
                self._answer(self._write_group(appends))
            except JournalError as error:
                self._answer([(done, error) for _, done in appends])
                appends.clear()

    def _write_group(self, appends: deque[Append]) -> list[Answer]:
        """Write and sync as many appends as fit the segment; takes them off the queue once they are durable.

        Raises:
            JournalFull: the disk has no room; nothing counts.
            JournalPoisoned: the disk failed, now or before.
        """
        if self.poison:
            raise JournalPoisoned(str(self.folder), self.poison)
        parts: list[bytes] = []
        answers: list[Answer] = []
        n_bytes = n_records = 0
        sequence, room = self.next_sequence, min(self.capacity - self.offset, GROUP_BYTES)
        for records, done in appends:
            part = frame_append(records, sequence, n_records)
            n_bytes += len(part)
            if n_bytes > room and (parts or n_bytes > self.capacity - self.offset):
                n_bytes -= len(part)
                break
            parts.append(part)
            answers.append((done, sequence))
            sequence += len(records)
            n_records += len(records)
        if not parts:
            self._roll(framed_bytes(appends[0][0]))
            return []
        self._write_durably(b"".join(parts))
        self.offset += n_bytes
        self.next_sequence = sequence
        self.n_syncs += 1
        self.n_records += n_records
        self.n_bytes += n_bytes
        self.largest_group = max(self.largest_group, n_records)
        for _ in parts:
            appends.popleft()
        return answers

    def _write_durably(self, data: bytes) -> None:
        try:
            self.disk.write_at(self.descriptor, data, self.offset)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise self._poisoned(error) from error
            self._take_back()
            raise JournalFull(str(self.folder), len(data)) from error
        try:
            self.disk.sync_data(self.descriptor)
        except OSError as error:
            raise self._poisoned(error) from error

    def _take_back(self) -> None:
        """Remove a half-written group durably, so that none of it comes back at the next opening."""
        try:
            self.disk.truncate(self.descriptor, self.offset)
            self.disk.sync(self.descriptor)
        except OSError as error:
            raise self._poisoned(error) from error

    def _poisoned(self, error: OSError) -> JournalPoisoned:
        self.poison = str(error)
        self.disk.forget_cached(self.descriptor)
        return JournalPoisoned(str(self.folder), self.poison)

    def _roll(self, needed_bytes: int) -> None:
        """Go on in a new segment with room for an append of ``needed_bytes``."""
        capacity = max(self.segment_bytes, SEGMENT_HEAD_BYTES + needed_bytes)
        descriptor = self._create(SegmentHead(SegmentKind.LOG, self.next_sequence), capacity, [])
        self.disk.close(self.descriptor)
        self.descriptor = descriptor
        self.capacity = capacity
        self.offset = SEGMENT_HEAD_BYTES
        self.first_sequence = self.next_sequence

    def _create(self, head: SegmentHead, n_bytes: int, parts: list[bytes]) -> int:
        try:
            return create_segment(self.folder, head, n_bytes=n_bytes, parts=parts, disk=self.disk)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise JournalFull(str(self.folder), n_bytes) from error
            raise self._poisoned(error) from error

    def _attempt_checkpoint(self, job: Checkpoint) -> int | JournalError:
        try:
            if self.poison:
                raise JournalPoisoned(str(self.folder), self.poison)
            return self._checkpoint(job)
        except JournalError as error:
            return error

    def _checkpoint(self, job: Checkpoint) -> int:
        if job.through < self.through:
            # Its records are fewer than those that the next opening would read in their place.
            raise CheckpointSuperseded(str(self.folder), job.through, self.through)
        if self.first_sequence != self.next_sequence:
            self._roll(0)  # first, so that the snapshot never stands without a log behind it
        parts = [frame_append([record], i + 1, i) for i, record in enumerate(job.records)]
        n_bytes = SEGMENT_HEAD_BYTES + sum(map(len, parts))
        self.disk.close(self._create(SegmentHead(SegmentKind.SNAPSHOT, job.through, len(parts)), n_bytes, parts))
        self.through = job.through
        try:
            remove_obsolete(self.folder, job.through, self.disk)
        except OSError as error:
            raise self._poisoned(error) from error
        return job.through

    def _answer(self, answers: list[Answer]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: list[Answer]) -> None:
    for done, result in answers:
        if done.done():
            continue  # its asker was cancelled meanwhile
        if isinstance(result, JournalError):
            done.set_exception(result)
        else:
            done.set_result(result)
