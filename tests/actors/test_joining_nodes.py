"""A node that joins, breaks off and comes back: names, deaths, and answers that were lost on the way."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.analysis.executor_door import ExecutorDoor
from hcs_mesh.actors.analysis.remote_executor import RemoteExecutor
from hcs_mesh.actors.nodes.join_desk import JoinDesk
from hcs_mesh.actors.nodes.joined_nodes import JoinedNodes, RemoteNode
from hcs_mesh.actors.nodes.remote_ref import RemoteRef
from hcs_mesh.actors.nodes.tree_elsewhere import rows_with
from hcs_mesh.actors.nodes.uplink import NotMounted, Uplink, answer_terms
from hcs_mesh.messages.compute import CancelWell, CompilePipeline, ExecutorDown, ExecutorUp, RunWell
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.messages.joining import JoinTerms, LeaveMesh, WatchActor
from hcs_mesh.plates.model import Plate, build_plate
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    ActorUnknown,
    AskTimedOut,
    KeyRing,
    PeerGone,
    Principal,
    ServerKey,
    new_pair,
    tcp_endpoint,
)

pytestmark = pytest.mark.anyio

PLATE: Plate = build_plate([], id=1, name="p", channels=(), root="/")
THERE = "executor.cpu0@hostb"


class Scheduler(Actor[ExecutorUp | ExecutorDown]):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int]] = []

    async def receive(self, message: ExecutorUp | ExecutorDown) -> None:
        self.heard.append((type(message).__name__, message.executor, message.pid))


class Executor(Actor[CompilePipeline | RunWell | CancelWell]):
    """Computes when it is let, and counts."""

    def __init__(self) -> None:
        self.n_runs = 0
        self.may_end = asyncio.Event()
        self.dies = False

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        return self.defer(self._run(message)) if isinstance(message, RunWell) else "nuclei"

    async def _run(self, message: RunWell) -> StoredResult:
        self.n_runs += 1
        await self.may_end.wait()
        if self.dies:
            raise PeerGone("the executor's process ended")
        return StoredResult(job=message.job, plate_id=1, well=message.well, attempt=message.attempt, n_objects=7)


def well(name: str = "A01") -> RunWell:
    return RunWell(job="job-1", well=name, attempt=1, source="", source_name="", plate=PLATE, folder="/results")


def row(name: str, parent: str = "", **more: Any) -> ActorRow:
    return ActorRow(**{"name": name, "parent": parent, "kind": "process", "pid": None, "state": "running", **more})


class Hosts:
    """Host A with its desk, and host B with an executor and an uplink, in one process."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.a, self.b = Node("hub"), Node("hub")
        self.scheduler, self.executor = Scheduler(), Executor()
        self.nodes = JoinedNodes()
        self.running = [("executor.cpu0", 11)]
        self.rows = [row("node", kind="supervisor"), row("executor.cpu0", "node", pid=11)]
        self.n_reports = 0
        self.ended: list[str] = []
        self.appeared: list[str] = []
        self.starting: list[asyncio.Task[Any]] = []
        self.uplink: Any = None

    def appear(self, name: str, node: RemoteNode) -> None:
        if name not in self.appeared:
            self.appeared.append(name)
            self.starting.append(asyncio.ensure_future(self.a.start_actor(name, lambda: RemoteExecutor(name, node))))

    async def start(self, *, grace_s: float) -> None:
        mesh, host = new_pair(), new_pair()
        ring = KeyRing(self.data / "keys")
        ring.allow(Principal(name="hostb", role="node"), host.public)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            endpoint = tcp_endpoint("127.0.0.1", one.getsockname()[1] % 50_000 + 10_000)
        await self.a.start_actor("scheduler", lambda: self.scheduler)
        desk = JoinDesk(self.data, self.nodes, hang_up=self.a.hang_up, appear=self.appear, grace_s=grace_s)
        await self.a.start_actor("nodes", lambda: desk)
        self.a.listen_front(endpoint, mesh, ring)
        await self.b.start_actor("executor.cpu0", lambda: self.executor)
        await self.b.start_actor("door.cpu0", lambda: ExecutorDoor("executor.cpu0"))

        def uplink() -> Uplink:
            return Uplink(
                lambda: self.b.dial(endpoint, host, ServerKey(public=mesh.public)),
                lambda: tuple(self.running),
                lambda name, why: self.ended.append(name),
                lambda: tuple(self.rows),
                lambda: self.n_reports,
            )

        self.uplink = await self.b.start_actor("uplink", uplink)
        await self.joined()

    async def joined(self) -> None:
        await eventually(lambda: self.nodes.running() and self.appeared and THERE in self.a.cells, what="joining")
        # The desk knows it before its answer has come.
        await eventually(lambda: self.uplink.actor.statistics()["state"] == "joined as hostb", what="its answer")

    def become(self, *rows: ActorRow) -> None:
        """Let something happen to the children of host B."""
        self.rows[1:] = rows
        self.n_reports += 1

    def cut(self) -> None:
        """Let the link break, as a partition does once it is noticed."""
        node = self.nodes.node("hostb")
        assert node.link is not None
        self.a.hang_up(node.link, "cut")


@asynccontextmanager
async def hosts(data: Path, *, grace_s: float = 30.0) -> AsyncIterator[Hosts]:
    made = Hosts(data)
    try:
        await made.start(grace_s=grace_s)
        yield made
    finally:
        made.executor.may_end.set()
        for node in (made.b, made.a):
            for cell in node.cells.values():
                life: Any = cell.life
                if life is not None:
                    await life.kill()
                    await life.wait()
        await made.b.close()
        await made.a.close()


async def test_a_node_that_beats_pushes_nobodys_traces_out(tmp_path: Path) -> None:
    async with hosts(tmp_path) as made:
        desk = made.a.cells["nodes"]
        n_before = int(desk.statistics()["handled"])
        # Each look of the uplink finds that something has happened, and tells it.
        made.uplink.actor._n_reports = itertools.count().__next__
        await eventually(lambda: int(desk.statistics()["handled"]) > n_before + 5)
        assert [hop.message for hop in made.a.traces.latest(100)] == ["joining.join"]


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
        assert (await asyncio.wait_for(answer, 10)).n_objects == 7
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
            await asyncio.wait_for(answer, 10)


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
        told = await asyncio.wait_for(death, 5)
        assert (told.actor, told.reason) == (THERE, "killed by SIGKILL")
        with pytest.raises(AskTimedOut):
            await desk.ask(WatchActor(actor=THERE), timeout_s=0.1)
        await eventually(lambda: made.a.cells["nodes"].statistics()["deferred"] == 0, what="the end of that watch")
        away = asyncio.ensure_future(desk.ask(WatchActor(actor=THERE)))
        with pytest.raises(ActorUnknown):
            await desk.ask(WatchActor(actor="nobody@hostb"))
        made.cut()
        assert (await asyncio.wait_for(away, 5)).reason == "cut"


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
