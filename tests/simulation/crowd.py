"""Outsiders who say more to an actor than it has room for, while the mesh's own messages still have to come through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from memory_wire import Faults, MemoryDialer, no_mail
from simulated_hub import Hub
from virtual_world import Process, Violation, World

from hcs_mesh.supervisors.cell import Cell
from hcs_mesh.supervisors.mailbox import KEPT_FOR_MESH
from hcs_mesh.transport import INNER, Link

N_WAVES = 4
WAVE_S = 0.15
"""From one wave to the next."""


N_KEYS = 8
"""So many that their parts of a mailbox are nearly all that outsiders may have."""


class Crowd:
    """One process with several keys, a connection for each, and no manners."""

    def __init__(self, world: World, hub: Hub) -> None:
        self.process: Process | None = None
        self._world = world
        self._hub = hub
        self._dialers: list[MemoryDialer] = []
        self._left = False

    @property
    def links(self) -> list[Link]:
        """What it says goes these ways."""
        if not self._dialers:
            self.process = process = self._world.process("crowd")
            find = lambda: self._hub.front  # noqa: E731 - the hub's next life has another
            asyncio._set_running_loop(process)
            try:
                self._dialers = [
                    MemoryDialer(self._world, process, name, find, no_mail, Faults(), key=name)
                    for name in (f"crowd{n}" for n in range(N_KEYS))
                ]
            finally:
                asyncio._set_running_loop(self._world.outside)
        return [dialer.link for dialer in self._dialers]

    @property
    def keeps_waiting(self) -> bool:
        """Whether an actor is paused still."""
        return self._hub.up and any(cell.paused for cell in self._hub.node.cells.values())

    def flood(self, name: str, say: Callable[[Link, int], None]) -> None:
        """Say it all to an actor, which somebody may have paused."""
        if self._left:
            return
        links = self.links
        self._world.note(f"{name} is flooded")
        if self._world.random.random() < 0.5:
            self._world.later(WAVE_S / 2, lambda: self._pause(name))

        async def wave(n: int) -> None:
            for link in links if not self._left else ():
                say(link, n)

        for n in range(N_WAVES):
            self._world.later(n * WAVE_S, partial(self._run, partial(wave, n)))

    def leave(self) -> None:
        """Say nothing more."""
        self._left = True

        async def hang_up() -> None:
            for dialer in self._dialers:
                dialer.close()

        if self._dialers:
            self._run(hang_up)

    def _run(self, work: Callable[[], Any]) -> None:
        assert self.process is not None
        self.process.run(work())

    def _pause(self, name: str) -> None:
        cell = self._hub.node.cells.get(name) if self._hub.up else None
        if cell is None:
            return
        self._world.note(f"{name} is paused")
        process = self._hub.process

        async def pause() -> None:
            cell.pause()
            await asyncio.sleep(0.4 + self._world.random.random() * 0.8)
            cell.resume()

        process.run(pause())


def heard(answer: asyncio.Future[Any]) -> None:
    """Take note of an answer that nobody looks at."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())


def mesh_was_refused(cell: Cell) -> None:
    """The mesh's own message was not taken: there are as many of them as may wait, or outsiders have its room.

    Raises:
        Violation: it is the outsiders.
    """
    kept = cell.box.max_messages // KEPT_FOR_MESH
    n_own = sum(letter.principal is INNER for letter in cell.box.letters())
    if n_own < kept:
        raise Violation(
            f"{cell.name} has no room for the mesh's own: {len(cell.box)} wait, {n_own} of them from within"
        )
