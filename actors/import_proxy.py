"""The import proxy: takes a folder over from a person, who may leave, and brings it home through any crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_never

from ..config import ImportSettings, InspectorSettings, MeshError, get_logger
from ..messages.imports import (
    AwaitImport,
    CancelImport,
    GetImport,
    ImportStatus,
    ListImports,
    RetryImport,
    SubmitImport,
)
from ..plates.repository import Repository
from ..supervisors import Actor
from ..supervisors.journal import SEGMENT_BYTES
from .errors import ImportEnded, ImportNotFound
from .import_driver import ImportDriver
from .import_life import REOPENABLE, ImportBook, ImportLife
from .import_records import Accepted, Cancelled, Record, Retried
from .inspection import Inspection
from .ledger import Ledger
from .settling import check_source
from .threads import Threads

log = get_logger(__name__)

Inbox = SubmitImport | GetImport | AwaitImport | ListImports | RetryImport | CancelImport

COMPACT_RECORDS = 2_000

MAX_TOLD = 3
"""Imports that are named as what the proxy is at."""


class ImportProxy(Actor[Inbox]):
    """Answers for every import, and has each driven on after any death from where its journal says it stood."""

    def __init__(
        self,
        repository: Repository,
        journal_folder: Path,
        settings: ImportSettings,
        *,
        inspector: InspectorSettings | None = None,
        end_inspector: Callable[[str], None] = lambda why: None,
        n_at_once: int = 2,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Import into ``repository``; ``end_inspector`` is called when a question takes longer than it may."""
        self._repository = repository
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._settings = settings
        self._inspector = inspector or InspectorSettings()
        self._end_inspector = end_inspector
        self._n_at_once = n_at_once
        self._threads = Threads("import")
        self._book = ImportBook()
        self._ledger: Ledger[Record] = Ledger(
            self._book, name_of=lambda record: record.import_id, compact_records=COMPACT_RECORDS
        )
        self._deciding: dict[str, asyncio.Lock] = {}

    async def started(self) -> None:
        """Replay the journal and take up again what was not finished."""
        await self._ledger.open(self.context, self._folder, record_type=Record, segment_bytes=self._segment_bytes)
        self._driver = ImportDriver(
            self.context,
            self._repository,
            self._threads,
            self._ledger,
            Inspection(self.context, self._end_inspector, self._inspector),
            self._settings,
            n_at_once=self._n_at_once,
        )
        for life in list(self._book.lives.values()):
            if life.next_phase is not None:
                self._driver.drive(life)
            elif life.state == "cancelled":
                self.context.spawn(self._remove(life))

    async def ended(self) -> None:
        """Wait for the threads at work: two lives must not write one file."""
        await self._threads.finish()
        await self._ledger.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        at_work = [f"{one.import_id} {one.phase}" for one in self._book.lives.values() if one.state == "running"]
        return {
            "imports_open": len(self._book.lives),
            "imports_driving": self._driver.n_driving,
            "busy": ", ".join(at_work[:MAX_TOLD]) + (", ..." if len(at_work) > MAX_TOLD else ""),
            **self._ledger.statistics(),
        }

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case SubmitImport():
                owner = self.context.principal.name
                return self.defer_once(("submit", message.key), lambda: self._submit(message, owner))
            case GetImport(import_id=import_id):
                return self._status(import_id)
            case AwaitImport():
                return self.defer(self._await(message))
            case ListImports():
                return tuple(one.status(with_history=False) for one in self._book)
            case RetryImport(import_id=import_id):
                return self.defer(self._retry(import_id, self.context.principal.name))
            case CancelImport(import_id=import_id):
                return self.defer(self._cancel(import_id, self.context.principal.name))
            case _:
                assert_never(message)

    async def _submit(self, message: SubmitImport, owner: str) -> str:
        known = self._book.by_key(message.key)
        if known is not None:
            return known
        await self._threads.run(lambda: check_source(message.path))
        import_id = self._book.new_id()
        await self._ledger.write(
            Accepted(
                import_id=import_id,
                at_unix_s=time.time(),
                key=message.key,
                source=message.path,
                name=message.name,
                pattern=message.pattern,
                owner=owner,
            )
        )
        self._driver.drive(self._book.lives[import_id])
        return import_id

    def _status(self, import_id: str) -> ImportStatus:
        found = self._book.find(import_id)
        if found is None:
            raise ImportNotFound(f"there is no import {import_id}", hint="hcs-mesh imports lists them")
        return found.status()

    async def _await(self, message: AwaitImport) -> ImportStatus:
        status = self._status(message.import_id)
        if status.revision != message.revision:
            return status
        await self._ledger.changes.wait(message.import_id, message.wait_s)
        return self._status(message.import_id)

    async def _retry(self, import_id: str, by: str) -> ImportStatus:
        async with self._decision(import_id):
            status = self._status(import_id)
            life = self._book.lives.get(import_id)
            if life is None or status.state not in REOPENABLE:
                raise ImportEnded(
                    f"import {import_id} is {status.state}: there is nothing to retry",
                    hint="only a failed, cancelled or waiting import can be retried",
                )
            await self._driver.stop(life)
            try:
                await self._ledger.write(Retried(import_id=import_id, at_unix_s=time.time(), by=by))
            finally:
                self._driver.drive(life)
            return life.status()

    async def _cancel(self, import_id: str, by: str) -> ImportStatus:
        async with self._decision(import_id):
            status = self._status(import_id)
            life = self._book.lives.get(import_id)
            if life is None or status.state in ("done", "cancelled"):
                over = "is cancelled already" if status.state == "cancelled" else "is done: nothing is left to cancel"
                raise ImportEnded(
                    f"import {import_id} {over}",
                    hint=f"hcs-mesh imports {import_id} shows its history",
                )
            await self._driver.stop(life)
            try:
                standing = await self._threads.run(lambda: self._repository.reconcile(import_id))
                if standing.registered:
                    raise ImportEnded(
                        f"the plates of import {import_id} are in the repository already",
                        hint=f"hcs-mesh imports {import_id} shows which",
                    )
                await self._ledger.write(Cancelled(import_id=import_id, at_unix_s=time.time(), by=by))
            except MeshError:
                self._driver.drive(life)
                raise
            await self._remove(life)
            return life.status()

    def _decision(self, import_id: str) -> asyncio.Lock:
        """People decide about an import one after the other: two retries must not drive it twice."""
        return self._deciding.setdefault(import_id, asyncio.Lock())

    async def _remove(self, life: ImportLife) -> None:
        """Take away what a cancelled import had stored; what cannot be removed now is at the next start."""
        try:
            await self._threads.run(lambda: self._repository.discard(life.import_id), group=life.import_id)
        except MeshError as error:
            log.warning("files of a cancelled import stay", import_id=life.import_id, reason=str(error))
