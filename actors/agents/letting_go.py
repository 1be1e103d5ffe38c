"""How an agent lets go of links: in threads that may be left behind, since a disk may never answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from ...config import get_logger
from ...plates.holding import Hold, StagingFailed, Swept
from ..apart import run_apart
from .served_source import ServedSource

log = get_logger(__name__)


async def release_apart(source: ServedSource, held: Hold) -> None:
    """Let everything of a hold go.

    Raises:
        NotServed: it is none of this agent's.
        StagingFailed: the disk refuses.
    """
    await run_apart(lambda: source.release(held), f"release {held.import_id}")


async def sweep_apart(source: ServedSource, over_ids: Collection[str]) -> Swept:
    """Let go of what is held for these imports, on each disk by itself; see ``sweep``.

    A disk that has not come back from the sweep before is left alone.
    """

    async def swept(home: Path) -> Swept:
        if not source.sweeps.begin(home):
            log.warning("held files of ended imports stay: the disk has not answered yet", staging=str(home))
            return Swept()
        return await run_apart(lambda: source.sweep(home, over_ids), f"sweep {home}")

    try:
        homes = await run_apart(source.homes, "sweep")
    except StagingFailed as error:
        log.warning("held files of ended imports stay", reason=str(error))
        return Swept()
    found = await asyncio.gather(*(swept(home) for home in sorted(homes)))
    return Swept(
        tuple(import_id for one in found for import_id in one.gone),
        tuple(import_id for one in found for import_id in one.kept),
    )
