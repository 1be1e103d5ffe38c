"""Whether an acquisition has ended: what looks at a source found, and what its metadata say (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise

import msgspec

from ...plates.repository import SourceFile

N_PAUSES = 2
LONELY_PAUSE_S = 3_600.0


class Scan(msgspec.Struct, frozen=True):
    """What a look at a source found: size, time (ns) and inode of every file, by its path."""

    files: dict[str, tuple[int, int, int]]

    @property
    def newest_unix_s(self) -> float:
        """When the youngest of its files was written, by the source's own clock; 0 without any."""
        return max((mtime_ns for _, mtime_ns, _ in self.files.values()), default=0) / 1e9

    @property
    def pause_s(self) -> float:
        """The longest pause of its acquisition: a time in which no file was written, between the first and the last.

        One that is above an hour and has none of its kind is none: an old folder to which something was added.
        """
        times = sorted(mtime_ns for _, mtime_ns, _ in self.files.values() if mtime_ns)
        pauses = sorted(((after - before) / 1e9 for before, after in pairwise(times)), reverse=True)
        for pause_s, next_s in pairwise([*pauses, 0.0]):
            if pause_s <= LONELY_PAUSE_S or next_s >= pause_s / 2:
                return pause_s
        return 0.0

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


class Quiet:
    """For how long a source has been at rest, by what was seen and by the times of its files."""

    def __init__(self, now_s: float) -> None:
        """Begin to look at ``now_s``, in the time of a clock that only goes on."""
        self._since_s = now_s

    def broken(self, now_s: float) -> None:
        """Something has changed."""
        self._since_s = now_s

    def for_s(self, scan: Scan, *, now_s: float, now_unix_s: float) -> float:
        """The longer of what was seen and what the files' times say; a clock that runs ahead says nothing."""
        return max(now_s - self._since_s, now_unix_s - scan.newest_unix_s if scan.files else 0.0)


def patience_s(scan: Scan, *, at_least_s: float, at_most_s: float) -> float:
    """How long to wait for what is declared: twice the longest pause that this acquisition has made so far."""
    return max(at_least_s, min(at_most_s, N_PAUSES * scan.pause_s))


def why_not_ended(pending: tuple[str, ...], *, quiet_s: float, patience_s: float, usable: bool = True) -> str:
    """Why to wait although nothing changes; empty if there is no reason, or it was waited for long enough.

    A source that is not ``usable`` as it is would fail if nobody waited.
    """
    if not pending or quiet_s >= patience_s:
        return ""
    more = f", and {len(pending) - 1} more" if len(pending) > 1 else ""
    return (
        f"the acquisition has not ended: {pending[0]}{more}; waiting {patience_s - quiet_s:.0f} s more for a change"
        f"{' (--ended takes a source as it is)' if usable else ''}"
    )


def manifest_digest(files: Iterable[SourceFile]) -> str:
    """A manifest's SHA-256: names, sizes and times, wherever the folder lies."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda one: one.path):
        digest.update(f"{file.path}\0{file.size}\0{file.mtime_ns}\n".encode())
    return digest.hexdigest()
