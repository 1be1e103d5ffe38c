"""The import proxy: takes a folder over from a person, who may leave, and brings it home through any crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, assert_never

from ..config import ImportSettings, MeshError, get_logger
from ..messages.imports import (
    AwaitImport,
    CancelImport,
    GetImport,
    ImportStatus,
    ListImports,
    PlanSource,
    ProbePlane,
    ProbePlanes,
    RetryImport,
    SubmitImport,
)
from ..messages.metadata import PlatesStored
from ..plates.model import Image
from ..plates.planners import Plan
from ..plates.repository import Repository, StoredFile, StoredFileset
from ..supervisors import Actor
from ..supervisors.journal import SEGMENT_BYTES, Journal, JournalFull
from ..transport import ActorUnknown, AskTimedOut, PeerGone, TransportError
from .errors import ImportEnded, ImportNotFound, InspectorKeepsDying, NoSuchSource
from .import_faults import Blame, blame
from .import_life import REOPENABLE, ImportBook, ImportLife
from .import_records import (
    Accepted,
    Cancelled,
    Entered,
    Failed,
    Finished,
    Record,
    Retried,
    Returned,
    Settled,
    Stored,
    Stumbled,
)
from .settling import manifest, scan_source
from .threads import Threads

T = TypeVar("T")

log = get_logger(__name__)

Inbox = SubmitImport | GetImport | AwaitImport | ListImports | RetryImport | CancelImport

COMPACT_RECORDS = 2_000
PROGRESS_S = 0.2
INSPECTOR_DEATHS = 3
INSPECTOR_LOOK_S = 0.1


class ImportProxy(Actor[Inbox]):
    """Runs every import through its phases, each journalled before its effect, and resumes after any death."""

    def __init__(
        self,
        repository: Repository,
        journal_folder: Path,
        settings: ImportSettings,
        *,
        inspection_s: float = 120.0,
        end_inspector: Callable[[str], None] = lambda why: None,
        n_at_once: int = 2,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Import into ``repository``; ``end_inspector`` is called when a question takes longer than it may."""
        self._repository = repository
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._settings = settings
        self._inspection_s = inspection_s
        self._end_inspector = end_inspector
        self._threads = Threads("import")
        self._book = ImportBook()
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._deciding: dict[str, asyncio.Lock] = {}
        self._cancelled: set[str] = set()
        self._changed: dict[str, list[asyncio.Future[None]]] = {}
        self._copying = asyncio.Semaphore(n_at_once)
        self._journal: Journal[Record] | None = None

    async def started(self) -> None:
        """Replay the journal and take up again what was not finished."""
        journal: Journal[Record] = await Journal.open(
            self._folder, record_type=Record, segment_bytes=self._segment_bytes
        )
        self._journal = journal
        n_records = 0
        for record in journal.replay():
            self._book.apply(record)
            n_records += 1
        if n_records > COMPACT_RECORDS:
            # On a full disk the long journal is as good as a short one.
            with suppress(JournalFull):
                await journal.checkpoint(self._book.compacted())
        for life in list(self._book.lives.values()):
            if life.next_phase is not None:
                self._drive(life)
            elif life.state == "cancelled":
                self.context.spawn(self._remove(life))

    async def ended(self) -> None:
        """Wait for the threads at work: two lives must not write one file."""
        for task in self._driving.values():
            task.cancel()
        await self._threads.finish()
        if self._journal is not None:
            await self._journal.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {"imports_open": len(self._book.lives), "imports_driving": len(self._driving)}

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

    # -- what people ask --------------------------------------------------------------------------

    async def _submit(self, message: SubmitImport, owner: str) -> str:
        known = self._book.by_key(message.key)
        if known is not None:
            return known
        if not await self._threads.run(Path(message.path).exists):
            raise NoSuchSource(
                f"there is nothing at {message.path}", hint="give the path of a folder or image file on this host"
            )
        import_id = self._book.new_id()
        await self._write(
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
        self._drive(self._book.lives[import_id])
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
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._changed.setdefault(message.import_id, [])
        waiting.append(changed)
        await asyncio.wait([changed], timeout=message.wait_s)
        if not changed.done():
            waiting.remove(changed)
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
            await self._stop_driving(life)
            try:
                await self._write(Retried(import_id=import_id, at_unix_s=time.time(), by=by))
            finally:
                self._go_on(life)
            return life.status()

    async def _cancel(self, import_id: str, by: str) -> ImportStatus:
        async with self._decision(import_id):
            status = self._status(import_id)
            life = self._book.lives.get(import_id)
            if life is None or status.state in ("done", "cancelled"):
                raise ImportEnded(
                    f"import {import_id} is {status.state} and cannot be cancelled",
                    hint=f"hcs-mesh imports {import_id} shows its history",
                )
            await self._stop_driving(life)
            try:
                standing = await self._threads.run(lambda: self._repository.reconcile(import_id))
                if standing.registered:
                    raise ImportEnded(
                        f"the plates of import {import_id} are in the repository already",
                        hint=f"hcs-mesh imports {import_id} shows which",
                    )
                await self._write(Cancelled(import_id=import_id, at_unix_s=time.time(), by=by))
            except MeshError:
                self._go_on(life)
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

    async def _stop_driving(self, life: ImportLife) -> None:
        self._cancelled.add(life.import_id)
        task = self._driving.get(life.import_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._threads.finish(life.import_id)

    def _go_on(self, life: ImportLife) -> None:
        self._cancelled.discard(life.import_id)
        self._drive(life)

    # -- driving an import ------------------------------------------------------------------------

    def _drive(self, life: ImportLife) -> None:
        """Run the import's phases in a task of their own, watched by this actor."""

        async def drive() -> None:
            task = asyncio.current_task()
            assert task is not None
            self._driving[life.import_id] = task
            try:
                while (phase := life.next_phase) is not None:
                    await self._run_phase(life, phase)
            except asyncio.CancelledError:
                if life.import_id not in self._cancelled:
                    raise
            finally:
                self._driving.pop(life.import_id, None)

        self.context.spawn(drive())

    async def _run_phase(self, life: ImportLife, phase: str) -> None:
        effects = {
            "settling": self._settle,
            "held": self._hold,
            "registered": self._reconcile,
            "transferring": self._transfer,
            "verifying": self._verify,
            "importing": self._import,
            "annotating": self._annotate,
            "done": self._finish,
        }
        try:
            try:
                await effects[phase](life)
            except JournalFull:
                raise
            except MeshError as error:
                await self._stumble(life, error)
        except JournalFull as full:
            # Nothing can be written down, so nothing is done: it goes on by itself once there is room.
            self._waits(life, str(full))
            await asyncio.sleep(self._settings.first_retry_s)

    async def _stumble(self, life: ImportLife, error: MeshError) -> None:
        now = time.time()
        reason, hint = str(error), error.hint
        judged = blame(error)
        n_tries = 1 + (life.n_returns if judged is Blame.SOURCE_CHANGED else life.attempts)
        if judged is not Blame.PERMANENT and n_tries >= self._settings.max_attempts:
            judged = Blame.PERMANENT
            reason = f"{reason} (given up after {n_tries} attempts)"
        if judged is Blame.PERMANENT:
            await self._write(Failed(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint))
            return
        if judged is Blame.SOURCE_CHANGED:
            await self._threads.run(lambda: self._repository.discard(life.import_id), group=life.import_id)
            await self._write(Returned(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint))
            wait_s = self._settings.settle_s
        else:
            wait_s = min(self._settings.first_retry_s * 2**life.attempts, self._settings.longest_retry_s)
            await self._write(
                Stumbled(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint, wait_s=wait_s)
            )
        await asyncio.sleep(wait_s)

    async def _enter(self, life: ImportLife, phase: Any, note: str = "") -> None:
        await self._write(Entered(import_id=life.import_id, at_unix_s=time.time(), phase=phase, note=note))

    async def _settle(self, life: ImportLife) -> None:
        """Wait until the source is at rest, then ask the inspector what it is and whether it opens."""
        await self._enter(life, "settling")
        source = Path(life.source)
        last = await self._threads.run(lambda: scan_source(source))
        n_same = 1
        while n_same < self._settings.settle_scans:
            self._waits(life, f"watching whether {source.name} is still being written to")
            await asyncio.sleep(self._settings.settle_s)
            scan = await self._threads.run(lambda: scan_source(source))
            n_same = n_same + 1 if scan == last else 1
            if scan != last:
                self._waits(life, scan.changes_since(last))
            last = scan
        plan = await self._inspect(life, PlanSource(path=life.source, pattern=life.pattern, name=life.name))
        await self._inspect(life, ProbePlanes(planes=_first_and_last(plan, Path(plan.root))))
        files = await self._threads.run(lambda: manifest(plan))
        after = await self._threads.run(lambda: scan_source(source))
        if after != last:
            # Written to while it was read: what the inspector saw may be half of it.
            self._waits(life, after.changes_since(last))
            return
        await self._write(Settled(import_id=life.import_id, at_unix_s=time.time(), plan=plan, files=files))

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
            counter = [sum(file.size for file in known)]

            def on_bytes(n_bytes: int) -> None:
                counter[0] += n_bytes

            def on_files(files: tuple[StoredFile, ...]) -> None:
                record = Stored(import_id=life.import_id, at_unix_s=time.time(), files=files)
                # The thread waits, so that no file counts as stored before the journal says so.
                asyncio.run_coroutine_threadsafe(self._write(record), loop).result()

            await self._with_progress(
                life,
                counter,
                lambda: self._repository.transfer(
                    life.import_id,
                    Path(life.plan.root),
                    life.files,
                    known=known,
                    on_bytes=on_bytes,
                    on_files=on_files,
                    cancelled=lambda: self._gave_up(life),
                ),
            )
            life.finish_phase()

    async def _verify(self, life: ImportLife) -> None:
        """Read what was stored again, past the page cache, and let the inspector open it."""
        async with self._copying:
            await self._enter(life, "verifying")
            files = tuple(life.stored[file.path] for file in life.files)
            counter = [0]

            def on_bytes(n_bytes: int) -> None:
                counter[0] += n_bytes

            await self._with_progress(
                life,
                counter,
                lambda: self._repository.verify(
                    life.import_id, files, on_bytes=on_bytes, cancelled=lambda: self._gave_up(life)
                ),
            )
            folder = await self._threads.run(lambda: self._repository.files_folder(life.import_id))
            await self._inspect(life, ProbePlanes(planes=_first_and_last(life.plan, folder)))
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
                self.context.find(listener).tell(stored)
            except TransportError as error:
                # The import is done whoever hears of it; what they miss they find in the repository.
                log.warning("nobody took note of new plates", listener=listener, reason=str(error))
        await self._write(Finished(import_id=life.import_id, at_unix_s=time.time(), plate_ids=life.plate_ids))

    # -- shared steps -----------------------------------------------------------------------------

    async def _inspect(self, life: ImportLife, question: PlanSource | ProbePlanes) -> Any:
        """Ask the inspector; a question that ends it three times is the source's fault."""
        deaths = 0
        until = self.context.now() + self._inspection_s
        while True:
            try:
                return await self.context.find("inspector").ask(question, timeout_s=self._inspection_s)
            except AskTimedOut as error:
                self._end_inspector(f"{type(question).__name__} for {life.import_id} took too long")
                raise InspectorKeepsDying(
                    f"reading {life.source} took longer than {self._inspection_s:g} s and was stopped",
                    hint="a file in it may be damaged; raise inspector.time_limit_s if it is just large",
                ) from error
            except PeerGone as error:
                deaths += 1
                if deaths >= INSPECTOR_DEATHS:
                    raise InspectorKeepsDying(
                        f"reading {life.source} ended the reading process {deaths} times",
                        hint="a file in it is probably damaged; raise inspector.memory_mib if it is just large",
                    ) from error
            except ActorUnknown:
                # Between two lives it has no name here, and nobody knows yet when the next one begins.
                if self.context.now() >= until:
                    raise
            self._waits(life, "waiting for the inspector to come back")
            await asyncio.sleep(INSPECTOR_LOOK_S)

    async def _with_progress(self, life: ImportLife, counter: list[int], work: Callable[[], T]) -> T:
        running = asyncio.ensure_future(self._threads.run(work, group=life.import_id))
        try:
            while not running.done():
                await asyncio.wait([running], timeout=PROGRESS_S)
                if counter[0] != life.n_bytes_done:
                    life.n_bytes_done = min(counter[0], life.plan.n_bytes)
                    life.revision += 1
                    self._tell_changed(life.import_id)
            return running.result()
        finally:
            running.cancel()

    def _gave_up(self, life: ImportLife) -> bool:
        return life.import_id in self._cancelled or self._threads.finishing

    def _waits(self, life: ImportLife, reason: str) -> None:
        life.waits(reason)
        self._tell_changed(life.import_id)

    async def _write(self, record: Record) -> None:
        """Make a record durable and take it in; cancelled, it still counts, since the journal may hold it."""
        assert self._journal is not None, "the journal is opened in started()"
        appending = asyncio.ensure_future(self._journal.append(record))
        try:
            await asyncio.shield(appending)
        except asyncio.CancelledError:
            await asyncio.wait([appending])
            if not appending.cancelled() and appending.exception() is None:
                self._book.apply(record)
            raise
        self._book.apply(record)
        self._tell_changed(record.import_id)

    def _tell_changed(self, import_id: str) -> None:
        for waiting in self._changed.pop(import_id, ()):
            if not waiting.done():
                waiting.set_result(None)


def _first_and_last(plan: Plan, folder: Path) -> tuple[ProbePlane, ...]:
    """The first and the last plane of every plate, lying under ``folder``."""
    probes: list[ProbePlane] = []
    for plate in plan.plates:
        ends: list[Image] = [plate.image(0)]
        if plate.n_images > 1:
            ends.append(plate.image(plate.n_images - 1))
        probes.extend(
            ProbePlane(
                root=str(folder),
                file=image.file,
                page=image.page,
                height=image.height,
                width=image.width,
                dtype=image.dtype,
            )
            for image in ends
        )
    return tuple(probes)
