"""The import proxy: takes a folder over from a person, who may leave, and brings it home through any crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_never
from weakref import WeakValueDictionary

from ...config import ImportSettings, InspectorSettings
from ...messages.imports import (
    AwaitImport,
    CancelImport,
    ForgetImport,
    GetImport,
    ImportStatus,
    ListImports,
    PreviewImport,
    RetryImport,
    SubmitImport,
)
from ...plates.repository import ImportStore
from ...supervisors import Actor
from ...supervisors.journal import SEGMENT_BYTES
from ...transport import Principal
from ..forgetting import keep_forgetting
from ..inspection import Inspection
from ..inspector_line import InspectorLine
from ..ledger import Ledger
from ..retention import Retention
from ..threads import Threads
from .agent_source import AgentSource
from .book import ImportBook
from .decisions import ImportDecisions
from .driver import ImportDriver
from .ending import NoKey, Prover
from .holds import ImportHolds
from .intake import ImportIntake
from .life import ImportLife
from .local_source import LocalSource
from .means import ImportMeans
from .news import ImportNews
from .outline import outline_of
from .phases import ImportPhases
from .places import ImportPlaces
from .records import Forgotten, Record
from .source import ImportSource

Inbox = SubmitImport | PreviewImport | GetImport | AwaitImport | ListImports | RetryImport | CancelImport | ForgetImport

COMPACT_RECORDS = 2_000

MAX_LEFT = 64
"""Threads that cancelled imports may leave at disks that hang; turns alone bound those of the others."""

MAX_TOLD = 3
"""Imports that are named as what the proxy is at."""


class ImportProxy(Actor[Inbox]):
    """Answers for every import, and has each driven on after any death from where its journal says it stood."""

    def __init__(
        self,
        repository: ImportStore,
        journal_folder: Path,
        settings: ImportSettings,
        *,
        inspector: InspectorSettings | None = None,
        end_inspector: Callable[[str], None] = lambda why: None,
        inspector_line: InspectorLine | None = None,
        prover: Prover | None = None,
        places: ImportPlaces | None = None,
        is_private: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Import into ``repository``.

        ``end_inspector`` is called when a question takes longer than it may; ``prover`` certifies.
        With ``is_private`` people are told of their own imports alone.
        Who else asks the same inspector stands in the same ``inspector_line``.
        """
        self._repository = repository
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._settings = settings
        self._inspector = inspector or InspectorSettings()
        self._end_inspector = end_inspector
        self._inspector_line = inspector_line
        self._prover = prover or NoKey()
        self._places = places or ImportPlaces(journal_folder, settings)
        # Apart, so that sources which hang keep nobody from handing over, or from what the repository can answer.
        self._threads = Threads("import")
        self._copying = Threads("copy", n_threads=settings.copying_at_once + MAX_LEFT)
        self._is_private = is_private
        self._looks = self._places.looks()
        self._book = ImportBook()
        # A lock is there as long as somebody is at it.
        self._submitting: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._ledger: Ledger[Record] = Ledger(
            self._book, name_of=lambda record: record.import_id, compact_records=COMPACT_RECORDS
        )

    async def started(self) -> None:
        """Replay the journal and take up again what was not finished."""
        await self._ledger.open(self.context, self._folder, record_type=Record, segment_bytes=self._segment_bytes)
        self._places.agents.imports = self._book
        self._book.begin_behind(await self._threads.run(self._repository.import_ids))
        # Of a repository that tells of no imports the certificates do.
        self._book.begin_behind(await self._threads.run(self._prover.import_ids))
        self._inspection = Inspection(self.context, self._end_inspector, self._inspector, self._inspector_line)
        means = ImportMeans(
            context=self.context,
            repository=self._repository,
            threads=self._threads,
            copying_threads=self._copying,
            looks=self._looks,
            book=self._book,
            ledger=self._ledger,
            settings=self._settings,
            open_source=self._source,
            stopped=lambda import_id: self._driver.has_stopped(import_id) or self._copying.finishing,
        )
        news = ImportNews(means)
        phases = ImportPhases(means, self._inspection, self._prover, self._places)
        self._driver = ImportDriver(means, phases, news)
        self._decisions = ImportDecisions(means, self._driver, is_private=self._is_private)
        self._intake = ImportIntake(means, places=self._places, rates=phases.rates)
        for life in list(self._book.lives.values()):
            if life.next_phase is not None:
                self._driver.drive(life)
            elif life.state == "cancelled":
                self.context.spawn(self._decisions.clear_up(life))
        for import_id in self._book.untold():
            news.tell(import_id)
        holds = ImportHolds(means, self._places.data)
        await holds.sweep_all(self._places.stagings)
        self.context.spawn(holds.watch())
        settings = self._settings
        retention = Retention(settings.keep_days, settings.keep_ended, settings.keep_keys_days)
        self.context.spawn(keep_forgetting(self._book, self._ledger, retention, _forgotten))

    async def ended(self) -> None:
        """Wait for the threads at work: two lives must not write one file."""
        self._places.agents.imports = None
        await self._copying.finish()
        await self._looks.close()
        await self._threads.finish()
        await self._ledger.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        lives = self._book.lives.values()
        at_work = [f"{one.import_id} {one.phase}" for one in lives if one.state == "running"]
        return {
            "imports_open": len(self._book.lives),
            "imports_driving": self._driver.n_driving,
            "bytes_held": sum(one.n_bytes_held for one in lives),
            "busy": ", ".join(at_work[:MAX_TOLD]) + (", ..." if len(at_work) > MAX_TOLD else ""),
            **self._book.statistics(),
            **self._ledger.statistics(),
        }

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        asker = self.context.principal
        match message:
            case SubmitImport():
                return self.defer(self._submit(message, asker))
            case PreviewImport(order=order, on_behalf_of=on_behalf_of):
                return self.defer(self._intake.preview(order, on_behalf_of, asker))
            case GetImport(import_id=import_id):
                return self._decisions.status(import_id, asker)
            case AwaitImport():
                return self.defer_wait(self._await(message, asker))
            case ListImports(limit=limit, before=before, state=state):
                return self._book.listed(
                    limit=limit, before=before, state=state, shown=lambda one: self._decisions.is_shown(one, asker)
                )
            case RetryImport(import_id=import_id):
                return self.defer(self._decisions.retry(import_id, asker))
            case CancelImport(import_id=import_id, discard_held=discard):
                return self.defer(self._decisions.cancel(import_id, asker, discard_held=discard))
            case ForgetImport(import_id=import_id, discard_held=discard):
                return self.defer(self._decisions.forget(import_id, asker, discard_held=discard))
            case _:
                assert_never(message)

    async def _submit(self, message: SubmitImport, asker: Principal) -> str:
        # Two orders under one key may differ: the second is held against what has become of the first.
        async with self._submitting.setdefault((asker.name, message.key), asyncio.Lock()):
            known = self._intake.known(message, asker)
            if known is not None:
                return known
            life = await self._intake.accept(message.order, message.key, message.on_behalf_of, asker)
            self._driver.drive(life)
            return life.import_id

    async def _await(self, message: AwaitImport, asker: Principal) -> ImportStatus:
        status = self._decisions.status(message.import_id, asker)
        if status.revision != message.revision:
            return status
        await self._ledger.changes.wait(message.import_id, message.wait_s)
        return self._decisions.status(message.import_id, asker)

    def _source(self, life: ImportLife) -> ImportSource:
        if life.order.agent:
            return AgentSource(
                life,
                agents=self._places.agents,
                loop=asyncio.get_running_loop(),
                repository=self._repository.for_import(outline_of(life)),
                places=self._places,
                algorithm=self._settings.checksum,
            )
        return LocalSource(
            life, threads=self._looks.at(life.order.path), inspection=self._inspection, places=self._places
        )


def _forgotten(import_id: str, now_unix_s: float) -> Record:
    return Forgotten(import_id=import_id, at_unix_s=now_unix_s, by="its age")
