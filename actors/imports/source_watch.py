"""A watch over one source: each look at it is compared with the one before, and a set is looked at whole."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from ...config import ImportSettings, MeshError
from ...plates.planners import Plan
from ...transport import AskFailed
from .readiness import Quiet, Rest, Scan
from .source import ImportSource


class SourceWatch:
    """Looks at a source, and at what belongs to it and lies beside it: of one file its plan alone says so."""

    def __init__(self, source: ImportSource, now: Callable[[], float]) -> None:
        """Begin to watch a source, in the time of a clock that only goes on."""
        self.source = source
        self._now = now
        self._quiet = Quiet(now())
        self._seen, self._seen_s, self._seen_unix_s = Scan({}), now(), 0.0
        self._set: Plan | None = None
        self._due: tuple[Scan, Plan] | None = None
        self.is_one_file = False
        """Whether the source is a single file: what came to its set, only another plan tells."""

    @property
    def beside(self) -> str:
        """What is watched beside the source itself, for people; empty if nothing is."""
        n = self._set.n_files - 1 if self._set is not None else 0
        return f" or one of {n} more files of its set" if n > 1 else " or the other file of its set" if n else ""

    async def look(self) -> Scan:
        """Look at every file; a change since the look before breaks the source's rest."""
        scan = await self.source.scan()
        self.is_one_file = len(scan.files) == 1
        if self._set is not None:
            try:
                files = await self.source.manifest(self._set)
            except MeshError as error:
                if kind_of(error) != "SourceNotFound":
                    raise
                # What belongs to it is another by now, which the next plan says.
                self._set = None
            else:
                # Of these nobody knows when they came: what is seen counts.
                scan = Scan({**scan.files, **{one.path: (one.size, one.mtime_ns, one.inode) for one in files}})
        self._seen, self._seen_s, self._seen_unix_s = scan, self._now(), time.time()
        self._quiet.saw(scan, self._seen_s)
        return scan

    def rest(self, plan: Plan, settings: ImportSettings) -> Rest:
        """For how long the source had been at rest at the last look, and for how long it should be by its plan."""
        # What a microscope always writes at its end is no guess, as the number of images is that a plate should have.
        at_least_s = settings.longest_patience_s if plan.unended else settings.pending_patience_s
        return self._quiet.rest(
            self._seen,
            now_s=self._seen_s,
            now_unix_s=self._seen_unix_s,
            at_least_s=at_least_s,
            at_most_s=settings.longest_patience_s,
        )

    def planned(self, plan: Plan, scan: Scan) -> None:
        """Keep what is still to come by the plan of what a look saw, and nothing else: it may wait for days."""
        self._due = (scan, _outline(plan)) if plan.pending else None

    def still_due(self, scan: Scan) -> Plan | None:
        """What is still to come by the plan of the very same files, which it is without; None if there is none."""
        if self._due is None or self._due[0] != scan:
            return None
        # The later of two equal looks, which is kept anyway: each has a line for every file.
        self._due = scan, self._due[1]
        return self._due[1]

    def has_all(self, plan: Plan, scan: Scan) -> bool:
        """Whether a look saw all files of a plan that it could see; those of a set are looked at from now on."""
        # What comes to a folder the next look finds by itself.
        if not self.is_one_file or all(file.path in scan.files for one in plan.filesets for file in one.files):
            return True
        self._set = _outline(plan, with_files=True)
        return False


def kind_of(error: MeshError) -> str:
    """The name of an error, whoever raised it."""
    return error.failure.kind if isinstance(error, AskFailed) else type(error).__name__


def _outline(plan: Plan, *, with_files: bool = False) -> Plan:
    """A plan without its plates, which may declare a million images, and without its files if not asked for."""
    filesets = tuple(
        msgspec.structs.replace(one, files=one.files if with_files else (), plates=(), notes=())
        for one in plan.filesets
    )
    return msgspec.structs.replace(plan, filesets=filesets, left_out=())
