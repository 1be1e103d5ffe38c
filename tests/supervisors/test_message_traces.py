"""A message is followed from actor to actor and from process to process; actors pause; handling is timed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.config.tracing import ACTOR, TRACE, carried
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.traces import MAX_HOPS, MAX_TRACES, Traces
from hcs_mesh.transport import AskTimedOut, Event, PeerGone, Ping, Request, ipc_endpoint
from hcs_mesh.transport.codec import Kind, join, seal, split

pytestmark = pytest.mark.anyio


class Pass(Request[str], frozen=True, kw_only=True, tag="traces.pass"):
    """Ask the next actor, and answer with the trace that the last one saw."""

    then: tuple[str, ...] = ()
    later: bool = False


class Noted(Event, frozen=True, kw_only=True, tag="traces.noted"):
    """Something to be taken in."""


class Break(Request[None], frozen=True, kw_only=True, tag="traces.break"):
    """Fail."""


class Passer(Actor[Pass | Noted | Break]):
    """Passes messages on."""

    async def receive(self, message: Pass | Noted | Break) -> Any:
        match message:
            case Pass(then=then, later=later):
                if later:
                    return self.defer(self._pass(then))
                return await self._pass(then)
            case Break():
                raise ZeroDivisionError("as told")
        return None

    async def _pass(self, then: tuple[str, ...]) -> str:
        if not then:
            return TRACE.get()
        return await self.context.find(then[0]).ask(Pass(then=then[1:]))


class Silent(Actor[Pass]):
    """Answers nobody."""

    async def receive(self, message: Pass) -> Any:
        return self.defer(asyncio.Event().wait())


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node("one")
    for name in ("first", "second", "third"):
        await made.start_actor(name, Passer)
    yield made
    await made.close()


@contextmanager
def followed() -> Iterator[None]:
    """What is sent in here belongs to the trace abc."""
    token = TRACE.set("abc")
    yield
    TRACE.reset(token)


@pytest.mark.parametrize("later", [False, True], ids=["at-once", "deferred"])
async def test_a_trace_goes_with_every_ask_that_is_made_while_handling(node: Node, later: bool) -> None:
    with followed():
        assert await node.find("first").ask(Pass(then=("second", "third"), later=later)) == "abc"
    hops = node.traces.of("abc")
    assert [(hop.sender, hop.actor) for hop in hops] == [("", "first"), ("first", "second"), ("second", "third")]
    assert {hop.outcome for hop in hops} == {"answered"}
    assert {hop.message for hop in hops} == {"traces.pass"}
    assert hops[0].took_s >= hops[2].took_s > 0


async def test_what_nobody_follows_leaves_no_trace(node: Node) -> None:
    assert await node.find("first").ask(Pass(then=("second",))) == ""
    assert node.traces.n_hops == 0
    assert carried() == ""


async def test_a_trace_does_not_stick_to_the_actor(node: Node) -> None:
    with followed():
        await node.find("first").ask(Pass())
    assert await node.find("first").ask(Pass()) == ""


async def test_a_failure_and_an_event_are_hops_too(node: Node) -> None:
    with followed():
        node.find("first").tell(Noted())
    with followed(), pytest.raises(Exception, match="as told"):
        await node.find("first").ask(Break())
    assert [hop.outcome for hop in node.traces.of("abc")] == ["taken in", "ZeroDivisionError: as told"]


async def test_deferred_work_that_its_actor_does_not_outlive_is_a_hop_that_has_ended(node: Node) -> None:
    await node.start_actor("silent", Silent)
    life = await node.start_actor("asking", Passer)
    with followed():
        asking = node.find("asking").ask(Pass(then=("silent",), later=True))
    await eventually(lambda: node.traces.n_hops == 2)
    await life.stop()
    with pytest.raises(PeerGone):
        await asking
    [hop] = [hop for hop in node.traces.of("abc") if hop.actor == "asking"]
    assert hop.outcome == "the actor ended before it answered"


async def test_a_trace_goes_on_in_another_process(tmp_path: Path, node: Node) -> None:
    endpoint = ipc_endpoint(tmp_path, "x")
    node.listen_inner(endpoint)
    child = Node("child")
    await child.start_actor("far", Passer)
    expected = node.expect("child")
    child.dial_parent(endpoint)
    link = await expected
    # What a child asks goes to the parent: the way back is followed as well.
    with followed():
        assert await link.ask("far", Pass(then=("second",))) == "abc"
    assert [(hop.sender, hop.actor) for hop in child.traces.of("ab")] == [("", "far")]
    assert [(hop.sender, hop.actor) for hop in node.traces.of("ab")] == [("far", "second")]
    await child.close()


def test_traces_are_bounded_in_number_and_in_length() -> None:
    traces = Traces(clock=lambda: 0.0, unix_s=lambda: 0.0)
    for number in range(MAX_TRACES + 5):
        traces.begin(f"t{number:04} me", "actor", "tag")
    for _ in range(MAX_HOPS + 5):
        traces.begin("long me", "actor", "tag").end("answered")
    assert traces.of("t0000") == []
    assert len(traces.of("long")) == MAX_HOPS
    assert traces.n_left_out == 5
    assert traces.latest(1)[0].trace == "long"
    assert traces.latest(2)[1].trace == f"t{MAX_TRACES + 4:04}"


def test_only_a_followed_envelope_is_longer() -> None:
    plain, followed = seal(Kind.ASK, 1, "x", 1.0, Noted()), seal(Kind.ASK, 1, "x", 1.0, Noted(), "abc me")
    assert len(plain) < len(followed)
    one, two = split(join([plain, followed]))
    assert (one.trace, two.trace) == ("", "abc me")


async def test_a_paused_actor_reads_nothing_and_answers_pings(node: Node) -> None:
    cell, ref = node.cells["first"], node.find("first")
    cell.pause()
    asked = asyncio.ensure_future(ref.ask(Pass()))
    pulse = await ref.ask(Ping())
    assert pulse.waiting == 1
    assert not asked.done()
    cell.resume()
    assert await asked == ""


async def test_whoever_asks_a_paused_actor_is_told_when_the_time_is_over(node: Node) -> None:
    node.cells["first"].pause()
    with pytest.raises(AskTimedOut):
        await node.find("first").ask(Pass(), timeout_s=0.05)


async def test_a_paused_actor_can_be_stopped(node: Node) -> None:
    life = await node.start_actor("fourth", Passer)
    node.cells["fourth"].pause()
    await life.stop()
    assert (await life.wait()).reason == "shutdown"


async def test_handling_is_timed_and_every_task_knows_whose_work_it_is(node: Node) -> None:
    for _ in range(40):
        await node.find("first").ask(Pass(later=True))
    told = node.cells["first"].statistics()
    assert 0 < float(told["handling_s"]) <= float(told["slowest_s"])
    assert ACTOR.get() == ""
