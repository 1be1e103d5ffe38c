"""How fast imports are copied, by those of late (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

FILE_BYTES = 64 * 1024
"""What a file costs beside its bytes, in bytes: about what "import, 10,000 small files" in docs/performance.md says."""
ENOUGH_BYTES = 32 * 1024**2
"""Below this the time that passes before the first byte is most of what is measured."""
LATE_BYTES = 1024**3
"""What is known of the time before so much was copied tells nothing of the present."""
LONGEST_PAUSE_S = 60.0
"""A longer time without a byte is a wait, for the hours or for a disk, and no slowness."""


class BusyTime:
    """The time of one transfer in which it copied."""

    def __init__(self, now_s: float) -> None:
        """Begin at ``now_s``, in the time of a clock that only goes on."""
        self.s = 0.0
        self._moved_s = now_s
        self._n_bytes = 0

    def look(self, n_bytes: int, now_s: float) -> None:
        """Take note of the bytes that were copied until now."""
        if n_bytes != self._n_bytes:
            self._n_bytes = n_bytes
            self.end(now_s)

    def end(self, now_s: float) -> None:
        """Count what passed since the last byte: the time in which it became durable."""
        self.s += min(now_s - self._moved_s, LONGEST_PAUSE_S)
        self._moved_s = now_s


class TransferRates:
    """What transfers of each kind took: those that copy are not those that link, nor those from a workstation."""

    def __init__(self) -> None:
        self._late: dict[Hashable, deque[tuple[int, float]]] = {}

    def took(self, kind: Hashable, *, n_files: int, n_bytes: int, busy_s: float) -> None:
        """Take note of a transfer that came to its end."""
        late = self._late.setdefault(kind, deque())
        late.append((_cost(n_files, n_bytes), busy_s))
        while sum(cost for cost, _ in late) - late[0][0] >= LATE_BYTES:
            late.popleft()

    def estimated_s(self, kind: Hashable, *, n_files: int, n_bytes: int) -> float:
        """How long so many files would take; 0 while too little was copied to tell."""
        late = self._late.get(kind, ())
        cost = sum(one for one, _ in late)
        if cost < ENOUGH_BYTES:
            return 0.0
        return _cost(n_files, n_bytes) * sum(busy_s for _, busy_s in late) / cost


def _cost(n_files: int, n_bytes: int) -> int:
    return n_bytes + n_files * FILE_BYTES
