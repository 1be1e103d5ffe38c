"""The metadata cache: what every plate holds, asked of the repository once and answered from memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, assert_never

from ..messages.metadata import GetLabels, GetPlate, ListPlates, PlatesStored
from ..plates.model import Plate, PlateSummary
from ..plates.repository import Repository
from ..supervisors import Actor
from .threads import Threads

Inbox = GetPlate | GetLabels | ListPlates | PlatesStored

MAX_BYTES = 256 << 20
"""Columns held in memory; the plate that was asked for longest ago goes first."""


class MetadataCache(Actor[Inbox]):
    """Answers for plate structure, asking the repository once per plate."""

    def __init__(self, repository: Repository, *, max_bytes: int = MAX_BYTES) -> None:
        self._repository = repository
        self._max_bytes = max_bytes
        self._threads = Threads("metadata", n_threads=2)
        self._plates: OrderedDict[int, Plate] = OrderedDict()
        self._summaries: tuple[PlateSummary, ...] | None = None
        self._n_bytes = 0
        self._epoch = 0
        self._n_loads = 0
        self._n_hits = 0

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case GetPlate(plate_id=plate_id):
                plate = self._plates.get(plate_id)
                if plate is not None:
                    self._n_hits += 1
                    self._plates.move_to_end(plate_id)
                    return plate
                # A repository takes its time: deferred, so that nobody else waits behind it.
                return self.defer_once(("plate", plate_id, self._epoch), lambda _: self._load(plate_id, self._epoch))
            case GetLabels(plate_id=plate_id):
                # Never kept: a plate's labels grow while the plate stays as it is.
                return self.defer(self._threads.run(lambda: self._repository.labels(plate_id)))
            case ListPlates():
                if self._summaries is not None:
                    return self._summaries
                return self.defer_once(("list", self._epoch), lambda _: self._list(self._epoch))
            case PlatesStored(plate_ids=plate_ids):
                # What was being loaded meanwhile may be of before: a new epoch asks anew.
                self._epoch += 1
                self._summaries = None
                for plate_id in plate_ids:
                    self._forget(plate_id)
                return None
            case _:
                assert_never(message)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "plates": len(self._plates),
            "plate_bytes": self._n_bytes,
            "loads": self._n_loads,
            "hits": self._n_hits,
        }

    async def _load(self, plate_id: int, epoch: int) -> Plate:
        plate = await self._threads.run(lambda: self._repository.plate(plate_id))
        self._n_loads += 1
        if epoch == self._epoch:
            self._forget(plate_id)
            self._plates[plate_id] = plate
            self._n_bytes += _n_bytes(plate)
            while self._n_bytes > self._max_bytes and len(self._plates) > 1:
                self._forget(next(iter(self._plates)))
        return plate

    async def _list(self, epoch: int) -> tuple[PlateSummary, ...]:
        summaries = await self._threads.run(self._repository.plates)
        if epoch == self._epoch:
            self._summaries = summaries
        return summaries

    def _forget(self, plate_id: int) -> None:
        plate = self._plates.pop(plate_id, None)
        if plate is not None:
            self._n_bytes -= _n_bytes(plate)


def _n_bytes(plate: Plate) -> int:
    return 11 * len(plate.c_column) + sum(len(file) for file in plate.files)
