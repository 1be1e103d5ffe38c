"""Brings news from the link's thread to the Qt thread, one ring for all that came meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer, Signal

BETWEEN_DRAWS_S = 0.012
"""The least time from the end of one draw to the next, so that the person's own clicks get their turn."""


class Doorbell(QObject):  # type: ignore[misc]
    """``ring`` may be called from any thread; ``draw`` runs on the Qt thread soon after, once for many rings."""

    _rung = Signal()
    _said = Signal(str)
    _failed = Signal(str)

    def __init__(self, draw: Callable[[], None], say: Callable[[str], None], fail: Callable[[str], None]) -> None:
        super().__init__()
        self._draw = draw
        self._waiting = False
        self._drawn_at_s = 0.0
        self._rung.connect(self._answer, Qt.ConnectionType.QueuedConnection)
        self._said.connect(say, Qt.ConnectionType.QueuedConnection)
        self._failed.connect(fail, Qt.ConnectionType.QueuedConnection)

    def ring(self) -> None:
        """There is something to draw."""
        if not self._waiting:
            self._waiting = True
            self._rung.emit()

    def say(self, text: str) -> None:
        """The connection's state changed."""
        self._said.emit(text)

    def fail(self, text: str) -> None:
        """The link has ended for good."""
        self._failed.emit(text)

    def _answer(self) -> None:
        rest_s = self._drawn_at_s + BETWEEN_DRAWS_S - time.monotonic()
        if rest_s > 0:
            QTimer.singleShot(int(rest_s * 1000) + 1, self._now)
        else:
            self._now()

    def _now(self) -> None:
        self._waiting = False
        self._draw()
        self._drawn_at_s = time.monotonic()
