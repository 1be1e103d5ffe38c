"""What the phases of imports work with; one of these for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from ...config import ImportSettings
from ...messages.imports import ImportPhase
from ...plates.repository import ImportRepository, ImportStore
from ...supervisors import Context
from ..errors import ImportedAlready
from ..ledger import Ledger
from ..threads import Threads
from .book import ImportBook
from .life import ImportLife
from .looks import SourceLooks
from .outline import outline_of
from .records import Entered, Record
from .source import ImportSource
from .turn_taking import turn
from .turns import Turns


@dataclass(kw_only=True)
class ImportMeans:
    """The world as the phases see it: disk, journal, other actors, and what people decided.

    ``threads`` work at the repository alone; at sources, ``looks`` and ``copying_threads`` do, of which any may hang.
    ``stopped`` says, of an import, whether its threads are to leave off.
    """

    context: Context
    repository: ImportStore
    threads: Threads
    copying_threads: Threads
    looks: SourceLooks
    book: ImportBook
    ledger: Ledger[Record]
    settings: ImportSettings
    open_source: Callable[[ImportLife], ImportSource]
    stopped: Callable[[str], bool]
    looking: Turns = field(init=False)
    copying: Turns = field(init=False)
    one_of_twins: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    """Held from ``refuse_twin`` until the record is written that the next look finds."""

    def __post_init__(self) -> None:
        self.looking = Turns(self.settings.settling_at_once)
        self.copying = Turns(self.settings.copying_at_once)

    def repository_of(self, life: ImportLife) -> ImportRepository:
        """The repository as an import is to use it: in its owner's name."""
        return self.repository.for_import(outline_of(life))

    async def enter(self, life: ImportLife, phase: ImportPhase, note: str = "") -> None:
        """Write down that a phase begins, before it has any effect."""
        await self.ledger.write(Entered(import_id=life.import_id, at_unix_s=time.time(), phase=phase, note=note))

    def refuse_twin(self, life: ImportLife, digest: str) -> None:
        """Promise that no other import has these files, or is about to have them.

        Raises:
            ImportedAlready: one has, and this order is not forced.
        """
        same = None if life.order.forced else self.book.same_as(digest, but=life.import_id)
        if same is not None:
            twin = self.book.lives.get(same)
            if twin is not None and twin.state == "failed":
                hint = f"hcs-mesh imports retry {same} ends it: its plates may be there; --force imports them once more"
            else:
                hint = f"hcs-mesh imports {same} shows where they are; --force imports them once more"
            raise ImportedAlready(
                f"{life.order.path} holds the files of {same}, by their names, sizes and times", hint=hint
            )

    async def finish(self, import_id: str) -> None:
        """Wait for all that is at work for an import; what only looks at its source is left behind."""
        for each in (self.threads, self.copying_threads, self.looks):
            await each.finish(import_id)

    async def finished(self, import_id: str, *, within_s: float) -> bool:
        """Wait for what works for an import at the repository, and for ``within_s`` for the rest; whether it ended.

        A disk may never answer; the repository's own is waited for, since nothing can be said of the import before.
        """
        await self.threads.finish(import_id)
        finishing = asyncio.create_task(self.finish(import_id))
        done, _ = await asyncio.wait({finishing}, timeout=within_s)
        if not done:
            finishing.cancel()
        return bool(done)

    def waits(self, life: ImportLife, reason: str) -> None:
        """Show people why nothing moves just now."""
        life.waits(reason)
        self.ledger.changes.tell(life.import_id)

    def turn(self, turns: Turns, life: ImportLife, of: str) -> AbstractAsyncContextManager[None]:
        """A place at work, which is waited for; people see how many wait with it."""
        return turn(
            turns,
            life.order.priority,
            lambda n: self.waits(life, f"waiting for its turn at {of}: {n} import{'s' if n > 1 else ''} in the queue"),
        )
