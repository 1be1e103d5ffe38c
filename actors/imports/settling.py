"""Settling: an import waits until its source is at rest and complete, and always says why it waits."""

from __future__ import annotations

import asyncio
import time

from ...config import MeshError
from ...plates.errors import NOT_YET
from ...plates.planners import Plan
from ...transport import AskFailed
from .life import ImportLife
from .means import ImportMeans
from .readiness import Quiet, Scan, manifest_digest, patience_s, why_not_ended
from .records import Settled
from .source import ImportSource, Say


class ImportSettling:
    """Watches sources, asks what they are, and writes down what was found at rest."""

    def __init__(self, means: ImportMeans) -> None:
        self._means = means
        self._pending: dict[str, tuple[Scan, Plan]] = {}

    async def settle(self, life: ImportLife) -> None:
        """Wait until the source is at rest, then ask the inspector what it is and whether it opens.

        Raises:
            ImportedAlready: these files are in the repository, or on their way to it.
            MeshError: the source cannot be looked at, or is nothing that can be imported.
        """
        means = self._means
        source: ImportSource | None = None
        quiet = Quiet(means.context.now())
        while True:
            async with means.turn(means.looking, life, "looking at its source"):
                if source is None:
                    # Not before its turn: ten thousand that wait would write this down at each start.
                    await means.enter(life, "settling")
                    source = means.open_source(life)
                settled = await self._look(life, source, quiet)
            if settled is not None:
                self._pending.pop(life.import_id, None)
                # Two orders for one folder come to rest at the same moment: one of them goes on.
                async with means.one_of_twins:
                    means.refuse_twin(life, settled.digest)
                    await means.ledger.write(settled)
                return
            await asyncio.sleep(means.settings.settle_s)

    async def _look(self, life: ImportLife, source: ImportSource, quiet: Quiet) -> Settled | None:
        """One round: None if the source is not at rest, or not complete, which is said by then."""
        means = self._means

        def say(reason: str) -> None:
            means.waits(life, reason)

        scan = await self._at_rest(life, source)
        if scan is None:
            quiet.broken(means.context.now())
            return None
        quiet_s = quiet.for_s(scan, now_s=means.context.now(), now_unix_s=time.time())
        settings = means.settings
        patience = patience_s(scan, at_least_s=settings.pending_patience_s, at_most_s=settings.longest_patience_s)
        patience = 0.0 if life.order.ended else patience
        try:
            plan = await self._planned(life, source, scan, say)
        except MeshError as error:
            if not (why := _not_yet(error, quiet_s=quiet_s, patience=patience)):
                raise
            say(why)
            return None
        if why := why_not_ended(plan.pending, quiet_s=quiet_s, patience_s=patience):
            say(why)
            return None
        await source.probe(plan, say)
        files = await source.manifest(plan)
        after = await source.scan()
        if after != scan:
            # Written to while it was read: what the inspector saw may be half of it.
            say(after.changes_since(scan))
            quiet.broken(means.context.now())
            return None
        # In a thread, as all that looks at each of a hundred thousand files: the others go on meanwhile.
        digest = await means.threads.run(lambda: manifest_digest(files))
        return Settled(import_id=life.import_id, at_unix_s=time.time(), plan=plan, files=files, digest=digest)

    async def _planned(self, life: ImportLife, source: ImportSource, scan: Scan, say: Say) -> Plan:
        """The plan of a source; asked again only once something in it has changed, since a plan costs its headers."""
        known = self._pending.get(life.import_id)
        if known is not None and known[0] == scan:
            return known[1]
        plan = await source.plan(say)
        self._pending.pop(life.import_id, None)
        if plan.pending:
            self._pending[life.import_id] = (scan, plan)
        return plan

    async def _at_rest(self, life: ImportLife, source: ImportSource) -> Scan | None:
        """The source, once a few looks at it in a row have found the same; None as soon as two differ."""
        means = self._means
        last = await source.scan()
        for _ in range(means.settings.settle_scans - 1):
            means.waits(life, f"watching whether {life.order.path.rpartition('/')[2]} is still being written to")
            await asyncio.sleep(means.settings.settle_s)
            scan = await source.scan()
            if scan != last:
                means.waits(life, scan.changes_since(last))
                return None
            last = scan
        return last


def _not_yet(error: MeshError, *, quiet_s: float, patience: float) -> str:
    """What is waited for, if it is something that more of the source may cure; else nothing."""
    kind = error.failure.kind if isinstance(error, AskFailed) else type(error).__name__
    if kind not in NOT_YET:
        return ""
    return why_not_ended((str(error),), quiet_s=quiet_s, patience_s=patience, usable=False)
