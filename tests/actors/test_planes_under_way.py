"""The memory of planes that are sent elsewhere: nobody else's while a socket holds it, and written again afterwards."""

import asyncio
from typing import Any

import numpy as np
import pytest
from waiting import eventually

from hcs_mesh.actors.viewing import under_way
from hcs_mesh.actors.viewing.under_way import MOST_SPARE, UnderWay

pytestmark = pytest.mark.anyio


def plane(value: int, n_rows: int = 8) -> Any:
    return np.full((n_rows, 8), value, np.uint16)


def address(body: Any) -> int:
    return int(body.ctypes.data)


async def let_go(counted: UnderWay) -> None:
    await eventually(lambda: counted.n_bytes == 0)


async def test_what_a_socket_has_let_go_of_is_written_again() -> None:
    counted = UnderWay()
    first = await counted.copied(plane(1))
    counted.note(first)
    where = address(first)
    second = await counted.copied(plane(2))
    counted.note(second)
    assert address(second) != where, "the first is under way"
    assert first.view(np.uint16).tolist() == [1] * 64
    assert counted.n_bytes == 256
    del first
    await eventually(lambda: counted.n_bytes == 128)
    third = await counted.copied(plane(3))
    assert address(third) == where
    assert third.view(np.uint16).tolist() == [3] * 64
    assert second.view(np.uint16).tolist() == [2] * 64


async def test_a_plane_is_under_way_until_the_last_of_its_parts_is_let_go_of() -> None:
    counted = UnderWay()
    body = await counted.copied(plane(1))
    counted.note(body)
    where, parts = address(body), [body[:50], body[50:]]
    del body
    await asyncio.sleep(0)
    assert counted.n_bytes == 128
    parts.pop()
    await asyncio.sleep(0)
    assert counted.n_bytes == 128
    other = await counted.copied(plane(2))
    assert address(other) != where
    parts.clear()
    await let_go(counted)
    assert address(await counted.copied(plane(3))) == where


async def test_others_have_their_turns_while_a_plane_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "PART_BYTES", 20)
    counted = UnderWay()
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    copying = asyncio.create_task(counted.copied(pixels))
    n_turns = 0
    while not copying.done():
        await asyncio.sleep(0)
        n_turns += 1
    assert n_turns >= 128 // 20
    assert copying.result().view(np.uint16).tolist() == list(range(64))


async def test_a_larger_plane_is_not_written_into_less_memory_and_a_smaller_one_is_as_long_as_it_is() -> None:
    counted = UnderWay()
    counted.note(await counted.copied(plane(1)))
    await let_go(counted)
    assert (await counted.copied(plane(2, n_rows=9))).view(np.uint16).tolist() == [2] * 72
    counted.note(await counted.copied(plane(3)))
    await let_go(counted)
    assert (await counted.copied(plane(4, n_rows=2))).view(np.uint16).tolist() == [4] * 16


async def test_the_memory_of_a_few_is_kept_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "SPARE_S", 0.01)
    counted = UnderWay()
    bodies = [await counted.copied(plane(n)) for n in range(MOST_SPARE + 3)]
    for body in bodies:
        counted.note(body)
    del body
    bodies.clear()
    await let_go(counted)
    assert len(counted._spare) <= MOST_SPARE
    await eventually(lambda: not counted._spare)


async def test_what_was_packed_is_counted_and_not_written_over() -> None:
    counted = UnderWay()
    packed = b"\x07" * 128
    body = np.frombuffer(packed, np.uint8)
    counted.note(body)
    del body
    await let_go(counted)
    await counted.copied(plane(1))
    assert packed == b"\x07" * 128
