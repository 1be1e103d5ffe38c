"""Events for one actor that follow each other share an envelope: in order, within bounds, each one on its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.mailbox import MailboxLimits, WhenFull
from hcs_mesh.transport import BadMessage, Envelope, Event, Kind, Link, Ping, Principal, Request, codec
from hcs_mesh.transport.outgoing import Outgoing

pytestmark = pytest.mark.anyio

TARGETS = ("counter", "journal", "käse" * 9)


class Step(Event, frozen=True, kw_only=True, tag="runs.step"):
    audience = "user"
    number: int
    padding: bytes = b""


class Inner(Event, frozen=True, kw_only=True, tag="runs.inner"):
    number: int


class Loose(Event, frozen=True, kw_only=True, tag="runs.loose"):
    thing: Any = None


class Pixel(Event, frozen=True, kw_only=True, tag="runs.pixel"):
    place: int
    number: int

    @property
    def supersedes(self) -> int:
        return self.place


class Heard(Request[tuple[int, ...]], frozen=True, kw_only=True, tag="runs.heard"):
    audience = "user"


class Counter(Actor[Step | Inner | Pixel | Heard]):
    def __init__(self) -> None:
        self.numbers: list[int] = []

    async def receive(self, message: Step | Inner | Pixel | Heard) -> tuple[int, ...] | None:
        if isinstance(message, Heard):
            return tuple(self.numbers)
        self.numbers.append(message.number)
        return None


class Narrow(Counter):
    mailbox = MailboxLimits(max_messages=3)


class Latest(Counter):
    mailbox = MailboxLimits(when_full=WhenFull.LATEST)


def told(batches: list[bytes]) -> list[tuple[str, int]]:
    """What was told to whom, in the order of the envelopes."""
    found = []
    for batch in batches:
        for envelope in codec.split(batch):
            alone = codec.unroll(envelope) if envelope.kind == Kind.RUN else [envelope]
            found += [(one.target, codec.decode(one.body, codec.decoder(Step)).number) for one in alone]
    return found


def spoken(sent: list[bytes], deliver: Any = lambda link, envelope: None, **options: Any) -> Link:
    """A link that keeps the batches it would send."""

    def write(frames: Sequence[Any], bulk: bool) -> bool:
        sent.append(frames[0])
        return True

    return Link("peer", write, deliver, **options)


@asynccontextmanager
async def hearing(kind: type[Counter], **options: Any) -> AsyncIterator[tuple[Node, Link, list[bytes]]]:
    """A node with a counter, and a link by which a peer speaks to it; what it says back is kept."""
    said: list[bytes] = []
    node = Node("hub")
    life = await node.start_actor("counter", kind)
    link = spoken(said, node._deliver, **options)
    try:
        yield node, link, said
    finally:
        await life.stop()
        await life.wait()
        await node.close()


def run_of(*events: Event, target: str = "counter") -> bytes:
    return codec.join([codec.seal_run(target, len(events), b"".join(map(codec.encode, events)))])


@hypothesis.given(
    st.lists(st.tuples(st.sampled_from(TARGETS), st.integers(0, 70)), min_size=1, max_size=60),
    st.integers(180, 500),
    st.booleans(),
)
async def test_what_is_told_within_a_tick_arrives_in_order_and_within_the_bound(
    steps: list[tuple[str, int]], max_bytes: int, other: bool
) -> None:
    sent: list[bytes] = []
    link = spoken(sent, max_message_bytes=max_bytes)
    for number, (target, n_padding) in enumerate(steps):
        link.tell(target, Step(number=number, padding=bytes(n_padding)))
        if other and not number % 7:
            link.say(Kind.TELL, 0, "other", 0.0, Step(number=-1))
    link.flush()
    assert link.n_out == len(steps) + (len(range(0, len(steps), 7)) if other else 0)
    assert [one for one in told(sent) if one[0] != "other"] == [(to, number) for number, (to, _) in enumerate(steps)]
    assert max(map(len, sent)) <= max_bytes


async def test_many_events_of_one_tick_take_a_few_envelopes_and_all_of_them_count() -> None:
    sent: list[bytes] = []
    sender = spoken(sent)
    for number in range(2 * codec.MAX_RUN):
        sender.tell("counter", Step(number=number))
    sender.flush()
    assert sum(len(codec.split(one)) for one in sent) == 4
    async with hearing(Counter) as (node, link, _):
        for batch in sent:
            link.hear(batch)
        assert link.n_in == 2 * codec.MAX_RUN
        assert await node.find("counter").ask(Heard()) == tuple(range(2 * codec.MAX_RUN))


async def test_an_event_that_cannot_travel_leaves_those_around_it_whole() -> None:
    sent: list[bytes] = []
    link = spoken(sent)
    for number in range(3):
        link.tell("counter", Step(number=number))
        with pytest.raises(BadMessage, match="Loose cannot travel"):
            link.tell("counter", Loose(thing=(1, 2, object())))
        with pytest.raises(BadMessage, match="Step cannot travel"):
            link.tell("\ud800", Step(number=9))
    link.flush()
    assert told(sent) == [("counter", 0), ("counter", 1), ("counter", 2)]


async def test_of_a_run_what_cannot_be_read_or_is_not_taken_is_refused_and_the_rest_is_heard() -> None:
    async with hearing(Counter) as (node, link, said):
        link.hear(run_of(Step(number=1), Loose(), Step(number=2)))
        link.hear(run_of(Step(number=3), Heard(), Step(number=4)))  # type: ignore[arg-type]
        assert await node.find("counter").ask(Heard()) == (1, 2, 3, 4)
        link.flush()
        refusals = [envelope.kind for batch in said for envelope in codec.split(batch)]
        assert refusals == [Kind.FAIL, Kind.FAIL]


async def test_a_mailbox_without_room_refuses_of_a_run_what_is_too_much() -> None:
    async with hearing(Narrow) as (node, link, said):
        link.hear(run_of(*(Step(number=number) for number in range(5))))
        assert node.cells["counter"].pulse().refused == 2
        # A ping gets through a full mailbox, and is answered once there is room again.
        await node.find("counter").ask(Ping())
        assert await node.find("counter").ask(Heard()) == (0, 1, 2)
        assert b"3 messages" in b"".join(said)


async def test_in_a_run_the_newest_of_a_key_supersedes_the_others() -> None:
    async with hearing(Latest) as (node, link, _):
        link.hear(run_of(*(Pixel(place=number % 2, number=number) for number in range(6))))
        assert await node.find("counter").ask(Heard()) == (4, 5)


async def test_each_event_of_a_run_is_held_against_the_role_of_its_sender() -> None:
    async with hearing(Counter, principal=Principal(name="anna", role="user")) as (node, link, said):
        link.hear(run_of(Step(number=1), Inner(number=2), Step(number=3)))
        assert await node.find("counter").ask(Heard()) == (1, 3)
        assert b"NotPermitted" in b"".join(said)


async def test_a_run_for_nobody_is_refused() -> None:
    async with hearing(Counter) as (_, link, said):
        link.hear(run_of(Step(number=1), Step(number=2), target="nobody"))
        assert b"no actor 'nobody'" in b"".join(said)


async def test_who_takes_envelopes_one_by_one_gets_the_events_of_a_run_so() -> None:
    heard: list[Envelope] = []
    link = spoken([], lambda link, envelope: heard.append(envelope))
    link.hear(run_of(Step(number=1), Step(number=2)))
    assert [(one.kind, one.target) for one in heard] == [(Kind.TELL, "counter")] * 2
    assert [codec.decode(one.body, codec.decoder(Step)).number for one in heard] == [1, 2]


async def test_what_is_no_run_or_too_long_is_an_offence() -> None:
    async with hearing(Counter) as (node, link, _):
        long = codec.seal_run("counter", codec.MAX_RUN + 1, codec.encode(None) * (codec.MAX_RUN + 1))
        none = [codec.seal(Kind.RUN, 0, "counter", 0.0, body) for body in (None, 7, [Step(number=1)], {"a": 1}, "text")]
        link.hear(codec.join([long, *none, codec.seal(Kind.TELL, 0, "counter", 0.0, Step(number=8))]))
        assert link.offences.n == 6
        assert await node.find("counter").ask(Heard()) == (8,)


@hypothesis.given(st.binary(max_size=80), st.integers(0, codec.MAX_RUN))
def test_any_bytes_are_a_run_or_a_bad_message(garbage: bytes, n: int) -> None:
    for body in (garbage, codec.seal_run("", n, garbage)[12:]):
        run = Envelope(Kind.RUN, 0, "counter", 0.0, msgspec.Raw(body))
        with suppress(BadMessage):
            assert len(list(codec.unroll(run))) == codec.run_length(run.body)


def test_an_outgoing_batch_is_empty_once_it_is_taken() -> None:
    outgoing = Outgoing()
    assert outgoing.tell("counter", Step(number=1), 1000)
    assert not outgoing.tell("counter", Step(number=2, padding=bytes(1000)), 1000)
    assert outgoing.tell("counter", Step(number=3), 1000)
    assert told([codec.join(outgoing.take())]) == [("counter", 1), ("counter", 3)]
    assert (outgoing.take(), outgoing.n_bytes) == ([], 0)
