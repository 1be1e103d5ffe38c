"""How an agent reads as a guest on its workstation: at a pace, in its hours, and making way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...plates.pace_reader import Pace
from ...plates.repository import SourceReader, never
from ..errors import OutOfHours


class GuestReading:
    """Has what is served read at a ``pace``; without one, as fast as can be and at any hour."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace

    def check_hours(self) -> None:
        """Promise that sources may be read now.

        Raises:
            OutOfHours: not at this hour.
        """
        if self._pace is not None and (why := self._pace.closed()):
            raise OutOfHours(f"on the workstation {why} there", hint="the agent is started with settings of its own")

    def why_slow(self) -> str:
        """Why nothing is read just now, or slowly; empty when it is as fast as can be."""
        return "" if self._pace is None else self._pace.why()

    def expect(self, source: Path) -> None:
        """Look who else writes to a source's disk before it is read; blocks."""
        if self._pace is not None:
            # Unlike Path.is_dir it says nothing of a disk's troubles, which the look behind this tells.
            self._pace.expect(source if os.path.isdir(source) else source.parent)  # noqa: PTH112

    def forget(self, folder: Path, import_id: str) -> None:
        """Look no longer at the disk of a source for an import that is over."""
        if self._pace is not None:
            self._pace.forget(folder, import_id)

    def sent(self, n_bytes: int) -> None:
        """Take note of bytes that a mesh elsewhere has: what is reached so is what a share of is read beside others."""
        if self._pace is not None:
            self._pace.count_sent(n_bytes)

    def reader(
        self,
        inner: SourceReader,
        folder: Path,
        import_id: str,
        cancelled: Callable[[], bool] = never,
        *,
        in_hours: bool = True,
    ) -> SourceReader:
        """A reader of what lies in a folder, for an import until it is forgotten.

        ``cancelled`` ends its waits, and not ``in_hours`` it waits for none.
        """
        if self._pace is None:
            return inner
        # What is read here is written elsewhere: all that fills this disk is somebody else's.
        return self._pace.reader(
            inner, folder, cancelled=cancelled, import_id=import_id, writes=False, in_hours=in_hours
        )
