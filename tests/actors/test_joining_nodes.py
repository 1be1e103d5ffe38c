"""A node that joins, breaks off and comes back: names, deaths, and answers that were lost on the way."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from host_lab import PLATE, THERE, hosts, row, well
from waiting import eventually

from hcs_mesh.actors.nodes.remote_ref import RemoteRef
from hcs_mesh.actors.nodes.tree_elsewhere import rows_with
from hcs_mesh.actors.nodes.uplink import NotMounted, answer_terms
from hcs_mesh.messages.compute import CompilePipeline
from hcs_mesh.messages.joining import JoinTerms, LeaveMesh, WatchActor
from hcs_mesh.transport import ActorUnknown, AskTimedOut, PeerGone

pytestmark = pytest.mark.anyio


async def test_a_node_that_joins_and_beats_pushes_nobodys_traces_out(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        desk = made.a.cells["nodes"]
        n_before = int(desk.statistics()["handled"])
        # Each look of the uplink finds that something has happened, and tells it.
        made.uplink.actor._n_reports = itertools.count().__next__
        await eventually(lambda: int(desk.statistics()["handled"]) > n_before + 5)
        assert [hop.message for hop in made.a.traces.latest(100)] == []


async def test_a_node_whose_key_is_revoked_says_so_a_few_times_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    class Log:
        def warning(self, text: str, *, so_far: int, **more: str) -> None:
            assert text == "cannot join the mesh"
            assert "refused the handshake" in more["reason"]
            told.append(so_far)

        def info(self, text: str, **more: str) -> None:
            raise AssertionError("it is in again")

    async with hosts(tmp_path) as made:
        monkeypatch.setattr("hcs_mesh.actors.nodes.uplink.AGAIN_S", 0.0)
        monkeypatch.setattr("hcs_mesh.actors.nodes.uplink.log", Log())
        dial, n_dialled = made.uplink.actor._dial, 0

        def counted() -> Any:
            nonlocal n_dialled
            n_dialled += 1
            return dial()

        made.uplink.actor._dial = counted
        (tmp_path / "keys" / "hostb.toml").unlink()
        # A refusal takes a handshake or three, which on a busy machine is seconds.
        await eventually(lambda: n_dialled > 5, within_s=45.0)
    assert told[:3] == [1, 2, 4]
    assert told == [2**n for n in range(len(told))]


async def test_a_second_host_under_the_key_of_one_that_is_there_is_refused_until_that_is_gone(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        made.life = "another host"
        second: Any = await made.begin("uplink of another host")
        await eventually(lambda: "another host has joined under the key of hostb" in second.actor.statistics()["state"])
        # The first one's beats go on over the connection that it has.
        heard_s = made.nodes.node("hostb").heard_s
        await eventually(lambda: made.nodes.node("hostb").heard_s > heard_s + 1.0)
        assert (made.nodes.node("hostb").n_joins, made.nodes.node("hostb").life) == (1, "the first")
        await made.uplink.kill()
        await eventually(lambda: second.actor.statistics()["state"] == "joined as hostb", within_s=30.0)


async def test_a_key_by_whose_name_no_actor_would_be_found_is_refused(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        keys = tmp_path / "keys"
        text = (keys / "hostb.toml").read_text().replace("hostb", "hostb@lab")
        await made.uplink.kill()
        (keys / "hostb.toml").write_text(text)
        again: Any = await made.begin("uplink of a renamed host")
        await eventually(
            lambda: "'hostb@lab' is no name for the key of a node" in again.actor.statistics()["state"], within_s=30.0
        )
        assert set(made.nodes.nodes) == {"hostb"}


async def test_the_scheduler_hears_of_executors_elsewhere_by_their_name_in_the_mesh(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        await eventually(lambda: made.scheduler.heard == [("ExecutorUp", THERE, 11)])
        made.running[:] = []
        await eventually(lambda: made.scheduler.heard[1:] == [("ExecutorDown", THERE, 11)])
        made.running[:] = [("executor.cpu0", 12)]
        await eventually(lambda: made.scheduler.heard[2:] == [("ExecutorUp", THERE, 12)])


async def test_a_well_is_computed_elsewhere_by_name(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        made.executor.may_end.set()
        assert (await made.a.find(THERE).ask(well())).n_objects == 7


async def test_an_answer_that_a_break_has_swallowed_is_given_again_without_computing_again(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        answer = made.a.find(THERE).ask(well())
        await eventually(lambda: made.executor.n_runs == 1)
        made.cut()
        await eventually(lambda: made.nodes.running() == ())
        # While nobody hears it, the node computes on.
        made.executor.may_end.set()
        await made.joined()
        assert (await asyncio.wait_for(answer, 30)).n_objects == 7
        assert made.executor.n_runs == 1
        assert [one[0] for one in made.scheduler.heard] == ["ExecutorUp", "ExecutorDown", "ExecutorUp"]


async def test_an_executor_that_dies_elsewhere_is_a_death_and_no_break(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        made.executor.dies = True
        made.executor.may_end.set()
        with pytest.raises(PeerGone):
            await made.a.find(THERE).ask(well())


async def test_after_the_grace_a_well_goes_to_others_and_is_not_charged(tmp_path: Path) -> None:
    async with hosts(tmp_path, grace_s=0.5) as made:
        answer = made.a.find(THERE).ask(well())
        await eventually(lambda: made.executor.n_runs == 1)
        await made.uplink.kill()
        made.cut()
        with pytest.raises(ActorUnknown):
            await asyncio.wait_for(answer, 30)


async def test_a_pipeline_is_not_checked_by_a_host_that_is_away_nor_waited_for(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        check = CompilePipeline(source="", source_name="", plate=PLATE, wells=())
        assert await made.a.find(THERE).ask(check) == "nuclei"
        made.executor.checks = asyncio.get_running_loop().create_future()
        under_way = asyncio.ensure_future(made.a.find(THERE).ask(check))
        await eventually(lambda: made.executor.n_checks == 2)
        await made.uplink.kill()
        with pytest.raises(PeerGone):
            await asyncio.wait_for(under_way, 30)
        await eventually(lambda: made.nodes.node("hostb").link is None, what="the end of its connection")
        with pytest.raises(ActorUnknown, match="hostb is away"):
            await asyncio.wait_for(made.a.find(THERE).ask(check), 30)


async def test_a_node_that_leaves_is_not_waited_for(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        await made.uplink.stop()
        await made.uplink.wait()
        # On a busy machine its leave may still be on its way.
        await eventually(lambda: made.nodes.node("hostb").gone)
        with pytest.raises(ActorUnknown):
            await made.a.find(THERE).ask(well())


async def test_an_actor_of_a_joined_host_is_found_by_its_name_and_the_hosts(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        made.executor.may_end.set()
        there = RemoteRef("door.cpu0@hostb", made.nodes, made.a.find("door.cpu0@hostb"), made.a.cells)
        assert (await there.ask(well())).n_objects == 7
        nowhere = RemoteRef("door.cpu0@hostc", made.nodes, made.a.find("door.cpu0@hostc"), made.a.cells)
        with pytest.raises(ActorUnknown, match="hostc"):
            await nowhere.ask(well())
        await made.uplink.stop()
        await made.uplink.wait()
        with pytest.raises(ActorUnknown, match=r"hostb is away \(it has left\)"):
            await there.ask(well())


async def test_the_tree_of_a_joined_host_stands_in_the_meshs_and_only_its_root_while_it_is_away(tmp_path: Path) -> None:
    own = (row("mesh"), row("elsewhere", "mesh"), row(THERE, "elsewhere"), row("joining", "mesh"), row("x", "mesh"))
    async with hosts(tmp_path) as made:

        def shown() -> list[tuple[str, str, str]]:
            return [(one.name, one.parent, one.state) for one in rows_with(own, made.nodes.nodes.values())]

        await eventually(lambda: made.nodes.node("hostb").rows)
        assert shown() == [
            ("mesh", "", "running"),
            ("elsewhere", "mesh", "running"),
            ("joining", "mesh", "running"),
            ("node@hostb", "joining", "running"),
            (THERE, "node@hostb", "running"),
            ("x", "mesh", "running"),
        ]
        await made.uplink.kill()
        made.cut()
        await eventually(lambda: made.nodes.node("hostb").link is None)
        assert (THERE, "elsewhere", "away") in shown()
        assert ("node@hostb", "joining", "away") in shown()


async def test_whoever_watches_an_actor_of_a_joined_host_hears_of_its_death_and_of_the_hosts(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        await eventually(lambda: made.nodes.node("hostb").rows)
        desk = made.a.find("nodes")
        death = asyncio.ensure_future(desk.ask(WatchActor(actor=THERE)))
        # A beat that tells of nothing is no death.
        made.become(row("executor.cpu0", "node", pid=11, handled=1))
        await eventually(lambda: made.nodes.node("hostb").rows[1].handled == 1)
        assert not death.done()
        made.become(row("executor.cpu0", "node", pid=12, restarts=1, last_error="killed by SIGKILL"))
        told = await asyncio.wait_for(death, 30)
        assert (told.actor, told.reason) == (THERE, "killed by SIGKILL")
        with pytest.raises(AskTimedOut):
            await desk.ask(WatchActor(actor=THERE), timeout_s=0.1)
        await eventually(lambda: made.a.cells["nodes"].statistics()["deferred"] == 0, what="the end of that watch")
        away = asyncio.ensure_future(desk.ask(WatchActor(actor=THERE)))
        with pytest.raises(ActorUnknown):
            await desk.ask(WatchActor(actor="nobody@hostb"))
        made.cut()
        assert (await asyncio.wait_for(away, 30)).reason == "cut"


async def test_an_executor_elsewhere_is_ended_there(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        assert made.nodes.end(THERE, "it hangs")
        await eventually(lambda: made.ended == ["executor.cpu0"])
        assert not made.nodes.end("executor.cpu0", "it is the mesh's own")
        await made.a.find("nodes").ask(LeaveMesh())


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    terms = JoinTerms(node="b", data=str(tmp_path / "nowhere"), token_file="t", answer_file="a", beat_s=1)
    with pytest.raises(NotMounted) as refused:
        await answer_terms(terms)
    assert str(tmp_path / "nowhere") in refused.value.hint
