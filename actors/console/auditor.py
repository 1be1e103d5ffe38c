"""The auditor: writes down who asked for what, and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

from ...config import get_logger
from ...messages.audit import NoteAsked, NoteEnded
from ...supervisors import Actor
from ...supervisors.journal import DISK, Disk, JournalFull
from ..ledger import Ledger
from .audit_book import Asked, AuditBook, Ended, Record

log = get_logger(__name__)

Inbox = NoteAsked | NoteEnded

KEPT_RECORDS = 10_000
"""Two for each act. The journal is written anew once it holds twice as many."""
SEGMENT_BYTES = 1 << 20
"""Room for some thousand records: what is asked by hand fills no more in months."""


class Auditor(Actor[Inbox]):
    """Keeps the audit trail in its journal, the newest records of it."""

    def __init__(
        self,
        journal_folder: Path,
        *,
        n_kept: int = KEPT_RECORDS,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk = DISK,
    ) -> None:
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._disk = disk
        self._book = AuditBook(n_kept)
        self._ledger: Ledger[Record] = Ledger(self._book, name_of=lambda _: "", compact_records=n_kept)
        self._opening = asyncio.Lock()
        self._is_open = False
        self._on_their_way: dict[str, asyncio.Event] = {}
        """The acts whose first record is being written; nobody may wait for it any more."""

    async def started(self) -> None:
        """Replay the journal; where a full disk has no room for one, it is made once there is."""
        try:
            await self._open()
        except JournalFull as full:
            _say_not_kept(full)

    async def ended(self) -> None:
        """Let the journal go."""
        await self._ledger.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {"records": len(self._book), **self._ledger.statistics()}

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case NoteAsked():
                return self.defer(self._note_asked(message))
            case NoteEnded():
                return self.defer(self._note_ended(message))
            case _:
                assert_never(message)

    async def _note_asked(self, asked: NoteAsked) -> None:
        await self._open()
        if self._book.number_of(asked.key) is not None:
            # An earlier life wrote it and had no time to say so.
            return
        self._on_their_way[asked.key] = written = asyncio.Event()
        try:
            await self._ledger.write(
                Asked(
                    number=self._book.next_number(),
                    at_unix_s=time.time(),
                    key=asked.key,
                    by=asked.by,
                    role=asked.role,
                    what=asked.what,
                    actor=asked.actor,
                )
            )
        finally:
            del self._on_their_way[asked.key]
            written.set()

    async def _note_ended(self, ended: NoteEnded) -> bool:
        await self._open()
        if ended.key in self._on_their_way:
            await self._on_their_way[ended.key].wait()
        number = self._book.number_of(ended.key)
        if number is None:
            return False
        if not self._book.has_ended(number):
            await self._ledger.write(
                Ended(number=number, at_unix_s=time.time(), outcome=ended.outcome, error=ended.error)
            )
        return True

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                await self._ledger.open(
                    self.context,
                    self._folder,
                    record_type=Record,
                    segment_bytes=self._segment_bytes,
                    disk=self._disk,
                )
                self._is_open = True


def _say_not_kept(full: JournalFull) -> None:
    log.error("the audit trail is not kept until there is room", reason=str(full), hint=full.hint)
