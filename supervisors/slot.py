"""The place of a child at its supervisor: one life of it follows another."""

from __future__ import annotations

import asyncio

from .child import Running, Specification


class ChildLife:
    """One life of a child, whose end belongs to nobody else: the next one may begin in the same moment."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.over = asyncio.Event()
        self.watching: asyncio.Task[None] | None = None


class Slot:
    """One child's specification beside what runs of it."""

    def __init__(self, spec: Specification) -> None:
        self.spec = spec
        self.life: ChildLife | None = None
        self.starting: asyncio.Task[ChildLife | None] | None = None
        self.timer: asyncio.Task[None] | None = None
        self.n_starts = 0
        self.n_restarts = 0
        self.last_error = ""
        self.start_error: Exception | None = None
        self.told_given_up = False

    @property
    def running(self) -> Running | None:
        """What runs here now."""
        return self.life.running if self.life is not None else None
