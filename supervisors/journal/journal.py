"""An append-only journal of typed records: what must survive is written here before it is done."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar, get_args

import msgspec

from .disk import DISK, Disk, Hand
from .errors import JournalClosed, RecordRefused, RecordTooLarge
from .framing import MAX_PAYLOAD_BYTES, MAX_TAG_BYTES, Encoded
from .opening import Opened, open_files
from .recovery import Contents, Recovery
from .writer import Append, Checkpoint, Writer

R = TypeVar("R", bound=msgspec.Struct)

SEGMENT_BYTES = 16 * 1024 * 1024


class JournalStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal has done since it was opened."""

    last_sequence: int
    n_records: int
    n_bytes: int
    n_syncs: int
    n_gathered: int
    largest_group: int
    poisoned: bool


class Journal(Generic[R]):
    """Records that are durable once ``append`` returns, and come back in order at the next opening.

    ``record_type`` is a tagged Struct or a union of them. One process writes; the journal belongs to the event loop
    that opened it. Unknown fields are ignored, unknown tags refused.
    """

    def __init__(
        self, folder: Path, record_type: object, contents: Contents, recovery: Recovery, disk: Disk, lock: int
    ) -> None:
        """Use ``Journal.open``."""
        self.folder = folder
        self.recovery = recovery
        self._decoder: msgspec.msgpack.Decoder[R] = msgspec.msgpack.Decoder(record_type)
        self._encode = msgspec.msgpack.Encoder().encode
        self._tags = {kind: tag for tag, kind in _kinds(record_type).items()}
        self._payloads = contents.payloads()
        self._disk = disk
        self._lock = lock
        self._gathered: list[Append] = []
        self._acknowledged = contents.next_sequence - 1
        self._writer: Writer
        self._hand: Hand
        self._closed = False

    @classmethod
    async def open(
        cls, folder: Path | str, *, record_type: object, segment_bytes: int = SEGMENT_BYTES, disk: Disk = DISK
    ) -> "Journal[R]":
        """Open or make the journal in ``folder``: read it back, cut a torn tail (see ``recovery``), go on behind it.

        Raises:
            JournalDamaged: something that was durable is missing or changed; nothing was touched.
            JournalInUse: another process writes it.
            JournalFull: there is no room for a segment.
            NetworkFileSystem: the folder does not lie on a local disk.
            RecordRefused: a record has a tag that ``record_type`` does not know.
        """
        path = Path(folder)
        known = _kinds(record_type)
        opening = asyncio.ensure_future(asyncio.to_thread(open_files, path, known, segment_bytes, disk))
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on: the lock that it takes would keep out every later opening.
            opening.add_done_callback(lambda opened: _let_go(opened, disk))
            await asyncio.wait([opening])
            raise
        contents = opened.contents
        journal = cls(path, record_type, contents, opened.recovery, disk, opened.lock)
        loop = asyncio.get_running_loop()
        first = int(contents.last_log.stem) if contents.last_log else 1
        journal._writer = Writer(
            path,
            disk,
            loop,
            segment_bytes,
            opened.descriptor,
            opened.capacity,
            opened.offset,
            contents.next_sequence,
            first,
            contents.through,
            loop.create_future(),
        )
        journal._hand = disk.hand(f"journal {path.name}", journal._writer.work)
        return journal

    async def append(self, record: R) -> int:
        """Return the record's sequence once it is on the disk.

        Cancelled, it may have been written all the same.

        Raises:
            JournalFull: the disk has no room; the record does not count, later ones may.
            JournalPoisoned: the disk failed; the journal must be opened again.
            RecordTooLarge: the record is larger than any may be.
            JournalClosed: the journal was closed.
        """
        # Answers come in the order of asking, so whatever was asked before has returned or was cancelled.
        self._acknowledged = sequence = await self._submit((self._encoded(record),))
        return sequence

    async def append_all(self, records: Sequence[R]) -> int:
        """Return the first record's sequence once all are on the disk; after a crash all are there or none.

        Raises:
            ValueError: there are no records.
            JournalFull: the disk has no room; none of them counts.
            JournalPoisoned: the disk failed; the journal must be opened again.
            RecordTooLarge: a record is larger than any may be.
            JournalClosed: the journal was closed.
        """
        if not records:
            raise ValueError("append_all needs at least one record")
        sequence = await self._submit(tuple([self._encoded(record) for record in records]))
        self._acknowledged = sequence + len(records) - 1
        return sequence

    def replay(self) -> Iterator[R]:
        """Yield what the journal held when it was opened: the last checkpoint's records, then all since, in order.

        To be used once: each record is let go as it is yielded.

        Raises:
            RecordRefused: a record's fields do not fit its type.
        """
        payloads, self._payloads = self._payloads, []
        payloads.reverse()
        decode = self._decoder.decode
        while payloads:
            payload = payloads.pop()
            try:
                record = decode(payload)
            except msgspec.MsgspecError as error:
                raise RecordRefused(
                    f"a record in {self.folder} does not fit its type: {error}",
                    hint="It was written by another version of this program; fields may only be added with defaults.",
                ) from error
            yield record

    async def checkpoint(self, records: Sequence[R], *, through: int | None = None) -> int:
        """Let ``records`` stand for everything up to ``through``, and let the segments that held it go.

        ``through`` is the last sequence whose effect ``records`` hold; without it, the last one before the first
        append that has not returned yet. What came later is replayed behind them. Returns ``through``.

        Raises:
            ValueError: ``through`` is not durable yet.
            CheckpointSuperseded: an earlier one stands for more than ``through``, and goes on doing so.
            JournalFull: the disk has no room for it; the journal is as it was.
            JournalPoisoned: the disk failed; the journal must be opened again.
            JournalClosed: the journal was closed.
        """
        if self._closed:
            raise JournalClosed(f"the journal {self.folder} is closed")
        bound = self._acknowledged if through is None else through
        if not 0 <= bound <= self._acknowledged:
            raise ValueError(f"cannot checkpoint through {bound}: durable through {self._acknowledged}")
        done: asyncio.Future[int] = self._writer.loop.create_future()
        self._hand_over()
        self._hand.put(Checkpoint([self._encoded(record) for record in records], bound, done))
        return await done

    def statistics(self) -> JournalStatistics:
        """Return what has been written since the opening."""
        writer = self._writer
        return JournalStatistics(
            last_sequence=writer.next_sequence - 1,
            n_records=writer.n_records,
            n_bytes=writer.n_bytes,
            n_syncs=writer.n_syncs,
            n_gathered=len(self._gathered),
            largest_group=writer.largest_group,
            poisoned=bool(writer.poison),
        )

    async def close(self) -> None:
        """Write what was asked for, then let the folder go."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._hand.put(None)
            await asyncio.shield(self._writer.stopped)
            self._hand.join()
            self._disk.close(self._lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _submit(self, records: tuple[Encoded, ...]) -> "asyncio.Future[int]":
        if self._closed:
            raise JournalClosed(f"the journal {self.folder} is closed")
        loop = self._writer.loop
        done = loop.create_future()
        if not self._gathered:
            # What is asked within one turn of the loop goes to the thread at once: one wake-up, one sync.
            loop.call_soon(self._hand_over)
        self._gathered.append((records, done))
        return done

    def _hand_over(self) -> None:
        if self._gathered:
            self._hand.put(self._gathered)
            self._gathered = []

    def _encoded(self, record: R) -> Encoded:
        tag = self._tags.get(type(record))
        if tag is None:
            raise RecordRefused(
                f"{type(record).__name__} is not a record of the journal {self.folder}",
                hint="Name it in the record_type that the journal is opened with.",
            )
        payload = self._encode(record)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise RecordTooLarge(f"a record of {len(payload)} bytes is larger than {MAX_PAYLOAD_BYTES}")
        return tag, payload


def _kinds(record_type: object) -> dict[bytes, type[msgspec.Struct]]:
    """Return the Struct of each tag.

    Raises:
        TypeError: a type is not a Struct with a tag of its own.
    """
    kinds: dict[bytes, type[msgspec.Struct]] = {}
    for kind in get_args(record_type) or (record_type,):
        config = getattr(kind, "__struct_config__", None)
        if config is None or not isinstance(config.tag, str) or not 0 < len(config.tag.encode()) <= MAX_TAG_BYTES:
            raise TypeError(f"a journal record must be a msgspec Struct with a tag, not {kind!r}")
        if kinds.setdefault(config.tag.encode(), kind) is not kind:
            raise TypeError(f"two journal records have the tag {config.tag!r}")
    return kinds


def _let_go(opening: "asyncio.Future[Opened]", disk: Disk) -> None:
    if not opening.cancelled() and opening.exception() is None:
        disk.close(opening.result().descriptor)
        disk.close(opening.result().lock)
