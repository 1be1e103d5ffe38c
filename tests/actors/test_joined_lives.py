"""A node that dies and is back in another life: what it was at is charged, and who watches hears of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from host_lab import THERE, Executor, hosts, row, well
from waiting import eventually

from hcs_mesh.actors.analysis.executor_door import ExecutorDoor
from hcs_mesh.actors.analysis.remote_executor import RemoteExecutor
from hcs_mesh.actors.nodes.joined_nodes import RemoteNode
from hcs_mesh.actors.nodes.lives_elsewhere import why_down
from hcs_mesh.messages.compute import CancelWell, CompilePipeline, RunWell
from hcs_mesh.messages.joining import WatchActor, WhichLife
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import PeerGone

pytestmark = pytest.mark.anyio


async def test_a_node_that_is_back_in_another_life_has_died_over_its_well(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        # The same pid each time: after a start of the whole host they come in the same order.
        for n_before, life in enumerate(("the second", "the third")):
            answer = made.a.find(THERE).ask(well())
            await eventually(lambda n=n_before: made.executor.n_runs == n + 1)
            await made.die(life=life, pid=11)
            with pytest.raises(PeerGone, match="the node hostb died"):
                await asyncio.wait_for(answer, 20)
        assert made.executor.n_runs == 2


async def test_a_death_that_nobody_heard_of_is_told_when_the_node_is_back(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        answer = made.a.find(THERE).ask(well())
        await eventually(lambda: made.executor.n_runs == 1)
        await made.uplink.kill()
        await eventually(lambda: made.nodes.node("hostb").link is None, what="the end of its connection")
        made.executor.dies = True
        made.executor.may_end.set()
        await eventually(lambda: made.b.cells["door.cpu0"].statistics()["deferred"] == 0, what="the executor's death")
        made.executor.dies = False
        made.uplink = await made.begin()
        with pytest.raises(PeerGone, match="the executor's process ended"):
            await asyncio.wait_for(answer, 20)
        assert made.executor.n_runs == 1


async def test_a_process_in_anothers_place_is_a_death_that_no_count_of_restarts_shows(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        await eventually(lambda: made.nodes.node("hostb").rows)
        death = asyncio.ensure_future(made.a.find("nodes").ask(WatchActor(actor=THERE)))
        await eventually(lambda: made.a.cells["nodes"].statistics()["deferred"] == 1, what="the watch")
        made.become(row("executor.cpu0", "node", pid=12))
        assert (await asyncio.wait_for(death, 20)).reason == "it was started anew"


async def test_who_watches_hears_of_a_break_that_was_over_before_it_was_noticed(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        await eventually(lambda: made.nodes.node("hostb").rows)
        death = asyncio.ensure_future(made.a.find("nodes").ask(WatchActor(actor=THERE)))
        await eventually(lambda: made.a.cells["nodes"].statistics()["deferred"] == 1, what="the watch")
        # The mesh still holds the former connection when the node has made another one.
        await made.begin("uplink anew")
        assert (await asyncio.wait_for(death, 20)).reason == "it has joined anew"


async def test_a_death_between_two_questions_is_told_to_who_names_the_life_that_it_means(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        await eventually(lambda: made.nodes.node("hostb").rows)
        desk = made.a.find("nodes")
        life = await desk.ask(WhichLife(actor=THERE))
        made.become(row("executor.cpu0", "node", pid=12, restarts=1, last_error="killed by SIGKILL"))
        await eventually(lambda: made.nodes.node("hostb").rows[1].pid == 12)
        assert (await desk.ask(WatchActor(actor=THERE, life=life))).reason == "killed by SIGKILL"
        life = await desk.ask(WhichLife(actor=THERE))
        # The whole host is started anew, and everything on it has the pid that it had.
        await made.die(life="the second", pid=12)
        await eventually(lambda: made.nodes.node("hostb").life == "the second" and made.nodes.node("hostb").rows)
        # What its row tells is of the host that is there now.
        assert (await desk.ask(WatchActor(actor=THERE, life=life))).reason == "it was started anew"
        assert await desk.ask(WhichLife(actor=THERE)) != life


@pytest.mark.parametrize(
    ("named", "now", "reason"),
    [
        ("", {}, "it was started anew"),
        ("", {"state": "paused"}, "it was started anew"),
        ("", {"state": "backoff"}, "backoff"),
        ("", {"last_error": "killed by SIGKILL"}, "killed by SIGKILL"),
        ("the second:11:0", {"restarts": 1}, "it was started anew"),
        ("the second:11:0", {"restarts": 1, "last_error": "killed by SIGKILL"}, "killed by SIGKILL"),
        ("the first:11:0", {"restarts": 1, "last_error": "killed by SIGKILL"}, "it was started anew"),
        ("the first:11:0", {"state": "backoff"}, "it was started anew"),
    ],
)
def test_why_an_actor_went_down_is_no_word_about_the_life_that_it_has_now(
    named: str, now: dict[str, Any], reason: str
) -> None:
    node = RemoteNode("hostb", life="the second")
    assert why_down(named, node, row("executor.cpu0", **now)) == reason


class Overheard(ExecutorDoor):
    """A door that keeps what it raised."""

    def __init__(self, executor: str) -> None:
        super().__init__(executor)
        self.raised: list[PeerGone] = []

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        try:
            return await super().receive(message)
        except PeerGone as death:
            self.raised.append(death)
            raise


async def test_a_death_that_is_asked_for_again_is_told_again_and_grows_by_nothing() -> None:
    node, executor, door = Node("hostb"), Executor(), Overheard("executor")
    executor.dies = True
    executor.may_end.set()
    lives = [await node.start_actor("executor", lambda: executor), await node.start_actor("door", lambda: door)]
    for _ in range(3):
        with pytest.raises(PeerGone, match="the executor's process ended"):
            await node.find("door").ask(well())
    assert executor.n_runs == 1
    first, second = door.raised
    assert first is not second
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()


async def test_a_well_that_nobody_waits_for_is_not_asked_for_again_after_a_break(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        answer = made.a.find(THERE).ask(well())
        await eventually(lambda: made.executor.n_runs == 1)
        answer.cancel()
        there = made.a.cells[THERE]
        await eventually(lambda: there.statistics()["deferred"] == 0, what="its being let go of")
        made.cut()
        made.executor.may_end.set()
        await made.joined()
        # What is asked behind it has come through.
        assert (await asyncio.wait_for(made.a.find(THERE).ask(well("A02")), 20)).well == "A02"
        assert there.statistics()["asked_again"] == 0


async def test_an_executor_whose_actor_is_started_again_is_said_to_be_up(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        killed: Any = made.a.cells[THERE].life
        await killed.kill()
        await killed.wait()
        await made.a.start_actor(THERE, lambda: RemoteExecutor(THERE, made.nodes.node("hostb")))
        await eventually(lambda: made.scheduler.heard == [("ExecutorUp", THERE, 11)] * 2)
