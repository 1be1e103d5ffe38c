"""How fast imports are when nobody else writes, as the next life of a mesh is to know it."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

RATE_FILE = "guest-rate"
KEEP_EVERY_S = 60.0


class KeptRate:
    """A rate in a file, which is worth little: where the disk refuses it is done without."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept_s: float | None = None
        self._rate = _read(file)

    @property
    def rate(self) -> float:
        """Bytes a second; 0 where none is known."""
        return self._rate

    def keep(self, rate: float, now_s: float) -> None:
        """Write another rate down, once in ``KEEP_EVERY_S`` at most; 0 is none."""
        if not rate or rate == self._rate or (self._kept_s is not None and now_s - self._kept_s < KEEP_EVERY_S):
            return
        self._rate, self._kept_s = rate, now_s
        new = self._file.with_name(f"{self._file.name}.new")
        # The next life assumes a rate, as the first one did.
        with suppress(OSError):
            new.write_text(f"{rate:.0f}\n", encoding="ascii")
            new.replace(self._file)


def _read(file: Path) -> float:
    try:
        rate = float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
    return rate if math.isfinite(rate) and rate > 0 else 0.0
