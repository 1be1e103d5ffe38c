"""A peer of a front that says a lot is heard a slice in each tick, and never more at once than a batch may hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import zmq

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Event, Kind, Link, Principal, codec
from hcs_mesh.transport.codec import Envelope
from hcs_mesh.transport.turns import MAX_WAITING, PER_TICK, PER_TURN, Turns

pytestmark = pytest.mark.anyio

IN_A_TICK = codec.MAX_BATCH // 8
"""What a full batch is cut into: as many as are heard in a tick."""
ANNA = Principal(name="anna", role="user")


class Step(Event, frozen=True, kw_only=True, tag="turns.step"):
    audience = "user"
    number: int


class Counter(Actor[Step]):
    async def receive(self, message: Step) -> None:
        """Count nothing: what is heard is seen at the link."""


class Front:
    """The turns of a front, and what they heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.turns = Turns(self.end, most_bytes=1 << 20)

    def end(self, link: Link, frame: zmq.Frame, why: str) -> None:
        self.ended.append(why)
        link.lost(why)

    def says(self, link: Link, batch: bytes) -> None:
        self.turns.hear(link, zmq.Frame(batch))

    def peer(self, name: str, deliver: Any = None, *, key: str = "") -> Link:
        link = Link(name, lambda frames, bulk: True, deliver or self.hear, principal=ANNA)
        link.public = key or name
        return link

    def hear(self, link: Link, envelope: Envelope) -> None:
        self.heard.append((link.name, envelope.id))

    async def most_in_a_tick(self, n: int) -> int:
        """Wait until so many envelopes were heard; how many they were at most in one tick."""
        most = before = len(self.heard)
        n_ticks = 0
        while len(self.heard) < n:
            await asyncio.sleep(0)
            n_ticks += 1
            assert n_ticks < 10_000, f"{len(self.heard)} of {n} were heard"
            most = max(most, len(self.heard) - before)
            before = len(self.heard)
        return most


def asks(n: int) -> bytes:
    return codec.join([codec.seal(Kind.ASK, number, "desk", 5.0) for number in range(n)])


def runs(*lengths: int) -> bytes:
    return codec.join(
        [codec.seal_run("desk", n, b"".join(codec.encode(Step(number=number)) for number in range(n))) for n in lengths]
    )


async def test_a_full_batch_is_heard_in_slices_and_in_order() -> None:
    front = Front()
    front.says(front.peer("anna"), asks(codec.MAX_BATCH))
    assert await front.most_in_a_tick(codec.MAX_BATCH) <= IN_A_TICK
    assert front.heard == [("anna", number) for number in range(codec.MAX_BATCH)]


async def test_the_events_of_a_run_count_one_by_one() -> None:
    front = Front()
    front.says(front.peer("anna"), runs(codec.MAX_RUN, codec.MAX_RUN))
    assert await front.most_in_a_tick(codec.MAX_BATCH) <= IN_A_TICK


async def test_small_batches_of_one_tick_are_as_much_as_a_large_one_and_empty_ones_count() -> None:
    front = Front()
    anna = front.peer("anna")
    for _ in range(3 * PER_TICK):
        front.says(anna, asks(1))
    assert await front.most_in_a_tick(3 * PER_TICK) <= IN_A_TICK
    for _ in range(PER_TICK):
        front.says(anna, codec.join([]))
    front.says(front.peer("bert"), asks(1))
    assert len(front.heard) == 3 * PER_TICK
    await front.most_in_a_tick(3 * PER_TICK + 1)


async def test_peers_are_heard_in_turns_however_much_waits_of_one_of_them() -> None:
    front = Front()
    anna = front.peer("anna")
    for _ in range(5):
        front.says(anna, asks(codec.MAX_BATCH))
    front.says(front.peer("bert"), asks(1))
    await front.most_in_a_tick(2 * PER_TICK)
    assert front.heard.index(("bert", 0)) <= PER_TICK + PER_TURN


async def test_what_is_little_is_heard_at_once() -> None:
    front = Front()
    front.says(front.peer("anna"), asks(3))
    assert len(front.heard) == 3


@pytest.mark.parametrize(
    "batch",
    [
        asks(codec.MAX_BATCH + 1),
        b"\xdc" + (codec.MAX_BATCH + 1).to_bytes(2) + asks(codec.MAX_BATCH + 1)[5:],
        runs(codec.MAX_RUN, codec.MAX_RUN, 1),
        runs(*[codec.MAX_RUN] * 9),
    ],
    ids=["asks", "asks in a shorter array", "events", "more events"],
)
async def test_a_batch_of_too_many_is_refused_whole(batch: bytes) -> None:
    front = Front()
    anna = front.peer("anna")
    front.says(anna, batch)
    front.says(anna, asks(1))
    front.says(front.peer("bert"), asks(1))
    await front.most_in_a_tick(1)
    assert front.heard == [("bert", 0)]
    (why,) = front.ended
    assert f"at most {codec.MAX_BATCH}" in why


async def test_who_says_more_than_can_be_heard_is_ended_by_bytes_and_by_messages() -> None:
    front = Front()
    large = codec.join([codec.seal(Kind.ASK, 0, "desk", 5.0, bytes(300_000))])
    anna, bert = front.peer("anna"), front.peer("bert")
    front.says(bert, asks(codec.MAX_BATCH))
    for _ in range(4):
        front.says(anna, large)
    assert len(front.ended) == 1
    assert "4 messages of 1200" in front.ended[0]
    carl = front.peer("carl")
    for _ in range(MAX_WAITING + 1):
        front.says(carl, codec.join([]))
    assert len(front.ended) == 2
    assert not bert.gone
    await front.most_in_a_tick(codec.MAX_BATCH)
    assert {name for name, _ in front.heard} == {"bert"}


async def test_what_waits_is_counted_by_keys_and_the_connection_that_brought_the_most_is_ended() -> None:
    front = Front()
    large = codec.join([codec.seal(Kind.ASK, 0, "desk", 5.0, bytes(300_000))])
    front.says(front.peer("bert"), asks(codec.MAX_BATCH))
    small = front.peer("small", key="anna")
    front.says(small, asks(1))
    loud = [front.peer(f"loud {number}", key="anna") for number in range(20)]
    for link in loud:
        front.says(link, large)
    assert len(front.ended) == 17
    assert "over 5 connections of its key" in front.ended[0]
    assert not small.gone
    assert [link.gone == "" for link in loud].count(True) == 3
    # What its other connections brought is heard, and there is room for more then.
    await front.most_in_a_tick(codec.MAX_BATCH + 1 + 3)
    front.says(front.peer("again", key="anna"), large)
    await front.most_in_a_tick(codec.MAX_BATCH + 1 + 4)
    assert len(front.ended) == 17


async def test_a_message_counts_until_the_last_of_its_envelopes_is_heard() -> None:
    front = Front()
    large = codec.join(
        [codec.seal(Kind.ASK, 0, "desk", 5.0, bytes(500_000)), *[codec.seal(Kind.ASK, 0, "desk", 5.0)] * 1000]
    )
    front.says(front.peer("first", key="anna"), large)
    assert front.heard
    front.says(front.peer("second", key="anna"), large)
    front.says(front.peer("third", key="anna"), large)
    assert len(front.ended) == 1


async def test_keys_have_their_turns_however_many_connections_one_of_them_has() -> None:
    front = Front()
    for number in range(20):
        front.says(front.peer(f"anna {number}", key="anna"), asks(codec.MAX_BATCH))
    front.says(front.peer("bert"), asks(codec.MAX_BATCH))
    await front.most_in_a_tick(14 * PER_TICK)
    n_of_bert = sum(name == "bert" for name, _ in front.heard)
    assert n_of_bert >= 4 * PER_TICK
    # The connections of one key have turns, too.
    assert len({name for name, _ in front.heard}) == 21


@pytest.mark.parametrize("head", [b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff"], ids=["16 bits", "32 bits"])
async def test_a_batch_that_promises_more_than_it_has_bytes_for_is_garbage_and_not_decoded(head: bytes) -> None:
    front = Front()
    anna = front.peer("anna")
    front.says(anna, head + asks(codec.MAX_BATCH)[5:])
    assert anna.offences.n == 1
    assert front.heard == []


async def test_what_a_peer_said_that_is_gone_is_not_heard_and_holds_up_nobody() -> None:
    front = Front()
    anna, bert = front.peer("anna"), front.peer("bert")
    front.says(anna, asks(codec.MAX_BATCH))
    front.says(bert, asks(1))
    anna.lost("it hung up")
    n_heard = len(front.heard)
    await front.most_in_a_tick(n_heard + 1)
    assert front.heard[n_heard:] == [("bert", 0)]


async def test_what_a_receiver_raises_keeps_nobody_waiting() -> None:
    front = Front()
    raised: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: raised.append(told.get("exception")))

    def fail(link: Link, envelope: Envelope) -> None:
        if envelope.id == PER_TICK + 1:
            raise RuntimeError("the receiver's own fault")
        front.hear(link, envelope)

    front.says(front.peer("anna", fail), asks(codec.MAX_BATCH))
    front.says(front.peer("bert"), asks(1))
    # What lay in one slice with the message that failed is lost with it.
    await front.most_in_a_tick(codec.MAX_BATCH - PER_TURN)
    assert [type(one) for one in raised] == [RuntimeError]
    assert ("bert", 0) in front.heard


@asynccontextmanager
async def counting() -> AsyncIterator[Node]:
    node = Node("hub")
    life = await node.start_actor("counter", Counter)
    try:
        yield node
    finally:
        await life.stop()
        await life.wait()
        await node.close()


@pytest.mark.parametrize("beats", [0, 1, 5], ids=["events only", "as many envelopes", "events between"])
@pytest.mark.parametrize("targets", [1, 3], ids=["runs", "events one by one"])
async def test_no_link_of_ours_says_more_at_once_than_a_front_hears(targets: int, beats: int) -> None:
    sent: list[bytes] = []

    def write(frames: Any, bulk: bool) -> bool:
        sent.append(frames[0])
        return True

    link = Link("mesh", write, lambda link, envelope: None)
    for number in range(3 * codec.MAX_BATCH):
        link.tell(f"desk{number % targets}", Step(number=number))
        if beats and number % beats == 0:
            link.say(Kind.BEAT)
    link.flush()
    front = Front()
    peer = front.peer("anna")
    for batch in sent:
        front.says(peer, batch)
    await front.most_in_a_tick(link.n_out)
    assert len(front.heard) == link.n_out
    assert len(sent) < 24
