"""Looks at sources: in threads that may be left behind, since a disk may never answer, and keeps nobody else then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...plates.devices import mount_above
from ..apart import run_apart
from ..errors import SourceSilent

T = TypeVar("T")

AT_ONCE = 4
"""Looks at one mount: a server that hangs keeps as many threads, and no more."""
READS_AT_ONCE = 2
"""Whole files are read in places of their own: what takes hours, at a guest's pace, keeps no look waiting."""


@dataclass(eq=False)
class _Mount:
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_AT_ONCE))
    touch: asyncio.Task[None] | None = None
    is_silent: bool = False


class SourceLooks:
    """Has blocking work done at sources, so much at a time on each mount, and finds out which ones are silent."""

    def __init__(
        self,
        silent_s: float,
        *,
        patient: bool = True,
        mount_of: Callable[[str], str] = mount_above,
        touch: Callable[[str], None] | None = None,
    ) -> None:
        """Hold a mount for silent where nothing comes back for ``silent_s``.

        A ``patient`` one asks then whether it only takes long, which ``touch`` finds out: it blocks as long as the
        mount says nothing.
        """
        self._silent_s = silent_s
        self._patient = patient
        self._mount_of = mount_of
        self._touch = touch or _touch
        self._mounts: dict[str, _Mount] = {}
        self._tasks: dict[asyncio.Task[Any], str] = {}

    def at(self, path: str) -> LooksAt:
        """What works at this path."""
        return LooksAt(self, path)

    async def run(self, path: str, work: Callable[[], T], *, group: str = "", reads: bool = False) -> T:
        """Call ``work``, which touches nothing but what is at ``path``; in a ``group`` it is never left behind.

        What ``reads`` files and does not only look at them waits for others that do, and not for looks.

        Raises:
            SourceSilent: the mount does not answer; the thread goes on for as long as it takes.
        """
        mount = self._mount(path)
        if mount.is_silent:
            raise self._silent(path)
        begun = False

        async def look() -> T:
            nonlocal begun
            async with mount.reads if reads else mount.places:
                begun = True
                return await run_apart(work, f"at {path}")

        task = asyncio.create_task(look())
        self._keep(task, group)
        try:
            while not (await asyncio.wait({task}, timeout=None if group else self._silent_s))[0]:
                if not self._patient or not await self._answers(mount, path):
                    raise self._silent(path)
        finally:
            if not begun:
                task.cancel()
        return task.result()

    async def answered(self, path: str) -> None:
        """Return once the mount is not silent any more."""
        while (mount := self._mount(path)).is_silent and mount.touch is not None:
            await asyncio.wait({mount.touch})

    async def finish(self, group: str) -> None:
        """Wait for the work of a group."""
        if waiting := [task for task, of in self._tasks.items() if of == group]:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        """Wait for the work of every group, and for no looks."""
        if waiting := [task for task, of in self._tasks.items() if of]:
            await asyncio.wait(waiting)
        for task in list(self._tasks):
            task.cancel()

    def _mount(self, path: str) -> _Mount:
        return self._mounts.setdefault(self._mount_of(path), _Mount())

    async def _answers(self, mount: _Mount, path: str) -> bool:
        if mount.touch is None:
            mount.touch = asyncio.create_task(run_apart(lambda: self._touch(path), f"touch {path}"))
            self._keep(mount.touch, "")

            def answered(done: asyncio.Task[None]) -> None:
                mount.touch, mount.is_silent = None, False

            mount.touch.add_done_callback(answered)
        done, _ = await asyncio.wait({mount.touch}, timeout=self._silent_s)
        mount.is_silent = not done and mount.touch is not None
        return bool(done)

    def _silent(self, path: str) -> SourceSilent:
        return SourceSilent(
            f"the disk of {path} has not answered for {self._silent_s:g} s",
            hint=f"look at {self._mount_of(path)} and at the server behind it",
        )

    def _keep(self, task: asyncio.Task[Any], group: str) -> None:
        self._tasks[task] = group

        def ended(done: asyncio.Task[Any]) -> None:
            self._tasks.pop(done, None)
            if not done.cancelled():
                # Whoever asked has it already, or has gone.
                done.exception()

        task.add_done_callback(ended)


class LooksAt:
    """Works at one path."""

    def __init__(self, looks: SourceLooks, path: str) -> None:
        self._looks = looks
        self._path = path

    async def run(self, work: Callable[[], T], *, group: str = "", reads: bool = False) -> T:
        """See ``SourceLooks.run``."""
        return await self._looks.run(self._path, work, group=group, reads=reads)

    async def answered(self) -> None:
        """Return once the path's mount is not silent any more."""
        await self._looks.answered(self._path)


def _touch(path: str) -> None:
    """Ask a path's disk for anything, whatever it says."""
    # Any answer will do: that it refuses is one.
    with suppress(OSError, ValueError):
        if not Path(path).is_dir():
            return
        with os.scandir(path) as entries:
            next(entries, None)
