"""Proof that a process of this host has ended: the only reason to take a viewer's slots back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import psutil

POLL_S = 1.0


class DeathWatch:
    """Calls once when a process ends; by its descriptor where the system has one, else by looking."""

    def __init__(self, pid: int, on_death: Callable[[], None]) -> None:
        """Watch from the running loop.

        Raises:
            ProcessLookupError: there is no such process now.
        """
        self._loop = asyncio.get_running_loop()
        self._on_death = on_death
        self._descriptor: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        if hasattr(os, "pidfd_open"):
            # A pid may be used again; the descriptor stays bound to this process.
            self._descriptor = os.pidfd_open(pid)
            self._loop.add_reader(self._descriptor, self._died)
            return
        try:
            self._process = psutil.Process(pid)
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(f"no process {pid}") from error
        self._look()

    def stop(self) -> None:
        """Watch no longer."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        # psutil compares the start time too, so a pid that was given anew does not pass for this process.
        if self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            self._timer = self._loop.call_later(POLL_S, self._look)
        else:
            self._died()

    def _died(self) -> None:
        self.stop()
        self._on_death()
