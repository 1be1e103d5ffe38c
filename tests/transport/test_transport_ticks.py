"""When a link's words leave: at once who is alone in a tick, together who is not, and many before the tick ends."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from hcs_mesh.transport import Event, Kind, Link, codec
from hcs_mesh.transport.link import ENOUGH

pytestmark = pytest.mark.anyio


class Step(Event, frozen=True, kw_only=True, tag="ticks.step"):
    number: int


class Sent:
    """What a link sends, and when: by how many envelopes each batch has."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.link = Link("peer", self._write, lambda link, envelope: None)

    def _write(self, frames: Sequence[Any], bulk: bool) -> bool:
        self.batches.append(frames[0])
        return True

    def say(self, n: int) -> list[int]:
        """Say so many things now; the sizes of the batches that left before the tick ended."""
        before = len(self.batches)
        for number in range(n):
            self.link.say(Kind.SEND, number + 1, "counter", 1.0, Step(number=number))
        return self.sizes(before)

    def sizes(self, since: int = 0) -> list[int]:
        """How many envelopes each batch has."""
        return [len(codec.split(batch)) for batch in self.batches[since:]]

    async def tick(self, n: int) -> list[int]:
        """Say so many things in one tick; the sizes of the batches that it took."""
        before = len(self.batches)
        self.say(n)
        await asyncio.sleep(0)
        return self.sizes(before)


async def test_who_is_alone_in_its_tick_as_in_the_last_one_waits_for_nothing() -> None:
    sent = Sent()
    for _ in range(3):
        assert sent.say(1) == [1]
        await asyncio.sleep(0)


async def test_those_that_come_together_in_tick_after_tick_leave_together() -> None:
    sent = Sent()
    assert await sent.tick(5) == [1, 4], "nobody knows yet that there will be five"
    assert await sent.tick(5) == [5]
    assert await sent.tick(2) == [2]
    assert sent.say(1) == [], "as there were two in the last tick, there may be more in this one"
    await asyncio.sleep(0)
    assert sent.sizes()[-1] == 1
    assert sent.say(1) == [1]


async def test_a_peer_is_woken_while_many_are_still_being_said() -> None:
    sent = Sent()
    await sent.tick(2)
    assert sent.say(2 * ENOUGH) == [ENOUGH]
    await asyncio.sleep(0)
    assert sent.sizes()[-2:] == [ENOUGH, ENOUGH]
    # Twice as many each time: as few batches as may be, however many are said.
    assert await sent.tick(7 * ENOUGH + 3) == [ENOUGH, 2 * ENOUGH, 4 * ENOUGH, 3]
    assert await sent.tick(ENOUGH) == [ENOUGH]
    assert sent.say(ENOUGH) == [ENOUGH], "a tick of which everything has left already was one of many too"


async def test_everything_arrives_in_the_order_in_which_it_was_said() -> None:
    sent = Sent()
    n = 0
    for in_tick in (1, 3, ENOUGH + 1, 1, 1, 5 * ENOUGH, 2):
        for _ in range(in_tick):
            if n % 3:
                sent.link.tell("counter", Step(number=n))
            else:
                sent.link.say(Kind.TELL, 0, "counter", 0.0, Step(number=n))
            n += 1
        await asyncio.sleep(0)
    heard = []
    for batch in sent.batches:
        for envelope in codec.split(batch):
            alone = codec.unroll(envelope) if envelope.kind == Kind.RUN else [envelope]
            heard += [codec.decode(one.body, codec.decoder(Step)).number for one in alone]
    assert heard == list(range(n))
    assert sent.link.n_out == n
