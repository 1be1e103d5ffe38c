"""The watch over held sources: what they cost is told, and let go of before the disk is full."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ...config import MeshError, get_logger
from ...plates.holding import HeldSpace, Hold, pressure, sweep
from ..mishaps import faults_as_errors
from .life import ImportLife
from .means import ImportMeans
from .records import Held
from .serving_agents import AgentAway

log = get_logger(__name__)


async def only_copies(means: ImportMeans, life: ImportLife) -> str:
    """Say how many files are held for an import that lie nowhere else, and where; empty if there are none.

    Raises:
        AgentAway, SourceSilent: nobody can say now; a disk that does not answer is not waited for.
    """
    if life.hold is None and life.phase == "held":
        return await means.open_source(life).unwritten_only(life.plan)
    if life.hold is None or not life.hold.staging:
        return ""
    if not life.order.agent:
        staging = life.hold.staging
        await means.looks.run(staging, lambda: os.path.lexists(staging))
    space = await means.open_source(life).held_space(life.hold)
    if not space.n_files_only:
        return ""
    where = f"{life.hold.staging} on {life.order.agent}" if life.order.agent else life.hold.staging
    return f"{space.n_files_only} of its {len(life.hold.files)} files are nowhere any more but in {where}"


class ImportHolds:
    """Looks at every hold now and then."""

    def __init__(self, means: ImportMeans, data: Path) -> None:
        self._means = means
        self._data = data

    async def watch(self) -> None:
        """Look for as long as the proxy lives."""
        while True:
            await self.look()
            await asyncio.sleep(self._means.settings.held_look_s)

    async def look(self) -> None:
        """Count what is held, and let go of what can be read again where the disk has too little left."""
        by_staging: dict[tuple[str, str], list[ImportLife]] = {}
        for life in self._means.book.lives.values():
            if (hold := _hold_of(life)) is not None:
                place = life.order.agent, str(Path(hold.staging).parent)
                by_staging.setdefault(place, []).append(life)
        for (_, staging), lives in by_staging.items():
            try:
                with faults_as_errors(staging=staging):
                    await self._look_at(Path(staging), lives)
            except AgentAway:
                # Its disk is looked at again when it is back, which everybody who waits for it is told.
                continue
            except MeshError as error:
                # A disk that does not answer now may do so at the next look; nothing was let go of.
                log.warning("what is held cannot be looked at", staging=staging, reason=str(error))

    async def sweep_all(self, stagings: Callable[[], Iterable[Path]]) -> None:
        """Take away what was held for imports that are over, wherever this mesh may have held it."""
        try:
            with faults_as_errors():
                found = await self._means.threads.run(stagings)
        except MeshError as error:
            log.warning("held files of ended imports stay", reason=str(error))
            return
        for staging in found:
            await self.sweep(staging)

    async def sweep(self, staging: Path) -> None:
        """Take away what was held for imports that are over, and say what is held for such as nobody knows."""
        over = set(self._means.book.over())
        try:
            # First whether its disk answers: what sweeps later than the others begin would sweep what they hold.
            with faults_as_errors(staging=str(staging)):
                await self._means.looks.run(str(staging), lambda: os.path.lexists(staging))
                swept = await self._means.threads.run(lambda: sweep(staging, over, data=self._data))
        except MeshError as error:
            log.warning("held files of ended imports stay", staging=str(staging), reason=str(error))
            return
        if swept.gone:
            log.info("held files of ended imports were let go of", imports=", ".join(swept.gone))
        if unknown := self._means.book.unknown(swept.kept):
            # A journal that was lost knew them: of what people have deleted since, their links are the only copy.
            log.warning(
                "files are held for imports that nobody knows", staging=str(staging), imports=", ".join(unknown)
            )

    async def _look_at(self, staging: Path, lives: list[ImportLife]) -> None:
        means = self._means
        spaces: dict[str, HeldSpace] = {}
        n_free = 0
        for life in lives:
            # While the disk was asked after another it may have ended, or have been held anew.
            if (hold := _hold_of(life)) is None:
                continue
            source = means.open_source(life)
            space = await source.held_space(hold)
            if _hold_of(life) is not hold:
                continue
            life.n_bytes_held = space.n_bytes
            n_free = n_free if spaces else await source.free_bytes(hold)
            spaces[life.import_id] = space
        if not spaces:
            return
        relief = pressure(list(spaces.values()), n_free, int(means.settings.held_floor_gib * 2**30))
        if relief.message:
            log.warning("the disk of held sources fills", staging=str(staging), reason=relief.message)
        for life in lives:
            # One that is read just now is soon done with; its readers are not to lose their files.
            is_read = life.phase == "transferring" and life.state != "failed"
            if life.import_id in relief.let_go and not is_read and (hold := _hold_of(life)) is not None:
                less = await means.open_source(life).let_go(hold)
                device = life.source_device
                assert device is not None, "what is held lies on a device"
                await means.ledger.write_surely(
                    Held(import_id=life.import_id, at_unix_s=time.time(), hold=less, source_device=device)
                )


def _hold_of(life: ImportLife) -> Hold | None:
    """What is held for an import and costs something; what has failed is held on: there may be no other copy."""
    if life.hold is None or not life.hold.staging or life.state in ("done", "cancelled"):
        return None
    return life.hold
