"""A disk on which nothing becomes durable while a test holds it."""

from __future__ import annotations

import threading

from hcs_mesh.supervisors.journal import Disk

PATIENCE_S = 60.0


class HeldDisk(Disk):
    """Makes nothing durable while somebody holds it."""

    def __init__(self) -> None:
        self.is_free, self.is_waited_for = threading.Event(), threading.Event()
        self.is_free.set()

    def sync_data(self, descriptor: int) -> None:
        if not self.is_free.is_set():
            self.is_waited_for.set()
            assert self.is_free.wait(PATIENCE_S), "nobody let go of it"
        super().sync_data(descriptor)
