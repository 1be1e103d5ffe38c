"""The ledger: a record is durable first, then in the book, and then whoever waits for it hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from ..config import get_logger
from ..supervisors import Context
from ..supervisors.journal import DISK, Disk, Journal, JournalClosed, JournalFull, JournalPoisoned
from .changes import Changes

R = TypeVar("R", bound=msgspec.Struct)

log = get_logger(__name__)

AGAIN_S = 1.0
"""The wait before something is written again that a full disk refused."""

SHORTER = 2
"""How much shorter a journal must become to be worth writing anew: one that is long because much is open is not."""


class Book(Protocol[R]):
    """What records add up to."""

    def apply(self, record: R) -> object:
        """Take a record in."""
        ...

    def compacted(self) -> tuple[R, ...]:
        """The records that a checkpoint needs."""
        ...


class Ledger(Generic[R]):
    """Keeps a book that a crash cannot tear from its journal."""

    def __init__(self, book: Book[R], *, name_of: Callable[[R], str], compact_records: int) -> None:
        """Keep ``book``; ``name_of`` says what a record moves, ``compact_records`` how many are too many to replay."""
        self.changes = Changes()
        self._book = book
        self._name_of = name_of
        self._compact_records = compact_records
        self._journal: Journal[R] | None = None
        self._n_writing = 0
        self._n_records = 0
        """What a start would have to replay now."""
        self._too_long = compact_records
        """So many records are looked at again: what is open may need as many."""

    async def open(
        self, context: Context, folder: Path, *, record_type: object, segment_bytes: int, disk: Disk = DISK
    ) -> None:
        """Replay the journal into the book, and shorten it if it has grown long.

        The actor whose ``context`` it is fails with the journal's disk, since only its next life opens it anew.

        Raises:
            JournalError: it cannot be read, or another process has it.
        """
        self._journal = journal = await Journal[R].open(
            folder, record_type=record_type, segment_bytes=segment_bytes, disk=disk
        )
        self._context = context
        for record in journal.replay():
            self._book.apply(record)
            self._n_records += 1
        if self._n_records > self._too_long:
            await self._shorten()

    async def write(self, record: R) -> None:
        """Make a record durable and take it in; cancelled, it still counts, since the journal may hold it.

        Raises:
            JournalFull: there is no room for it, and it does not count.
            JournalPoisoned: the disk failed.
        """
        assert self._journal is not None, "the ledger is opened before the first message"
        self._n_writing += 1
        appending = asyncio.ensure_future(self._journal.append(record))
        try:
            await asyncio.shield(appending)
        except asyncio.CancelledError:
            # Cancelled once more here, it is on its way for good: nobody knows then whether the journal has it.
            await asyncio.wait([appending])
            if not appending.cancelled() and appending.exception() is None:
                self._take_in(record)
            raise
        except JournalPoisoned as error:
            # Who asked is told as well; told alone, everybody after would be told the same for good.
            self._context.spawn(_fail(error))
            raise
        finally:
            # Whatever came of it, be it no record at all: it is on its way no more.
            self._n_writing -= 1
        self._take_in(record)
        if self._is_too_long():
            self._context.spawn(self._shorten())

    def _is_too_long(self) -> bool:
        # While something is on its way the book and the journal differ, and a checkpoint of one is none of the other.
        return self._n_records > self._too_long and not self._n_writing

    async def _shorten(self) -> None:
        """Write the journal anew if that makes it much shorter; of two who want it at once, one does."""
        if self._journal is None or not self._is_too_long():
            return
        compacted = self._book.compacted()
        self._too_long = max(self._compact_records, SHORTER * len(compacted))
        if self._n_records >= self._too_long:
            await self._write_anew(self._journal, compacted)

    async def rewrite(self) -> None:
        """Write a journal anew that was just opened and holds records of an older form; on a full disk it stays."""
        assert self._journal is not None, "the ledger is opened before it is rewritten"
        await self._write_anew(self._journal, self._book.compacted())

    async def _write_anew(self, journal: Journal[R], compacted: tuple[R, ...]) -> None:
        n_before, self._n_records = self._n_records, len(compacted)
        try:
            await journal.checkpoint(compacted)
        except JournalFull:
            # On a full disk the long journal is as good as a short one.
            self._n_records += n_before
            self._too_long = self._n_records + self._compact_records
        except JournalClosed:
            # The next life shortens it.
            return

    async def write_surely(self, record: R) -> None:
        """Write what nobody can be told to repeat; on a full disk it waits until there is room.

        Raises:
            JournalPoisoned: the disk failed.
        """
        while True:
            try:
                return await self.write(record)
            except JournalFull as full:
                log.warning("a record waits for room on the disk", of=self._name_of(record), reason=str(full))
                await asyncio.sleep(AGAIN_S)

    def statistics(self) -> dict[str, int | float | str]:
        """What the journal beneath has written since it was opened."""
        if self._journal is None:
            return {}
        told = msgspec.to_builtins(self._journal.statistics())
        return {f"journal_{name}": int(value) for name, value in told.items()}

    async def close(self) -> None:
        """Write what was asked for and let the journal go, if it was opened."""
        if self._journal is not None:
            await self._journal.close()

    def _take_in(self, record: R) -> None:
        self._book.apply(record)
        self._n_records += 1
        self.changes.tell(self._name_of(record))


async def _fail(error: JournalPoisoned) -> None:
    raise error
