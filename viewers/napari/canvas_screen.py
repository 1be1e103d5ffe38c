"""A canvas as a follower's screen: planes are copied in the link's thread, drawing is left to Qt's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...messages.frames import Fact, Frame, PlaneUnreadable, WellStateChanged
from ...messages.viewing import Contents
from ..canvas import Canvas

KEPT_LATENCIES = 1000


class CanvasScreen:
    """Fills a canvas and rings when there is something to draw."""

    def __init__(self, canvas: Canvas, ring: Callable[[], None], say: Callable[[str], None]) -> None:
        """Fill ``canvas``; ``ring`` and ``say`` are called from the link's thread."""
        self._canvas = canvas
        self._ring = ring
        self._say = say
        self._latencies_s: deque[float] = deque(maxlen=KEPT_LATENCIES)

    def begin(self, contents: Contents) -> None:
        """Show this from now on."""
        self._canvas.begin(contents)
        self._ring()

    def plane(self, frame: Frame, pixels: NDArray[Any]) -> None:
        """Copy a plane out of shared memory."""
        self._canvas.put(frame.header, np.array(pixels))
        self._canvas.announce(frame.n_waiting)
        if frame.published_at_s:
            self._latencies_s.append(time.monotonic() - frame.published_at_s)
        self._ring()

    def unreadable(self, report: PlaneUnreadable) -> None:
        """Say over the picture what could not be read."""
        where = report.header.address
        self._canvas.note(where.well, f"{where.step or where.channel} cannot be read: {report.reason}")
        self._ring()

    def fact(self, fact: Fact, *, n_waiting: int) -> None:
        """Keep what is known about a well."""
        self._canvas.announce(n_waiting)
        if isinstance(fact, WellStateChanged):
            self._canvas.note(fact.well, _written(fact))
        self._ring()

    def state(self, text: str) -> None:
        """Show how the connection is."""
        self._say(text)

    def statistics(self) -> dict[str, float]:
        """Milliseconds from publishing a plane to the layer holding it, over the latest planes."""
        if not self._latencies_s:
            return {"n": 0}
        latencies_ms = np.array(self._latencies_s) * 1e3
        return {
            "n": len(latencies_ms),
            "p50_ms": float(np.percentile(latencies_ms, 50)),
            "p99_ms": float(np.percentile(latencies_ms, 99)),
        }


def _written(fact: WellStateChanged) -> str:
    if fact.state == "failed":
        return f"{fact.well}: failed, {fact.error}"
    if fact.state != "done":
        return f"{fact.well}: {fact.state}"
    measured = "".join(f", {name} {value:.3g}" for name, value in fact.measurements[:3])
    return f"{fact.well}: {fact.n_objects} objects{measured}"
