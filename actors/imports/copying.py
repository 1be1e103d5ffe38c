"""Copying: a source is held, taken over byte for byte, and read again past every cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from ...config import get_logger
from ...messages.imports import DecodedPlane, ImportOrder
from ...plates.local.errors import SourceChanged
from ...plates.omero.import_into import OmeroImport
from ...plates.repository import StoredFile
from ...transport import AskFailed
from ..errors import InspectorKeepsDying
from ..inspection import Inspection
from .deletion_wait import wait_for_deletions
from .life import ImportLife
from .means import ImportMeans
from .places import ImportPlaces
from .progress import ImportProgress
from .rate import BusyTime, TransferRates
from .records import Held, Stored, Verified

log = get_logger(__name__)


def kind_of(order: ImportOrder) -> tuple[str, str]:
    """What imports as fast as this one have in common."""
    return order.mode, order.agent


class ImportCopying:
    """Brings the bytes home; each step may be had again after a crash, and finds what it had done."""

    def __init__(self, means: ImportMeans, inspection: Inspection, places: ImportPlaces) -> None:
        self._means = means
        self._places = places
        self._inspection = inspection
        self.rates = TransferRates()

    async def hold(self, life: ImportLife) -> None:
        """Keep the source's files from vanishing, as well as can be here."""
        means = self._means
        await means.enter(life, "held")
        if life.order.mode == "upload":
            source = means.open_source(life)
            device = await source.device(life.plan)
            hold = await source.hold(life.files, life.plan, lambda reason: means.waits(life, reason))
            await means.ledger.write(
                Held(import_id=life.import_id, at_unix_s=time.time(), hold=hold, source_device=device)
            )
        life.finish_phase()

    async def reconcile(self, life: ImportLife) -> None:
        """Ask the repository what it has of this import, before anything is tried again."""
        means = self._means
        await means.enter(life, "registered")
        standing = await means.threads.run(lambda: means.repository_of(life).reconcile(life.import_id))
        life.n_bytes_done = standing.n_bytes
        life.finish_phase()

    async def transfer(self, life: ImportLife) -> None:
        """Copy and hash; the files that became durable are journalled as they do.

        Raises:
            SourceChanged: another import was deleting files that are to be had in place.
            MeshError: what is wrong with the source, or with the repository.
        """
        means = self._means
        # Its files are written down by now: whoever begins to delete after this look finds them.
        if other := await wait_for_deletions(means, life):
            raise SourceChanged(
                f"{other} was deleting its source, of which this import is to have files in place",
                hint="The import looks at its source once more.",
            )
        async with means.turn(means.copying, life, "copying"):
            await means.enter(life, "transferring")
            loop = asyncio.get_running_loop()
            known = tuple(life.stored.values())
            source = means.open_source(life)
            progress = ImportProgress(
                life,
                means.ledger.changes.tell,
                n_bytes_done=sum(file.size for file in known),
                why_slow=source.why_slow,
            )

            def on_files(files: tuple[StoredFile, ...]) -> None:
                # The thread waits, so that no file counts as stored before the journal says so.
                asyncio.run_coroutine_threadsafe(keep(files), loop).result()

            async def keep(files: tuple[StoredFile, ...]) -> None:
                await source.confirm(files)
                await means.ledger.write(Stored(import_id=life.import_id, at_unix_s=time.time(), files=files))

            def cancelled() -> bool:
                return means.stopped(life.import_id)

            def upload() -> None:
                means.repository_of(life).transfer(
                    life.import_id,
                    source.reader(life.plan, life.hold, cancelled),
                    life.hold.expected if life.hold is not None else life.files,
                    known=known,
                    on_bytes=progress.add,
                    on_files=on_files,
                    cancelled=cancelled,
                )

            def adopt() -> None:
                means.repository_of(life).adopt(
                    life.import_id,
                    Path(life.plan.root),
                    life.files,
                    reader=source.reader(life.plan, None, cancelled),
                    known=known,
                    on_bytes=progress.add,
                    on_files=on_files,
                    cancelled=cancelled,
                )

            work = adopt if life.order.mode == "in-place" else upload
            busy = BusyTime(means.context.now())

            def look(n_bytes: int) -> None:
                busy.look(n_bytes, means.context.now())

            try:
                await progress.follow(means.copying_threads.run(work, group=life.import_id), look)
            finally:
                if work is adopt:
                    # Nothing is held that would be released.
                    self._places.unpaced(Path(life.plan.root), life.import_id)
            busy.end(means.context.now())
            self.rates.took(
                kind_of(life.order),
                n_files=len(life.files) - len(known),
                n_bytes=progress.n_bytes_added,
                busy_s=busy.s,
            )
            life.finish_phase()

    async def verify(self, life: ImportLife) -> None:
        """Read what was stored again, past the page cache, and let the inspector open it."""
        means = self._means
        async with means.turn(means.copying, life, "verifying"):
            await means.enter(life, "verifying")
            files = tuple(life.stored[file.path] for file in life.files)
            progress = ImportProgress(life, means.ledger.changes.tell, why_slow=self._places.why_slow)

            def cancelled() -> bool:
                return means.stopped(life.import_id)

            def on_bytes(n_bytes: int) -> None:
                progress.add(n_bytes)
                self._places.count(n_bytes, cancelled)
                if life.order.mode == "in-place":
                    # The hours may end within a file that is read where it lies.
                    self._places.wait_for_hours(cancelled)

            def on_linked() -> None:
                self._places.wait_for_hours(cancelled)

            def verify() -> None:
                if life.order.mode == "in-place":
                    # It is the source's disk that is read once more.
                    self._places.expect(Path(life.plan.root))
                means.repository_of(life).verify(
                    life.import_id, files, on_bytes=on_bytes, on_linked=on_linked, cancelled=cancelled
                )

            await progress.follow(means.copying_threads.run(verify, group=life.import_id))
            planes = await self._decoded(life)
            await means.ledger.write(Verified(import_id=life.import_id, at_unix_s=time.time(), planes=planes))
            life.finish_phase()

    async def _decoded(self, life: ImportLife) -> tuple[DecodedPlane, ...]:
        """The first and the last plane of every plate: of the copy, where it lies here, else of the source."""
        means = self._means

        def say(reason: str) -> None:
            means.waits(life, reason)

        repository = means.repository_of(life)
        if repository.kind == "local":
            folder = await means.threads.run(lambda: repository.files_folder(life.import_id))
            return await self._inspection.probe(
                life.plan, folder, life.order.path, life.import_id, say, asker=life.owner
            )
        # All of it is home: to have planes opened there, no workstation is waited for that is switched off by now.
        if not life.order.agent:
            try:
                return await means.open_source(life).probe(life.plan, say)
            except AskFailed:
                # It opened when it settled, and is held; under its own name it may be gone by now.
                pass
        return await self._decoded_copies(life, repository, say) if isinstance(repository, OmeroImport) else ()

    async def _decoded_copies(
        self, life: ImportLife, at: OmeroImport, say: Callable[[str], None]
    ) -> tuple[DecodedPlane, ...]:
        """The same planes of the files that the server keeps, where they can be read here."""
        copies = await self._means.threads.run(at.copies)
        if copies is None:
            return ()
        try:
            return await self._inspection.probe_copies(life.plan, *copies, life.import_id, say, life.owner)
        except (AskFailed, InspectorKeepsDying) as error:
            # What is mounted here may not be what the server has; it is proved without that, and says so.
            log.warning("no plane of an import is decoded", import_id=life.import_id, reason=str(error))
            return ()
