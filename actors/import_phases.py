"""The phases of an import: what each of them does to the world, once its record says that it has begun."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..config import ImportSettings, get_logger
from ..messages.imports import ImportPhase, PlanSource
from ..messages.metadata import PlatesStored
from ..plates.local import FolderReader
from ..plates.repository import Repository, StoredFile, StoredFileset
from ..supervisors import Context
from ..transport import TransportError
from .import_life import ImportLife
from .import_progress import ImportProgress
from .import_records import Entered, Finished, Record, Settled, Stored
from .inspection import Inspection
from .ledger import Ledger
from .settling import manifest, scan_source
from .threads import Threads

log = get_logger(__name__)


class ImportPhases:
    """The effects of every phase; each may be had again after a crash, and finds what it had done."""

    def __init__(
        self,
        context: Context,
        repository: Repository,
        threads: Threads,
        ledger: Ledger[Record],
        inspection: Inspection,
        settings: ImportSettings,
        *,
        n_at_once: int,
        stopped: Callable[[str], bool],
    ) -> None:
        """Work on ``repository`` in ``threads``; no more than ``n_at_once`` imports copy at a time.

        ``stopped`` says, of an import, whether its threads are to leave off.
        """
        self._context = context
        self._repository = repository
        self._threads = threads
        self._ledger = ledger
        self._inspection = inspection
        self._settings = settings
        self._copying = asyncio.Semaphore(n_at_once)
        self._stopped = stopped
        self._effects: dict[ImportPhase, Callable[[ImportLife], Awaitable[None]]] = {
            "settling": self._settle,
            "held": self._hold,
            "registered": self._reconcile,
            "transferring": self._transfer,
            "verifying": self._verify,
            "importing": self._import,
            "annotating": self._annotate,
            "done": self._finish,
        }

    async def run(self, life: ImportLife, phase: ImportPhase) -> None:
        """Run one phase.

        Raises:
            MeshError: it did not come to its end; whose fault that is, ``blame`` judges.
        """
        await self._effects[phase](life)

    def waits(self, life: ImportLife, reason: str) -> None:
        """Show people why nothing moves just now."""
        life.waits(reason)
        self._ledger.changes.tell(life.import_id)

    async def _enter(self, life: ImportLife, phase: ImportPhase, note: str = "") -> None:
        await self._ledger.write(Entered(import_id=life.import_id, at_unix_s=time.time(), phase=phase, note=note))

    async def _settle(self, life: ImportLife) -> None:
        """Wait until the source is at rest, then ask the inspector what it is and whether it opens."""

        def say(reason: str) -> None:
            self.waits(life, reason)

        await self._enter(life, "settling")
        source = Path(life.source)
        last = await self._threads.run(lambda: scan_source(source))
        n_same = 1
        while n_same < self._settings.settle_scans:
            self.waits(life, f"watching whether {source.name} is still being written to")
            await asyncio.sleep(self._settings.settle_s)
            scan = await self._threads.run(lambda: scan_source(source))
            n_same = n_same + 1 if scan == last else 1
            if scan != last:
                self.waits(life, scan.changes_since(last))
            last = scan
        question = PlanSource(path=life.source, pattern=life.pattern, name=life.name)
        plan = await self._inspection.plan(question, life.import_id, say)
        await self._inspection.probe(plan, Path(plan.root), life.source, life.import_id, say)
        files = await self._threads.run(lambda: manifest(plan))
        after = await self._threads.run(lambda: scan_source(source))
        if after != last:
            # Written to while it was read: what the inspector saw may be half of it.
            self.waits(life, after.changes_since(last))
            return
        await self._ledger.write(Settled(import_id=life.import_id, at_unix_s=time.time(), plan=plan, files=files))

    async def _hold(self, life: ImportLife) -> None:
        await self._enter(life, "held", "watched only: a change of the source is detected and returns it to settling")
        life.finish_phase()

    async def _reconcile(self, life: ImportLife) -> None:
        await self._enter(life, "registered")
        standing = await self._threads.run(lambda: self._repository.reconcile(life.import_id))
        life.n_bytes_done = standing.n_bytes
        life.finish_phase()

    async def _transfer(self, life: ImportLife) -> None:
        """Copy and hash; the files that became durable are journalled as they do."""
        async with self._copying:
            await self._enter(life, "transferring")
            loop = asyncio.get_running_loop()
            known = tuple(life.stored.values())
            progress = ImportProgress(life, self._ledger.changes.tell, n_bytes_done=sum(file.size for file in known))

            def on_files(files: tuple[StoredFile, ...]) -> None:
                record = Stored(import_id=life.import_id, at_unix_s=time.time(), files=files)
                # The thread waits, so that no file counts as stored before the journal says so.
                asyncio.run_coroutine_threadsafe(self._ledger.write(record), loop).result()

            def transfer() -> None:
                self._repository.transfer(
                    life.import_id,
                    FolderReader(Path(life.plan.root)),
                    life.files,
                    known=known,
                    on_bytes=progress.add,
                    on_files=on_files,
                    cancelled=lambda: self._stopped(life.import_id),
                )

            await progress.follow(self._threads.run(transfer, group=life.import_id))
            life.finish_phase()

    async def _verify(self, life: ImportLife) -> None:
        """Read what was stored again, past the page cache, and let the inspector open it."""
        async with self._copying:
            await self._enter(life, "verifying")
            files = tuple(life.stored[file.path] for file in life.files)
            progress = ImportProgress(life, self._ledger.changes.tell)

            def verify() -> None:
                self._repository.verify(
                    life.import_id,
                    files,
                    on_bytes=progress.add,
                    cancelled=lambda: self._stopped(life.import_id),
                )

            await progress.follow(self._threads.run(verify, group=life.import_id))
            folder = await self._threads.run(lambda: self._repository.files_folder(life.import_id))
            await self._inspection.probe(
                life.plan, folder, life.source, life.import_id, lambda reason: self.waits(life, reason)
            )
            life.finish_phase()

    async def _import(self, life: ImportLife) -> None:
        """Make the plates appear, all at once."""
        await self._enter(life, "importing")
        filesets = tuple(
            StoredFileset(
                planner=fileset.planner,
                files=tuple(life.stored[file.path] for file in fileset.files),
                plates=fileset.plates,
            )
            for fileset in life.plan.filesets
        )
        life.plate_ids = await self._threads.run(
            lambda: self._repository.register(
                life.import_id, filesets, name=life.name, source=life.source, owner=life.owner
            ),
            group=life.import_id,
        )
        life.finish_phase()

    async def _annotate(self, life: ImportLife) -> None:
        await self._enter(life, "annotating")
        standing = await self._threads.run(lambda: self._repository.reconcile(life.import_id))
        life.plate_ids = standing.plate_ids

        def annotate() -> None:
            for plate_id in standing.plate_ids:
                for name, value in (("import", life.import_id), ("source", life.source), ("owner", life.owner)):
                    self._repository.annotate(
                        plate_id,
                        key=f"{life.import_id}/{plate_id}/{name}",
                        namespace="hcs-mesh/import",
                        name=name,
                        value=value,
                        author=life.owner,
                    )

        await self._threads.run(annotate, group=life.import_id)
        life.finish_phase()

    async def _finish(self, life: ImportLife) -> None:
        # Told first: who learns that it is done finds its plates in every list.
        stored = PlatesStored(plate_ids=life.plate_ids)
        for listener in ("metadata", "publisher"):
            try:
                self._context.find(listener).tell(stored)
            except TransportError as error:
                # The import is done whoever hears of it; what they miss they find in the repository.
                log.warning("nobody took note of new plates", listener=listener, reason=str(error))
        await self._ledger.write(Finished(import_id=life.import_id, at_unix_s=time.time(), plate_ids=life.plate_ids))
