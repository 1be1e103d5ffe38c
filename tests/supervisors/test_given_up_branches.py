"""Whoever asks what does not come back by itself learns it at once, and why."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.commands import Commands
from hcs_mesh.supervisors import Actor, Node, RestartIntensity, Supervisor
from hcs_mesh.transport import ActorGivenUp, AskFailed, PeerGone, Request

pytestmark = pytest.mark.anyio


class Question(Request[int], frozen=True, kw_only=True, tag="given_up.question"):
    deadly: bool = False


class Oracle(Actor[Question]):
    async def receive(self, message: Question) -> Any:
        if message.deadly:
            raise ZeroDivisionError("a planted fault")
        return 42


def tree(node: Node) -> Supervisor:
    branch = Supervisor(
        "catalogue",
        [Supervisor("inner", [node.actor("oracle", Oracle)], intensity=RestartIntensity(0, 5.0))],
        intensity=RestartIntensity(0, 5.0),
        on_exhausted="quarantine",
    )
    return Supervisor("mesh", [branch, node.actor("other", Oracle)])


async def test_asks_to_a_branch_that_was_set_aside_fail_at_once_and_say_why() -> None:
    node = Node("hub")
    top = await tree(node).start()
    oracle = node.find("oracle")
    with pytest.raises(AskFailed, match="a planted fault"):
        await oracle.ask(Question(deadly=True))
    async with asyncio.timeout(5.0):
        with pytest.raises(ActorGivenUp) as told:
            # The first may still find the mailbox open; nobody will ever read it, and it fails with it.
            await oracle.ask(Question())
        assert "oracle is down and does not come back by itself: catalogue was set aside" in str(told.value)
        assert "ZeroDivisionError: a planted fault" in str(told.value)
        assert "hcs-mesh restart" in told.value.hint
        assert await node.find("other").ask(Question()) == 42
        await top.restart_child("catalogue")
        assert await oracle.ask(Question()) == 42
    await top.stop()
    await node.close()


async def test_asks_to_an_actor_that_somebody_stopped_fail_at_once() -> None:
    node = Node("hub")
    top = await tree(node).start()
    await top.stop_child("other")
    async with asyncio.timeout(5.0):
        with pytest.raises(ActorGivenUp, match="it was stopped"):
            await node.find("other").ask(Question())
    await top.stop()
    await node.close()


async def test_an_ordered_stop_is_no_giving_up() -> None:
    # A client of a mesh that is brought down and up again goes on asking.
    node = Node("hub")
    top = await tree(node).start()
    await top.stop()
    asked = node.find("oracle").ask(Question())
    await node.close()
    with pytest.raises(PeerGone):
        await asked


async def test_a_client_does_not_ask_again_what_was_given_up() -> None:
    class Given(Commands):
        n_asks = 0

        async def ask(self, actor: str, request: Any, *, timeout_s: float = 0.0) -> Any:
            self.n_asks += 1
            raise ActorGivenUp(f"{actor} is down")

    client = Given()
    async with asyncio.timeout(2.0):
        with pytest.raises(ActorGivenUp):
            await client.submit_import(Path("plate"))
        with pytest.raises(ActorGivenUp):
            await anext(client.follow_job("job-0001"))
    assert client.n_asks == 2


async def test_what_was_set_aside_and_is_started_again_is_no_trouble_any_more() -> None:
    node = Node("hub")
    actor = node.actor("oracle", Oracle)
    top = await Supervisor("slot", [actor], intensity=RestartIntensity(0, 5.0), on_exhausted="quarantine").start()
    with pytest.raises(AskFailed, match="a planted fault"):
        await node.find("oracle").ask(Question(deadly=True))
    await eventually(lambda: top.tree()[0].state == "quarantined")
    assert "gave up on oracle" in top.tree()[0].last_error
    await top.restart_child("oracle")
    assert [(row.state, row.last_error) for row in top.tree()[:1]] == [("running", "")]
    await top.stop()
    await node.close()
