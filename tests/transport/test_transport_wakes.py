"""A task that is woken by a message takes its turn at once, as itself, and can be cancelled as from any wait."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from hcs_mesh.transport.wakes import Nap, Wakes, wakes_of

pytestmark = pytest.mark.anyio

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Sleeper:
    """Naps again and again, and notes how each of its turns came about."""

    def __init__(self) -> None:
        self.turns: list[tuple[asyncio.Task[None] | None, str]] = []
        self.nap = Nap(asyncio.get_running_loop())
        WHO.set("sleeper")
        self.task = asyncio.ensure_future(self._sleep())
        WHO.set("test")

    async def _sleep(self) -> None:
        while True:
            await self.nap
            self.nap = Nap(asyncio.get_running_loop())
            self.turns.append((asyncio.current_task(), WHO.get()))


async def test_who_is_woken_by_a_message_goes_on_when_it_was_handed_on_and_in_its_own_task() -> None:
    sleeper = Sleeper()
    await asyncio.sleep(0)
    wakes = Wakes()
    during: list[int] = []

    def arrives() -> None:
        wakes.begin()
        wakes.wake(sleeper.nap)
        wakes.wake(sleeper.nap)
        during.append(len(sleeper.turns))
        wakes.finish()
        during.append(len(sleeper.turns))

    # From the loop, as a descriptor's reader is called, in which no task is taking its turn.
    asyncio.get_running_loop().call_soon(arrives)
    await asyncio.sleep(0)
    assert during == [0, 1]
    assert sleeper.turns == [(sleeper.task, "sleeper")]
    sleeper.task.cancel()


async def test_who_is_woken_otherwise_goes_on_in_the_next_round() -> None:
    sleeper = Sleeper()
    await asyncio.sleep(0)
    wakes_of(asyncio.get_running_loop()).wake(sleeper.nap)
    assert sleeper.turns == []
    await asyncio.sleep(0)
    assert sleeper.turns == [(sleeper.task, "sleeper")]
    sleeper.task.cancel()


async def test_a_task_can_be_cancelled_in_a_nap_and_before_it() -> None:
    sleeper, other = Sleeper(), Sleeper()
    other.task.cancel()
    await asyncio.sleep(0)
    sleeper.task.cancel()
    await asyncio.wait([sleeper.task, other.task], timeout=10.0)
    assert sleeper.task.cancelled()
    assert other.task.cancelled()
    # Whoever wakes it all the same wakes nobody.
    sleeper.nap.go_on()
    sleeper.nap.end()


async def test_a_nap_that_was_over_before_it_began_is_no_wait() -> None:
    nap = Nap(asyncio.get_running_loop())
    nap.end()
    await asyncio.wait_for(_wait(nap), 10.0)


async def _wait(nap: Nap) -> None:
    await nap
