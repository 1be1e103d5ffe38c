"""The phases of an import: what each of them does to the world, once its record says that it has begun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...messages.imports import ImportPhase
from ..inspection import Inspection
from .copying import ImportCopying
from .ending import ImportEnding, Prover
from .life import ImportLife
from .means import ImportMeans
from .places import ImportPlaces
from .settling import ImportSettling


class ImportPhases:
    """The effects of every phase; each may be had again after a crash, and finds what it had done."""

    def __init__(self, means: ImportMeans, inspection: Inspection, prover: Prover, places: ImportPlaces) -> None:
        copying = ImportCopying(means, inspection, places)
        ending = ImportEnding(means, prover)
        self.rates = copying.rates
        self._effects: dict[ImportPhase, Callable[[ImportLife], Awaitable[None]]] = {
            "settling": ImportSettling(means).settle,
            "held": copying.hold,
            "registered": copying.reconcile,
            "transferring": copying.transfer,
            "verifying": copying.verify,
            "importing": ending.register,
            "annotating": ending.annotate,
            "done": ending.finish,
        }

    async def run(self, life: ImportLife, phase: ImportPhase) -> None:
        """Run one phase.

        Raises:
            MeshError: it did not come to its end; whose fault that is, ``blame`` judges.
        """
        await self._effects[phase](life)
