"""Restarts on request, after which one life runs and no other; on a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from hcs_mesh.supervisors import Actor, Child, Exit, Node, SupervisionReport, Supervisor, Surroundings
from hcs_mesh.supervisors.child import Kind
from hcs_mesh.supervisors.shift import KILL_S
from hcs_mesh.transport import Event

pytestmark = pytest.mark.anyio

LONGER_THAN_ANY_PATIENCE_S = KILL_S + 1.0
"""Than the 5 s that a stop may take, and the time after which the killed are abandoned."""


class Tick(Event, frozen=True, kw_only=True, tag="restarts.tick"):
    pass


class Clock:
    """Time that passes when told to, and what was reported meanwhile."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.reports: list[SupervisionReport] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.surroundings = Surroundings(
            now_s=lambda: self.now_s, sleep=self._sleep, chance=lambda: 0.0, reporter=self.reports.append
        )

    @property
    def occurrences(self) -> list[str]:
        return [report.occurrence for report in self.reports]

    async def pass_time(self, seconds: float) -> None:
        """Wake whoever has slept long enough, and let everybody do what they want."""
        await settle()
        self.now_s += seconds
        for due_s, future in self._sleepers:
            if due_s <= self.now_s and not future.done():
                future.set_result(None)
        await settle()

    async def _sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, future))
        await future


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


class QuickStarter(Actor[Tick]):
    """Is up in fewer turns of the loop than it takes to hear of the end of the life before."""

    def __init__(self, alive: list[QuickStarter]) -> None:
        self._alive = alive

    async def started(self) -> None:
        self._alive.append(self)

    async def ended(self) -> None:
        self._alive.remove(self)

    async def receive(self, message: Tick) -> None:
        return None


async def test_a_child_that_is_restarted_has_one_life_however_quickly_it_starts() -> None:
    node, clock, alive = Node("n"), Clock(), list[QuickStarter]()
    tree = Supervisor("top", [node.actor("quick", lambda: QuickStarter(alive))], surroundings=clock.surroundings)
    await tree.start()
    for n_restarts in range(1, 5):
        (before,) = alive
        await tree.restart_child("quick")
        (after,) = alive
        assert after is not before
        await clock.pass_time(LONGER_THAN_ANY_PATIENCE_S)
        await clock.pass_time(LONGER_THAN_ANY_PATIENCE_S)
        assert alive == [after], "nobody took the life that was asked for for the one before"
        (row,) = tree.tree()[1:]
        assert (row.state, row.restarts, row.last_error) == ("running", n_restarts, "")
    assert clock.occurrences == ["started"] + ["stopped", "started"] * 4
    await tree.stop()
    assert alive == []
    await node.close()


class Fake:
    """What runs of a child: over from the beginning, or until it is stopped."""

    kind: Kind = "actor"
    pid = 7

    def __init__(self, *, over: bool) -> None:
        self.n_stops = 0
        self._ended = asyncio.Event()
        if over:
            self._ended.set()

    async def wait(self) -> Exit:
        if not self._ended.is_set():
            await self._ended.wait()
        return Exit(reason="normal")

    async def stop(self) -> None:
        self.n_stops += 1
        self._ended.set()

    async def kill(self) -> None:
        self._ended.set()

    def statistics(self) -> Mapping[str, int | float | str]:
        return {}


async def test_who_is_stopped_while_it_starts_and_comes_up_all_the_same_leaves_its_next_life_alone() -> None:
    clock, lives = Clock(), list[Fake]()

    async def start() -> Fake:
        if len(lives) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # Too late to be cut short. It has come up, and it ends by itself in the same moment.
                lives.append(Fake(over=True))
                return lives[-1]
        lives.append(Fake(over=False))
        return lives[-1]

    tree = await Supervisor("top", [Child("a", start)], surroundings=clock.surroundings).start()
    first = asyncio.create_task(tree.restart_child("a"))
    await settle()
    second = asyncio.create_task(tree.restart_child("a"))
    await clock.pass_time(LONGER_THAN_ANY_PATIENCE_S)
    assert await second is await first is lives[-1]
    assert len(lives) == 3
    assert lives[-1].n_stops == 0
    assert clock.occurrences == ["started", "stopped"] * 2 + ["started"]
    await tree.stop()
