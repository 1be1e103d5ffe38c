"""Whether an acquisition has ended: what looks at a source found, and what its metadata say (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from ...plates.repository import SourceFile

N_PAUSES = 2
LONELY_PAUSE_S = 3_600.0


@dataclass(frozen=True)
class Scan:
    """What a look at a source found: size, time (ns) and inode of every file, by its path.

    ``came_ns`` are their ctimes, of which nothing is concluded as to what they hold: a link or mode touches them too.
    """

    files: dict[str, tuple[int, int, int]]
    came_ns: tuple[int, ...] = field(default=(), compare=False)

    @property
    def written(self) -> Times:
        """When its files were written, wherever that was: what copies them may keep these times."""
        return Times(tuple(mtime_ns for _, mtime_ns, _ in self.files.values()))

    @property
    def came(self) -> Times:
        """When its files came to their place, as far as is known."""
        return Times(self.came_ns)

    def changes_since(self, before: Scan) -> str:
        """What is different, for people; empty if nothing is."""
        added = [path for path in self.files if path not in before.files]
        gone = [path for path in before.files if path not in self.files]
        changed = [path for path, seen in self.files.items() if path in before.files and before.files[path] != seen]
        parts = [
            f"{len(paths)} {what} ({paths[0]}{', ...' if len(paths) > 1 else ''})"
            for paths, what in ((added, "new"), (changed, "changed"), (gone, "gone"))
            if paths
        ]
        return f"the source is being written to: {', '.join(parts)}" if parts else ""


class Times:
    """The times (ns) of files, by the source's own clock."""

    def __init__(self, times_ns: tuple[int, ...]) -> None:
        self._times_ns = times_ns

    @property
    def newest_unix_s(self) -> float:
        """The youngest; 0 without any."""
        return max(self._times_ns, default=0) / 1e9

    @property
    def pause_s(self) -> float:
        """The longest pause: a time without any of them, between the first and the last.

        One that is above an hour and has none of its kind is none: an old folder to which something was added.
        """
        times = sorted(filter(None, self._times_ns))
        pauses = sorted(((after - before) / 1e9 for before, after in pairwise(times)), reverse=True)
        for pause_s, next_s in pairwise([*pauses, 0.0]):
            if pause_s <= LONELY_PAUSE_S or next_s >= pause_s / 2:
                return pause_s
        return 0.0


class Rest(NamedTuple):
    """For how long a source has been at rest, and for how long it should be."""

    quiet_s: float
    patience_s: float


class Quiet:
    """For how long a source has been at rest, by what was seen and by the times of its files."""

    def __init__(self, now_s: float) -> None:
        """Begin to look at ``now_s``, in the time of a clock that only goes on."""
        self._since_s = now_s
        self._was_broken = False
        self._last: Scan | None = None

    def saw(self, scan: Scan, now_s: float) -> None:
        """Take in what a look found that ended ``now_s``: a change since the look before counts, however long ago."""
        before, self._last = self._last, scan
        if before is None:
            # Until then nobody had looked: an import may have waited for hours for its turn.
            self._since_s = now_s
        elif scan != before:
            self.broken(now_s)

    def broken(self, now_s: float) -> None:
        """Something has changed."""
        self._since_s = now_s
        self._was_broken = True

    def rest(self, scan: Scan, *, now_s: float, now_unix_s: float, at_least_s: float, at_most_s: float) -> Rest:
        """The rest of its acquisition, or of the copy that brings it here: the one that takes longer to be enough.

        Each is the longer of what was seen and what the files' times say, and enough when it is twice the longest pause
        so far. A clock that runs ahead says nothing; nor does one for the copy once a change was seen.
        """
        seen_s = now_s - self._since_s

        def rest(times: Times, *, told: bool) -> Rest:
            newest = times.newest_unix_s
            quiet_s = max(seen_s, now_unix_s - newest) if newest and told else seen_s
            return Rest(quiet_s, max(at_least_s, min(at_most_s, N_PAUSES * times.pause_s)))

        both = rest(scan.written, told=True), rest(scan.came, told=not self._was_broken)
        return max(both, key=lambda one: one.patience_s - one.quiet_s)


def why_not_ended(pending: tuple[str, ...], rest: Rest, *, usable: bool = True) -> str:
    """Why to wait although nothing changes; empty if there is no reason, or it was waited for long enough.

    A source that is not ``usable`` as it is would fail if nobody waited.
    """
    if not pending or rest.quiet_s >= rest.patience_s:
        return ""
    more = f", and {len(pending) - 1} more" if len(pending) > 1 else ""
    left_s = rest.patience_s - rest.quiet_s
    return (
        f"the acquisition has not ended: {pending[0]}{more}; waiting {left_s:.0f} s more for a change"
        f"{' (--ended takes a source as it is)' if usable else ''}"
    )


def manifest_digest(files: Iterable[SourceFile]) -> str:
    """A manifest's SHA-256: names, sizes and times, wherever the folder lies."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda one: one.path):
        digest.update(f"{file.path}\0{file.size}\0{file.mtime_ns}\n".encode())
    return digest.hexdigest()
