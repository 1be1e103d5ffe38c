"""The auditor: writes down who asked for what, and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, assert_never

from ...config import get_logger
from ...messages.audit import NoteAsked, NoteEnded
from ...supervisors import Actor
from ...supervisors.journal import DISK, Disk, JournalError, JournalFull
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
        self._stops: list[int] = []
        """The stops of the whole mesh that have begun: who is stopped last knows that they are done."""

    async def started(self) -> None:
        """Replay the journal; where a full disk has no room for one, it is made once there is."""
        try:
            await self._open()
        except JournalFull as full:
            _say("the audit trail is not kept until there is room", full)

    async def stopping(self) -> None:
        """Write that the stop of the mesh is done: everything else has been stopped."""
        for number in self._stops:
            try:
                await self._ledger.write(Ended(number=number, at_unix_s=time.time(), outcome="done"))
            except JournalError as error:
                _say("the audit trail lacks how the stop of the mesh ended", error)

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

    async def _note_asked(self, asked: NoteAsked) -> int:
        await self._open()
        number = self._book.next_number()
        await self._ledger.write(
            Asked(
                number=number,
                at_unix_s=time.time(),
                by=asked.by,
                role=asked.role,
                what=asked.what,
                actor=asked.actor,
            )
        )
        if asked.what == "stop":
            self._stops.append(number)
        return number

    async def _note_ended(self, ended: NoteEnded) -> None:
        await self._open()
        outcome: Literal["done", "failed"] = "failed" if ended.error else "done"
        await self._ledger.write(Ended(number=ended.number, at_unix_s=time.time(), outcome=outcome, error=ended.error))

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


def _say(event: str, error: JournalError) -> None:
    log.error(event, reason=str(error), hint=error.hint)
