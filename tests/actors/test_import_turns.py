"""Turns at work: a few at a time, the urgent first, and nobody forgotten."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.imports.turn_taking import turn
from hcs_mesh.actors.imports.turns import Turns
from hcs_mesh.messages.imports import ImportPriority

PRIORITIES: tuple[ImportPriority, ...] = ("low", "normal", "high")


def test_the_urgent_go_first_and_the_others_in_order() -> None:
    turns = Turns(1)
    called: list[str] = []
    orders: list[tuple[str, ImportPriority]] = [
        ("first", "low"),
        ("second", "normal"),
        ("third", "normal"),
        ("fourth", "high"),
    ]
    for name, priority in orders:
        turns.ask(priority, lambda name=name: not called.append(name))  # type: ignore[misc,func-returns-value]
    for _ in orders:
        turns.give_back()
    assert called == ["first", "fourth", "second", "third"]


@given(st.integers(1, 3), st.lists(st.one_of(st.sampled_from(PRIORITIES), st.integers(0, 20), st.none()), max_size=60))
def test_there_are_never_more_at_work_than_places_and_never_a_free_place_while_somebody_waits(
    n_places: int, steps: list[ImportPriority | int | None]
) -> None:
    turns = Turns(n_places)
    at_work: list[int] = []
    waiting: list[int] = []

    def ask(priority: ImportPriority, number: int) -> None:
        def call() -> bool:
            if number in tickets:
                waiting.remove(number)
            at_work.append(number)
            return True

        ticket = turns.ask(priority, call)
        tickets[number] = ticket
        if number not in at_work:
            waiting.append(number)

    tickets: dict[int, int] = {}
    for number, step in enumerate(steps):
        match step:
            case None if at_work:
                at_work.pop(0)
                turns.give_back()
            case int() if waiting:
                gone = waiting.pop(step % len(waiting))
                turns.leave(tickets[gone])
            case "low" | "normal" | "high":
                ask(step, number)
        assert len(at_work) <= n_places
        assert not waiting or len(at_work) == n_places
        assert turns.n_waiting == len(waiting)


@pytest.mark.anyio
async def test_a_task_that_is_cancelled_as_its_place_comes_hands_it_on() -> None:
    turns = Turns(1)
    at_work: list[str] = []

    async def work(name: str) -> None:
        async with turn(turns, "normal", lambda n: None):
            at_work.append(name)
            await asyncio.sleep(0)

    async with turn(turns, "normal", lambda n: None):
        second = asyncio.ensure_future(work("second"))
        third = asyncio.ensure_future(work("third"))
        await asyncio.sleep(0)
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    await third
    assert at_work == ["third"]
    assert turns.n_waiting == 0


@pytest.mark.anyio
async def test_ten_thousand_who_go_at_once_leave_nothing_behind() -> None:
    turns = Turns(1)

    async def wait() -> None:
        async with turn(turns, "normal", lambda n: None):
            await asyncio.Event().wait()

    waiting = [asyncio.ensure_future(wait()) for _ in range(10_000)]
    await asyncio.sleep(0)
    for one in waiting:
        one.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in ended} == {asyncio.CancelledError}
    assert turns.n_waiting == 0
    async with turn(turns, "low", lambda n: pytest.fail("the place is free")):
        pass
