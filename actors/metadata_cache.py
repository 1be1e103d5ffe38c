"""The metadata cache: what every plate holds, asked of its place once and answered from memory."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, assert_never

import msgspec

from ..messages.metadata import GetLabels, GetPlate, ListPlates, PlatesStored, SurveyPlates
from ..plates.local.errors import PlateNotFound
from ..plates.model import Plate, PlateSummary
from ..plates.plate_source import Freshness, PlateIndex
from ..plates.structure_shelf import Known, StructureShelf
from ..plates.survey import PlatesIncomplete, PlateSurvey
from ..supervisors import Actor
from ..transport import INNER
from .threads import Threads

Inbox = GetPlate | GetLabels | ListPlates | SurveyPlates | PlatesStored

MAX_BYTES = 256 << 20
"""What plates held in memory may take; the one that was asked for longest ago goes first."""
MAX_LISTS = 256
"""Lists held in memory, of places where each person has another."""


class MetadataCache(Actor[Inbox]):
    """Answers for plate structure, asking each plate's place once, and again as often as that place says.

    Where a place decides for each person what is seen, each is told what was answered to that person alone.
    """

    def __init__(
        self,
        index: PlateIndex,
        *,
        shelf: StructureShelf | None = None,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask ``index``, and keep on ``shelf`` what others may change; ``clock`` says the seconds since 1970."""
        self._index = index
        self._shelf = shelf
        self._max_bytes = max_bytes
        self._clock = clock
        self._threads = Threads("metadata", n_threads=2)
        # A place on the network may keep all of these waiting, and nobody who asks for what lies here.
        self._threads_elsewhere = Threads("metadata elsewhere", n_threads=8)
        self._plates: OrderedDict[tuple[int, str], Known] = OrderedDict()
        self._bytes_of: dict[tuple[int, str], int] = {}
        self._changed: set[int] = set()
        self._lists: OrderedDict[str, tuple[float, tuple[PlateSummary, ...]]] = OrderedDict()
        self._n_bytes = 0
        self._epoch = 0
        self._n_loads = 0
        self._n_stamps = 0
        self._n_hits = 0

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case GetPlate(plate_id=plate_id, requester=requester):
                return self._plate(plate_id, self._whose(requester))
            case GetLabels(plate_id=plate_id, requester=requester):
                # Never kept: a plate's labels grow while the plate stays as it is.
                whose, where = self._whose(requester), self._where(self._index.freshness(plate_id))
                return self.defer(where.run(lambda: self._index.labels(plate_id, whose)))
            case ListPlates(requester=requester):
                return self._list(self._whose(requester), whole=True)
            case SurveyPlates(requester=requester):
                return self._list(self._whose(requester), whole=False)
            case PlatesStored(plate_ids=plate_ids):
                # What was being loaded meanwhile may be of before: a new epoch asks anew.
                self._epoch += 1
                # Only of what lies elsewhere there is something on the shelf.
                self._changed.update(one for one in plate_ids if self._index.freshness(one).fresh_s is not None)
                self._lists.clear()
                for key in [key for key in self._plates if key[0] in plate_ids]:
                    self._forget(key)
                return None
            case _:
                assert_never(message)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()
        await self._threads_elsewhere.finish()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "plates": len(self._plates),
            "plate_bytes": self._n_bytes,
            "loads": self._n_loads,
            "stamps": self._n_stamps,
            "hits": self._n_hits,
        }

    def _whose(self, requester: str) -> str:
        """In whose name to ask: a person's own, whatever the message says; the mesh's parts speak for others."""
        principal = self.context.principal
        return requester if principal is INNER else principal.name

    def _plate(self, plate_id: int, requester: str) -> Any:
        freshness = self._index.freshness(plate_id)
        key = plate_id, requester if freshness.is_private else ""
        known = self._plates.get(key)
        if known is not None and self._is_fresh(freshness, known.checked_at_s):
            self._n_hits += 1
            self._plates.move_to_end(key)
            return known.plate
        # A place takes its time: deferred, so that nobody else waits behind it.
        return self.defer_once(
            ("plate", *key, self._epoch), lambda _: self._load(key, requester, freshness, self._epoch)
        )

    def _list(self, requester: str, *, whole: bool) -> Any:
        freshness = self._index.freshness()
        viewer = requester if freshness.is_private else ""
        listed_at_s, summaries = self._lists.get(viewer, (0.0, None))
        if summaries is not None and self._is_fresh(freshness, listed_at_s):
            return summaries if whole else PlateSurvey(plates=summaries)
        if whole:
            return self.defer_once(
                ("list", viewer, self._epoch), lambda _: self._load_list(viewer, requester, freshness, self._epoch)
            )
        return self.defer_once(
            ("survey", viewer, self._epoch), lambda _: self._survey(viewer, requester, freshness, self._epoch)
        )

    def _is_fresh(self, freshness: Freshness, checked_at_s: float) -> bool:
        # A clock that was put back proves nothing.
        return freshness.fresh_s is None or 0.0 <= self._clock() - checked_at_s < freshness.fresh_s

    def _where(self, freshness: Freshness) -> Threads:
        return self._threads if freshness.fresh_s is None else self._threads_elsewhere

    async def _load(self, key: tuple[int, str], requester: str, freshness: Freshness, epoch: int) -> Plate:
        known = self._plates.get(key)
        try:
            found, n_bytes = await self._where(freshness).run(
                lambda: _weighed(self._asked(key[0], requester, freshness, known))
            )
        except PlateNotFound:
            # Gone, or not to be seen by this person any more, who is told nothing of before.
            self._forget(key)
            self._lists.clear()
            raise
        if epoch == self._epoch:
            if freshness.fresh_s is not None and (known is None or known.plate is not found.plate):
                # Places that count only what was asked for have another count now.
                self._lists.clear()
            self._forget(key)
            self._plates[key] = found
            self._bytes_of[key] = n_bytes
            self._n_bytes += n_bytes
            while self._n_bytes > self._max_bytes and len(self._plates) > 1:
                self._forget(next(iter(self._plates)))
        return found.plate

    def _asked(self, plate_id: int, requester: str, freshness: Freshness, known: Known | None) -> Known:
        """The plate as its place has it now, in a thread; what is known stays where its stamp says so.

        Raises:
            PlateNotFound: there is none, or none that this person may see any more.
        """
        now_s, viewer = self._clock(), requester if freshness.is_private else ""
        if freshness.fresh_s is None:
            # It lies here: nothing would be quicker than to ask again.
            self._n_loads += 1
            return Known(plate=self._index.plate(plate_id, requester), stamp="", checked_at_s=now_s)
        if known is None and self._shelf is not None and plate_id not in self._changed:
            known = self._shelf.read(plate_id, viewer)
            if known is not None and self._is_fresh(freshness, known.checked_at_s):
                return known
        try:
            known = self._loaded(plate_id, requester) if known is None else self._renewed(known, plate_id, requester)
            known = msgspec.structs.replace(known, checked_at_s=now_s, viewer=viewer)
        except PlateNotFound:
            if self._shelf is not None:
                self._shelf.forget(plate_id, viewer)
            raise
        if self._shelf is not None:
            self._shelf.write(known)
        return known

    def _loaded(self, plate_id: int, requester: str) -> Known:
        """A plate of which nothing is known; places that answer for its stamp as well are asked once."""
        plate, stamp = self._index.stamped(plate_id, requester)
        self._n_loads += 1
        return Known(plate=plate, stamp=stamp, checked_at_s=0.0)

    def _renewed(self, known: Known, plate_id: int, requester: str) -> Known:
        """What is known where its stamp still says so, else the plate as it is now."""
        # Before the plate: what changes between the two is seen the next time.
        stamp = self._index.stamp(plate_id, requester)
        self._n_stamps += 1
        if stamp and known.stamp == stamp:
            return known
        plate = self._index.plate(plate_id, requester)
        self._n_loads += 1
        return Known(plate=plate, stamp=stamp, checked_at_s=0.0)

    async def _load_list(
        self, viewer: str, requester: str, freshness: Freshness, epoch: int
    ) -> tuple[PlateSummary, ...]:
        now_s = self._clock()

        def listed() -> tuple[PlateSummary, ...]:
            return tuple(self._counted(summary, viewer) for summary in self._index.plates(requester))

        summaries = await self._where(freshness).run(listed)
        if epoch == self._epoch:
            self._lists[viewer] = now_s, summaries
            self._lists.move_to_end(viewer)
            while len(self._lists) > MAX_LISTS:
                self._lists.popitem(last=False)
        return summaries

    async def _survey(self, viewer: str, requester: str, freshness: Freshness, epoch: int) -> PlateSurvey:
        try:
            return PlateSurvey(plates=await self._load_list(viewer, requester, freshness, epoch))
        except PlatesIncomplete as found:
            # Never kept: who logs in is to see the rest at once.
            survey = found.survey
            return msgspec.structs.replace(survey, plates=tuple(self._counted(one, viewer) for one in survey.plates))

    def _counted(self, summary: PlateSummary, viewer: str) -> PlateSummary:
        """A line of the list, with the counts of a plate that its place has not looked into for it."""
        freshness = self._index.freshness(summary.id)
        if summary.n_images or freshness.fresh_s is None:
            return summary
        viewer = viewer if freshness.is_private else ""
        known = self._plates.get((summary.id, viewer))
        if known is None and self._shelf is not None and summary.id not in self._changed:
            known = self._shelf.read(summary.id, viewer)
        if known is None:
            return summary
        plate = known.plate
        n_wells = sum(well != "" for well in plate.wells)
        return msgspec.structs.replace(summary, n_wells=n_wells, n_fields=plate.n_fields, n_images=plate.n_images)

    def _forget(self, key: tuple[int, str]) -> None:
        if self._plates.pop(key, None) is not None:
            self._n_bytes -= self._bytes_of.pop(key)


def _weighed(known: Known) -> tuple[Known, int]:
    return known, _n_bytes(known)


def _n_bytes(value: object) -> int:
    """What it takes in memory with everything in it: of a small plate the columns are the least."""
    n = sys.getsizeof(value)
    if isinstance(value, tuple):
        return n + sum(map(_n_bytes, value))
    if isinstance(value, msgspec.Struct):
        return n + sum(_n_bytes(getattr(value, name)) for name in value.__struct_fields__)
    return n
