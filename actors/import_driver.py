"""The driver of imports: runs each through its phases, and decides after a failure whether it goes on."""

from __future__ import annotations

import asyncio
import time

from ..config import ImportSettings, MeshError
from ..messages.imports import ImportPhase
from ..plates.repository import Repository
from ..supervisors import Context
from ..supervisors.journal import JournalFull
from .import_faults import Blame, blame
from .import_life import ImportLife
from .import_phases import ImportPhases
from .import_records import Failed, Record, Returned, Stumbled
from .inspection import Inspection
from .ledger import Ledger
from .threads import Threads


class ImportDriver:
    """Drives imports, each in a task of its own, which can be stopped and started anew."""

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
    ) -> None:
        """Drive by child tasks of the actor whose ``context`` it is: they fail with it and end with it."""
        self._context = context
        self._repository = repository
        self._threads = threads
        self._ledger = ledger
        self._settings = settings
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._stopped: set[str] = set()
        self._phases = ImportPhases(
            context,
            repository,
            threads,
            ledger,
            inspection,
            settings,
            n_at_once=n_at_once,
            stopped=lambda import_id: import_id in self._stopped or threads.finishing,
        )

    @property
    def n_driving(self) -> int:
        """Imports that are being driven."""
        return len(self._driving)

    def drive(self, life: ImportLife) -> None:
        """Run the import's phases from where it stands, until it has ended or is stopped."""
        self._stopped.discard(life.import_id)
        self._context.spawn(self._drive(life))

    async def stop(self, life: ImportLife) -> None:
        """Let go of an import; returns when no thread works on it any more."""
        self._stopped.add(life.import_id)
        task = self._driving.get(life.import_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._threads.finish(life.import_id)

    async def _drive(self, life: ImportLife) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._driving[life.import_id] = task
        try:
            while (phase := life.next_phase) is not None:
                await self._run_phase(life, phase)
        except asyncio.CancelledError:
            # Stopped by a person the task just ends; anything else that cancels it ends the actor.
            if life.import_id not in self._stopped:
                raise
        finally:
            self._driving.pop(life.import_id, None)

    async def _run_phase(self, life: ImportLife, phase: ImportPhase) -> None:
        try:
            try:
                await self._phases.run(life, phase)
            except JournalFull:
                # No stumble: that would be a record as well.
                raise
            except MeshError as error:
                await self._stumble(life, error)
        except JournalFull as full:
            # Nothing can be written down, so nothing is done: it goes on by itself once there is room.
            self._phases.waits(life, str(full))
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
            await self._ledger.write(Failed(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint))
            return
        if judged is Blame.SOURCE_CHANGED:
            await self._threads.run(lambda: self._repository.discard(life.import_id), group=life.import_id)
            await self._ledger.write(Returned(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint))
            wait_s = self._settings.settle_s
        else:
            wait_s = min(self._settings.first_retry_s * 2**life.attempts, self._settings.longest_retry_s)
            await self._ledger.write(
                Stumbled(import_id=life.import_id, at_unix_s=now, reason=reason, hint=hint, wait_s=wait_s)
            )
        await asyncio.sleep(wait_s)
