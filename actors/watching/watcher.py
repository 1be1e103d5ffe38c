"""The watcher: has what appears in watched folders imported, once, however often the mesh dies over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_never

from ...config import InspectorSettings, get_logger
from ...config.watch_settings import WatchSettings
from ...messages.watches import ListWatches
from ...plates.repository import ImportStore
from ...supervisors import Actor
from ...supervisors.journal import SEGMENT_BYTES
from ..apart import run_apart
from ..errors import MeshFault
from ..inspection import Inspection
from ..inspector_line import InspectorLine
from ..ledger import Ledger
from ..mishaps import faults_as_errors
from .book import WatchBook, WatchedUnit
from .errands import WatchErrands
from .eye import WatchEye
from .pauses import LONGEST_PAUSE_S
from .sight import Sight
from .watched_folder import Instruction, WatchedFolder

log = get_logger(__name__)

Inbox = ListWatches

COMPACT_RECORDS = 5_000


class Watcher(Actor[Inbox]):
    """Looks at every watched folder in a task of its own: a mount that hangs holds up nothing but its own looks."""

    def __init__(
        self,
        watches: tuple[WatchSettings, ...],
        journal_folder: Path,
        repository: ImportStore,
        *,
        data: Path | None = None,
        inspector: InspectorSettings | None = None,
        end_inspector: Callable[[str], None] = lambda why: None,
        inspector_line: InspectorLine | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Watch for a ``repository``, whose own folder is ``data``; see ``ImportProxy`` for the rest."""
        self._journal_folder = journal_folder
        self._repository = repository
        self._data = str(data) if data is not None else ""
        self._inspector = inspector or InspectorSettings()
        self._end_inspector = end_inspector
        self._inspector_line = inspector_line
        self._segment_bytes = segment_bytes
        self._book = WatchBook()
        self._ledger: Ledger[WatchedUnit] = Ledger(
            self._book, name_of=lambda record: record.unit, compact_records=COMPACT_RECORDS
        )
        self._folders = tuple(WatchedFolder(one, self._book.units(one.path)) for one in watches)
        self._errands: dict[str, str] = {}

    async def started(self) -> None:
        """Replay the journal, and begin to look."""
        if not self._folders:
            return
        await self._ledger.open(
            self.context, self._journal_folder, record_type=WatchedUnit, segment_bytes=self._segment_bytes
        )
        inspection = Inspection(self.context, self._end_inspector, self._inspector, self._inspector_line)
        for folder in self._folders:
            errands = WatchErrands(folder, self.context, self._ledger, inspection, self._repository)
            self.context.spawn(self._watch(folder, errands))

    async def ended(self) -> None:
        """Let the journal go; threads that look change nothing, and are not waited for."""
        await self._ledger.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        told = [one.status() for one in self._folders]
        return {
            "watches": len(told),
            "watches_missing": sum(one.state == "missing" for one in told),
            "units": sum(one.n_units for one in told),
            "units_handed_over": sum(one.n_handed_over for one in told),
            "units_waiting": sum(len(one.waiting) for one in told),
            "late_files": sum(one.n_late_files for one in told),
            "looks": sum(one.n_looks for one in self._folders),
            "busy": ", ".join(self._errands.values()),
            **self._ledger.statistics(),
        }

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case ListWatches():
                return tuple(one.status() for one in self._folders)
            case _:
                assert_never(message)

    async def _watch(self, folder: WatchedFolder, errands: WatchErrands) -> None:
        eye = WatchEye(folder.settings, self._data)
        path = folder.settings.path
        missing, pause_s = "", folder.settings.look_s
        while True:
            try:
                with faults_as_errors(folder=path):
                    instructions = await self._look(folder, eye)
            except MeshFault as fault:
                # The others are watched on; the next look at this one begins with what the disk says.
                eye, sight = WatchEye(folder.settings, self._data), Sight(missing=str(fault))
                instructions = folder.see(sight, now_s=self.context.now(), now_unix_s=time.time())
                await errands.tell_fault("", fault)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                pause_s = folder.settings.look_s
            if folder.missing != missing:
                missing = folder.missing
                if missing:
                    log.warning("a watched folder is not there", folder=path, reason=missing)
                else:
                    log.info("a watched folder is there again", folder=path)
            # What takes long, such as a question to the inspector, must not keep it from looking.
            if not missing and path not in self._errands and (instructions or errands.begun()):
                self._errands[path] = folder.settings.label
                self.context.spawn(self._run(path, errands, instructions))
            await asyncio.sleep(folder.settings.look_s)

    async def _look(self, folder: WatchedFolder, eye: WatchEye) -> tuple[Instruction, ...]:
        wish, now_s = folder.wish(), self.context.now()
        sight = await run_apart(lambda: eye.look(wish, now_s), f"look at {folder.settings.path}")
        return folder.see(sight, now_s=self.context.now(), now_unix_s=time.time())

    async def _run(self, path: str, errands: WatchErrands, instructions: tuple[Instruction, ...]) -> None:
        try:
            await errands.run(instructions)
        finally:
            self._errands.pop(path, None)
