"""Where the planes of a process came from, in the few numbers and words that a status shows (pure)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

N_TOLD = 3
"""Filesets whose reasons are told; how many there are stands beside them."""


class PixelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Where planes came from; ``local_bytes`` are those that the server and the network were spared."""

    n_local: int
    n_remote: int
    local_bytes: int
    remote_bytes: int
    n_proven: int
    not_local: tuple[tuple[int, str], ...]
    """The filesets that are read through the API although the repository is mounted, and why."""
    in_short: tuple[tuple[int, str], ...]
    """The same for the eyes of all, without the names of files."""


class PlaneCounts(NamedTuple):
    """Planes and bytes of several people together."""

    n_local: int = 0
    n_remote: int = 0
    local_bytes: int = 0
    remote_bytes: int = 0
    not_local: tuple[tuple[int, str], ...] = ()

    def plus(self, more: PixelStatistics, *, is_over: bool = False) -> PlaneCounts:
        """With what one person has read; of one whose files are closed the reasons are over."""
        reasons = () if is_over else more.in_short
        return self.with_all(PlaneCounts(more.n_local, more.n_remote, more.local_bytes, more.remote_bytes, reasons))

    def with_all(self, more: PlaneCounts) -> PlaneCounts:
        """With what others have read."""
        return PlaneCounts(
            self.n_local + more.n_local,
            self.n_remote + more.n_remote,
            self.local_bytes + more.local_bytes,
            self.remote_bytes + more.remote_bytes,
            (*self.not_local, *more.not_local),
        )

    def told(self) -> dict[str, int | float | str]:
        """As statistics; ``omero_bytes_spared`` came from files, so that server and network were spared them."""
        reasons = dict(self.not_local)
        some = "; ".join(f"fileset {number}: {reasons[number]}" for number in sorted(reasons)[:N_TOLD])
        return {
            "omero_planes_from_files": self.n_local,
            "omero_planes_from_server": self.n_remote,
            "omero_bytes_spared": self.local_bytes,
            "omero_bytes_from_server": self.remote_bytes,
            "omero_filesets_not_local": len(reasons),
            "omero_not_local": some,
        }
