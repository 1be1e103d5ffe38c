"""Settling: an import waits until its source is at rest and complete, and always says why it waits."""

from __future__ import annotations

import asyncio
import time

from ...config import MeshError
from ...plates.errors import BEGINNING, NOT_YET
from ...plates.planners import Plan
from ...plates.planners.plan import Fileset
from .deletion_wait import wait_for_deletions
from .life import ImportLife
from .means import ImportMeans
from .readiness import Scan, manifest_digest, why_not_ended
from .records import Settled
from .source_watch import SourceWatch, kind_of


class ImportSettling:
    """Watches sources, asks what they are, and writes down what was found at rest."""

    def __init__(self, means: ImportMeans) -> None:
        self._means = means

    async def settle(self, life: ImportLife) -> None:
        """Wait until the source is at rest, then ask the inspector what it is and whether it opens.

        Raises:
            ImportedAlready: these files are in the repository, or on their way to it.
            MeshError: the source cannot be looked at, or is nothing that can be imported.
        """
        means = self._means
        watch: SourceWatch | None = None
        while True:
            # What is half deleted is not what is to be imported.
            await wait_for_deletions(means, life)
            async with means.turn(means.looking, life, "looking at its source"):
                if watch is None:
                    # Not before its turn: ten thousand that wait would write this down at each start.
                    await means.enter(life, "settling")
                    watch = SourceWatch(means.open_source(life), means.context.now)
                settled = await self._look(life, watch)
            if settled is not None:
                # Two orders for one folder come to rest at the same moment: one of them goes on.
                async with means.one_of_twins:
                    means.refuse_twin(life, settled.digest)
                    await means.ledger.write(settled)
                return
            await asyncio.sleep(means.settings.settle_s)

    async def _look(self, life: ImportLife, watch: SourceWatch) -> Settled | None:
        """One round: None if the source is not at rest, or not complete, which is said by then."""
        means, source = self._means, watch.source

        def say(reason: str) -> None:
            means.waits(life, reason)

        scan = await self._at_rest(life, watch)
        if scan is None:
            return None
        # A plan costs its headers: it is asked for again once something has changed, or once there is no more patience.
        if (due := watch.still_due(scan)) and (why := self._why_wait(life, watch, due)):
            say(why)
            return None
        try:
            plan = await source.plan(say)
        except MeshError as error:
            # What is waited for, if it is something that more of the source may cure.
            if not (why := self._why_wait(life, watch, _told(error), usable=False)):
                raise
            say(why)
            return None
        watch.planned(plan, scan)
        if not watch.has_all(plan, scan):
            # Of one file of a set nobody has looked at the others so far.
            say(self._watching(life, watch))
            return None
        if why := self._why_wait(life, watch, plan):
            say(why)
            return None
        await source.probe(plan, say)
        files = await source.manifest(plan)
        after = await watch.look()
        if after != scan:
            # Written to while it was read: what the inspector saw may be half of it.
            say(after.changes_since(scan))
            return None
        # In a thread, as all that looks at each of a hundred thousand files: the others go on meanwhile.
        digest = await means.threads.run(lambda: manifest_digest(files))
        return Settled(import_id=life.import_id, at_unix_s=time.time(), plan=plan, files=files, digest=digest)

    def _why_wait(self, life: ImportLife, watch: SourceWatch, plan: Plan, *, usable: bool = True) -> str:
        """Why to wait for more than the plan has; empty if there is no reason, or no more patience."""
        due = tuple(dict.fromkeys((*plan.unended, *plan.pending)))
        if life.order.ended or not due:
            return ""
        return why_not_ended(due, watch.rest(plan, self._means.settings), usable=usable)

    async def _at_rest(self, life: ImportLife, watch: SourceWatch) -> Scan | None:
        """The source, once a few looks at it in a row have found the same; None as soon as two differ."""
        means = self._means
        last = await watch.look()
        for _ in range(means.settings.settle_scans - 1):
            means.waits(life, self._watching(life, watch))
            await asyncio.sleep(means.settings.settle_s)
            scan = await watch.look()
            if scan != last:
                means.waits(life, scan.changes_since(last))
                return None
            last = scan
        return last

    @staticmethod
    def _watching(life: ImportLife, watch: SourceWatch) -> str:
        return f"watching whether {life.order.path.rpartition('/')[2]}{watch.beside} is still being written to"


def _told(error: MeshError) -> Plan:
    """What there is of a source that cannot be planned, so far as more of it may cure that: why it is not whole."""
    if (kind := kind_of(error)) in BEGINNING:
        # As with a plan that lacks its microscope's last word, which may be hours away.
        begun = Fileset(planner="", root="", files=(), plates=(), unended=(str(error),))
        return Plan(filesets=(begun,))
    return Plan(pending=(str(error),)) if kind in NOT_YET else Plan()
