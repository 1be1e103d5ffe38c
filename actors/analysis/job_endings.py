"""The endings of wells and jobs: written in the order in which they were decided."""

from __future__ import annotations

import asyncio
import time

from ...config import MeshError, get_logger
from ...messages.frames import JobStateChanged, WellStateChanged
from ...plates.repository import WellResults
from ..ledger import Ledger
from ..mishaps import faults_as_errors
from ..threads import Threads
from . import job_records as records
from .job_book import JobBook
from .job_news import JobNews
from .job_records import Record

log = get_logger(__name__)


class JobEndings:
    """Sets wells aside and closes jobs, one after the other."""

    def __init__(
        self, results: WellResults, threads: Threads, book: JobBook, ledger: Ledger[Record], news: JobNews
    ) -> None:
        """Sweep ``results`` and write to ``ledger``."""
        self._results = results
        self._threads = threads
        self._book = book
        self._ledger = ledger
        self._news = news
        self._ending = asyncio.Lock()

    async def set_aside(self, name: str, well: str, error: str) -> None:
        """A well has failed for the last time."""
        job = self._book.jobs[name]
        async with self._ending:
            await self._ledger.write_surely(records.SetAside(job=name, at_unix_s=time.time(), well=well, error=error))
        if job.state == "cancelled":
            # Meanwhile: its wells are cancelled, and that has been told.
            return
        self._news.tell(
            WellStateChanged(plate_id=job.submitted.plate_id, job=name, well=well, state="failed", error=error)
        )

    async def end(self, name: str) -> None:
        """Leave nothing but the results; in the order of asking, since how it ends depends on what was set aside."""
        job = self._book.jobs[name]
        async with self._ending:
            try:
                with faults_as_errors(job=name):
                    await self._threads.run(lambda: self._results.sweep(name, requester=job.submitted.owner))
            except MeshError as error:
                log.warning("unfinished attempts stay in the repository", job=name, reason=str(error))
            await self._ledger.write_surely(records.Ended(job=name, at_unix_s=time.time()))
        if job.state != "cancelled":
            self._news.tell(
                JobStateChanged(
                    plate_id=job.submitted.plate_id,
                    plate_name=job.submitted.plate_name,
                    job=name,
                    state=job.state,
                )
            )
