"""The supervisor's shell, on a clock of our own."""

import asyncio
import heapq

import pytest

from hcs_mesh.config.errors import MeshError
from hcs_mesh.supervisors.backoff import Backoff
from hcs_mesh.supervisors.child import Child, Exit
from hcs_mesh.supervisors.errors import ChildStartFailed, DuplicateChild, NoSuchChild, SupervisorNotRunning
from hcs_mesh.supervisors.intensity import RestartIntensity
from hcs_mesh.supervisors.shift import KILL_S
from hcs_mesh.supervisors.strategy import Restart, Strategy
from hcs_mesh.supervisors.supervisor import Supervisor
from hcs_mesh.supervisors.surroundings import Surroundings


class World:
    """Time that passes when told to, children that do as told, and what was seen of them."""

    def __init__(self):
        self.time_s = 0.0
        self.sleepers = []
        self.seen = []
        self.reports = []
        self.alive = {}
        self.bad_starts = {}
        self.surroundings = Surroundings(
            now_s=lambda: self.time_s,
            sleep=self.sleep,
            chance=lambda: 0.0,
            unix_s=lambda: 0.0,
            reporter=self.reports.append,
        )

    async def sleep(self, seconds):
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.time_s + seconds, len(self.seen), id(future), future))
        await future

    async def settle(self):
        """Let every task run until nothing more happens."""
        for _ in range(100):
            await asyncio.sleep(0)

    async def pass_time(self, seconds):
        end_s = self.time_s + seconds
        await self.settle()
        while self.sleepers and self.sleepers[0][0] <= end_s:
            self.time_s, _, _, future = heapq.heappop(self.sleepers)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self.time_s = end_s

    def child(self, name, **fields):
        async def start():
            if error := self.bad_starts.get(name):
                raise error
            return FakeRunning(self, name)

        return Child(name, start, **fields)

    def supervisor(self, name, children=(), **fields):
        return Supervisor(name, children, surroundings=self.surroundings, **fields)

    async def fail(self, name, **fields):
        self.alive[name].end(Exit(reason="failed", error=f"{name} broke", **fields))
        await self.settle()

    def occurrences(self):
        return [(report.occurrence, report.child) for report in self.reports]


class FakeRunning:
    """A child that ends when told to, deaf to stop if its name says so."""

    kind = "actor"
    pid = 7

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.ended = asyncio.get_running_loop().create_future()
        assert name not in world.alive, "two of one name"
        world.alive[name] = self
        world.seen.append(f"+{name}")

    def end(self, how):
        if not self.ended.done():
            self.world.seen.append(f"-{self.name}")
            del self.world.alive[self.name]
            self.ended.set_result(how)

    async def wait(self):
        return await asyncio.shield(self.ended)

    async def stop(self):
        if "rude" in self.name:
            raise RuntimeError("no")
        if "deaf" not in self.name:
            self.end(Exit(reason="shutdown"))

    async def kill(self):
        if "immortal" not in self.name:
            self.end(Exit(reason="killed"))

    def statistics(self):
        return {"mailbox": 3}


def scenario(function):
    """Run an async test in a loop and a world of its own."""

    def test():
        async def run():
            world = World()
            await function(world)
            leftovers = asyncio.all_tasks() - {asyncio.current_task()}
            assert not leftovers

        asyncio.run(run())

    test.__name__, test.__doc__ = function.__name__, function.__doc__
    return test


@scenario
async def test_children_start_in_order_and_stop_in_reverse(world):
    top = await world.supervisor("top", [world.child(name) for name in "abc"]).start()
    await top.stop()
    assert world.seen == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert (await top.wait()).reason == "shutdown"
    assert {row.state for row in top.tree()} == {"stopped"}


@scenario
async def test_each_start_returns_before_the_next_begins(world):
    gate = asyncio.Event()

    async def slow():
        await gate.wait()
        return FakeRunning(world, "slow")

    starting = asyncio.create_task(world.supervisor("top", [Child("slow", slow), world.child("b")]).start())
    await world.settle()
    assert world.seen == []
    gate.set()
    top = await starting
    assert world.seen == ["+slow", "+b"]
    await top.stop()


@scenario
async def test_a_failed_child_comes_back_after_its_backoff(world):
    top = await world.supervisor("top", [world.child("a", backoff=Backoff(first_s=0.5))]).start()
    await world.fail("a")
    (row,) = top.tree()[1:]
    assert (row.state, row.restarts, row.last_error) == ("backoff", 0, "a broke")
    await world.pass_time(0.49)
    assert world.alive == {}
    await world.pass_time(0.01)
    (row,) = top.tree()[1:]
    assert (row.state, row.restarts, row.mailbox, row.pid) == ("running", 1, 3, 7)
    assert world.occurrences() == [("started", "a"), ("failed", "a"), ("restarting", "a"), ("started", "a")]
    assert world.reports[1].error == "a broke"
    assert world.reports[2].delay_s == 0.5
    await top.stop()


@scenario
async def test_rest_for_one_restarts_those_behind(world):
    children = [world.child(name) for name in "abc"]
    top = await world.supervisor("top", children, strategy=Strategy.REST_FOR_ONE).start()
    await world.fail("b")
    await world.pass_time(1.0)
    assert world.seen[3:] == ["-b", "-c", "+b", "+c"]
    await top.stop()


@scenario
async def test_one_for_all_restarts_everyone(world):
    children = [world.child(name) for name in "abc"]
    top = await world.supervisor("top", children, strategy=Strategy.ONE_FOR_ALL).start()
    await world.fail("b")
    await world.pass_time(1.0)
    assert world.seen[3:] == ["-b", "-c", "-a", "+a", "+b", "+c"]
    await top.stop()


@scenario
async def test_a_supervisor_that_gives_up_ends_as_a_failure_that_says_why(world):
    top = world.supervisor("top", [world.child("a"), world.child("b")], intensity=RestartIntensity(1, 5.0))
    await top.start()
    await world.fail("a")
    await world.pass_time(1.0)
    await world.fail("a")
    how = await top.wait()
    assert how.reason == "failed"
    assert how.error == "gave up on a: more than 1 restarts within 5 s; last error: a broke"
    assert world.alive == {}
    assert world.occurrences()[-2:] == [("gave_up", "a"), ("stopped", "b")]
    assert [row.state for row in top.tree()] == ["failed", "failed", "stopped"]


@scenario
async def test_escalation_climbs_until_somebody_can_restart(world):
    """The leaf's supervisor gives up twice; the middle gives up for that; the top restarts the middle."""
    once = RestartIntensity(0, 5.0)
    leafs = world.supervisor("leafs", [world.child("leaf"), world.child("sibling")], intensity=once)
    middle = world.supervisor("middle", [world.child("before"), leafs], intensity=RestartIntensity(1, 5.0))
    top = await world.supervisor("top", [middle, world.child("other")]).start()
    await world.fail("leaf")
    await world.pass_time(1.0)
    assert [row.restarts for row in top.tree() if row.name == "leafs"] == [1]
    assert ("gave_up", "leaf") in world.occurrences()
    assert ("gave_up", "leafs") not in world.occurrences()
    await world.fail("leaf")
    await world.pass_time(1.0)
    assert ("gave_up", "leafs") in world.occurrences()
    rows = {row.name: row for row in top.tree()}
    assert rows["middle"].restarts == 1
    assert {row.state for row in rows.values()} == {"running"}
    assert world.seen.count("+other") == 1, "the rest went on"
    assert [(row.name, row.parent) for row in top.tree()] == [
        ("top", ""),
        ("middle", "top"),
        ("before", "middle"),
        ("leafs", "middle"),
        ("leaf", "leafs"),
        ("sibling", "leafs"),
        ("other", "top"),
    ]
    await top.stop()
    assert world.alive == {}


@scenario
async def test_a_quarantined_branch_is_reported_while_the_rest_goes_on(world):
    executors = world.supervisor(
        "executors",
        [world.child("cpu0"), world.child("cpu1")],
        intensity=RestartIntensity(0, 300.0),
        on_exhausted="quarantine",
    )
    top = await world.supervisor("top", [world.child("imports"), executors]).start()
    await world.fail("cpu0")
    states = {row.name: row.state for row in top.tree()}
    assert states["executors"] == states["cpu0"] == states["cpu1"] == "quarantined"
    assert states["top"] == states["imports"] == "running"
    assert ("quarantined", "cpu0") in world.occurrences()
    await top.restart_child("executors")
    assert {row.state for row in top.tree()} == {"running"}
    await top.stop()


@scenario
async def test_deaths_charged_to_the_work_never_exhaust_the_child(world):
    top = world.supervisor("top", [world.child("cpu0")], intensity=RestartIntensity(0, 300.0))
    await top.start()
    for _ in range(10):
        await world.fail("cpu0", blame="well B03")
        await world.pass_time(150.0)
    assert top.tree()[1].restarts == 10
    await top.stop()


@scenario
async def test_a_tree_that_cannot_start_stops_what_it_started_and_says_why(world):
    world.bad_starts["b"] = MeshError("port 7777 is in use.", hint="Stop the other mesh.")
    inner = world.supervisor("inner", [world.child("a"), world.child("b"), world.child("c")])
    top = world.supervisor("top", [world.child("first"), inner])
    with pytest.raises(ChildStartFailed, match="b did not start: port 7777 is in use") as caught:
        await top.start()
    assert caught.value.hint == "Stop the other mesh."
    assert world.seen == ["+first", "+a", "-a", "-first"]


@scenario
async def test_a_branch_that_may_be_quarantined_does_not_keep_the_tree_from_starting(world):
    world.bad_starts["gpu"] = RuntimeError("no device")
    branch = world.supervisor(
        "executors",
        [world.child("gpu"), world.child("cpu")],
        on_exhausted="quarantine",
        intensity=RestartIntensity(1, 5.0),
    )
    top = await world.supervisor("top", [branch, world.child("web")]).start()
    assert set(world.alive) == {"cpu", "web"}
    await world.pass_time(5.0)
    states = {row.name: row.state for row in top.tree()}
    assert (states["executors"], states["web"]) == ("quarantined", "running")
    await top.stop()


@scenario
async def test_a_deaf_child_is_killed_after_its_time_and_an_immortal_one_abandoned(world):
    children = [world.child("deaf", shutdown_s=2.0), world.child("deaf immortal", shutdown_s=1.0), world.child("rude")]
    top = await world.supervisor("top", children).start()
    stopping = asyncio.create_task(top.stop())
    await world.pass_time(0.0)
    assert set(world.alive) == {"deaf", "deaf immortal"}, "one that cannot be asked is killed at once"
    await world.pass_time(1.0 + KILL_S + 0.1)
    assert ("killed", "deaf immortal") in world.occurrences()
    assert ("abandoned", "deaf immortal") in world.occurrences()
    assert "deaf" in world.alive
    await world.pass_time(2.0)
    await stopping
    assert set(world.alive) == {"deaf immortal"}


@scenario
async def test_children_come_and_go_at_run_time(world):
    inner = world.supervisor("inner", [world.child("a")])
    top = await world.supervisor("top", [inner]).start()
    await inner.start_child(world.child("viewer"))
    assert "viewer" in world.alive
    with pytest.raises(DuplicateChild):
        await inner.start_child(world.child("viewer"))
    await top.stop_child("viewer")
    assert {row.name: row.state for row in top.tree()}["viewer"] == "stopped"
    first = await top.restart_child("viewer")
    assert await top.restart_child("viewer") is not first
    await top.stop_child("viewer", forget=True)
    assert "viewer" not in {row.name for row in top.tree()}
    with pytest.raises(NoSuchChild):
        await top.restart_child("viewer")
    world.bad_starts["bad"] = OSError("nothing there")
    with pytest.raises(ChildStartFailed, match="bad did not start: nothing there"):
        await top.start_child(world.child("bad"))
    assert "bad" not in {row.name for row in top.tree()}
    await top.stop()
    with pytest.raises(SupervisorNotRunning):
        await top.start_child(world.child("late"))


@scenario
async def test_a_temporary_child_is_forgotten_when_it_ends(world):
    top = await world.supervisor("top").start()
    await top.start_child(world.child("once", restart=Restart.TEMPORARY))
    await world.fail("once")
    assert len(top.tree()) == 1
    await top.stop()


@scenario
async def test_a_killed_supervisor_leaves_nothing_alive(world):
    inner = world.supervisor("inner", [world.child("a"), world.child("deaf")])
    top = await world.supervisor("top", [inner, world.child("b")]).start()
    await top.kill()
    assert world.alive == {}
    assert (await top.wait()).reason == "killed"
    assert {row.state for row in top.tree()} == {"stopped"}


@scenario
async def test_a_cancelled_start_leaves_nothing_alive(world):
    async def never():
        await asyncio.Event().wait()

    starting = asyncio.create_task(world.supervisor("top", [world.child("a"), Child("never", never)]).start())
    await world.settle()
    assert set(world.alive) == {"a"}
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert world.alive == {}


@scenario
async def test_a_stop_during_a_start_ends_both(world):
    async def never():
        await asyncio.Event().wait()

    top = world.supervisor("top", [world.child("a"), Child("never", never)])
    starting = asyncio.create_task(top.start())
    await world.settle()
    await top.stop()
    with pytest.raises(ChildStartFailed):
        await starting
    assert world.alive == {}


@scenario
async def test_a_supervisor_may_be_started_and_stopped_by_different_tasks(world):
    top = world.supervisor("top", [world.child("a")])
    await asyncio.create_task(top.start())
    await asyncio.create_task(top.stop())
    await asyncio.create_task(top.start())
    await asyncio.create_task(top.stop())
    assert world.seen == ["+a", "-a"] * 2


@scenario
async def test_a_reporter_that_fails_takes_nobody_along(world):
    def broken(report):
        raise ValueError("reporter")

    top = await Supervisor("top", [world.child("a")], reporter=broken).start()
    assert "a" in world.alive
    await top.stop()


@scenario
async def test_a_child_waiting_for_its_restart_can_be_stopped_or_started_at_once(world):
    top = await world.supervisor("top", [world.child("a", backoff=Backoff(first_s=0.5))]).start()
    await world.fail("a")
    await top.restart_child("a")
    assert "a" in world.alive
    await world.fail("a")
    await top.stop_child("a")
    await world.pass_time(10.0)
    assert world.alive == {}
    assert top.tree()[1].state == "stopped"
    await top.stop()


@scenario
async def test_two_children_of_one_name_are_refused(world):
    with pytest.raises(DuplicateChild, match="top has two children named a"):
        world.supervisor("top", [world.child("a"), world.child("a")])
