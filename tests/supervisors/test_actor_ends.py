"""What an actor had begun is laid down before it has ended, and it has ended before it begins anew."""

import asyncio
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.supervisors import Actor, Node, Supervisor
from hcs_mesh.supervisors.errands import WIND_UP_S
from hcs_mesh.supervisors.life import ENDED_S
from hcs_mesh.supervisors.reports import SupervisionReport
from hcs_mesh.supervisors.shift import KILL_S
from hcs_mesh.transport import AskFailed, Event, Request

pytestmark = pytest.mark.anyio


class Work(Request[int], frozen=True, kw_only=True, tag="ends.work"):
    how: str = "answer"


class Nudge(Event, frozen=True, kw_only=True, tag="ends.nudge"):
    how: str


class Cleaner(Actor[Work | Nudge]):
    """Needs a while to lay down what it is at, and never does where it is told to stay."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def started(self) -> None:
        self.log.append("started")
        self.context.spawn(self._work("spawned"))

    async def receive(self, message: Work | Nudge) -> Any:
        match message.how:
            case "fault":
                raise ZeroDivisionError("a planted fault")
            case "stay":
                self.context.spawn(self._stay())
                return 1
            case "begin more":
                self.context.spawn(self._begin_more())
                return 1
            case "reminded":
                self.log.append("reminded")
                return None
            case _:
                return self.defer(self._work(message.how))

    async def _work(self, what: str) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0.001)
            self.log.append(f"{what} laid down")
        return 0

    async def _begin_more(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.context.spawn(self._work("what was begun then"))
            self.context.after(0.0, Nudge(how="reminded"))

    async def _stay(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if "let go" in self.log:
                    raise

    async def ended(self) -> None:
        self.log.append("ended")


@pytest.mark.parametrize("how", ["fault", "stop", "kill"])
async def test_nothing_of_a_life_is_at_work_when_it_has_ended(how: str) -> None:
    node, log = Node("n"), []
    life = await node.start_actor("cleaner", lambda: Cleaner(log))
    asked = [node.find("cleaner").ask(Work(how="deferred"))]
    await eventually(lambda: life.n_deferred == 1)
    match how:
        case "fault":
            asked.append(node.find("cleaner").ask(Work(how="fault")))
        case "stop":
            await life.stop()
        case "kill":
            await life.kill()
    assert (await life.wait()).reason == {"fault": "failed", "stop": "shutdown", "kill": "killed"}[how]
    assert sorted(log[1:3]) == ["deferred laid down", "spawned laid down"]
    assert log[3:] == ["ended"]
    await asyncio.gather(*asked, return_exceptions=True)
    await node.close()


async def test_a_life_begins_when_the_one_before_has_laid_down_its_work() -> None:
    node, log = Node("n"), []
    tree = await Supervisor("tree", [node.actor("cleaner", lambda: Cleaner(log))]).start()
    with pytest.raises(AskFailed, match="a planted fault"):
        await node.find("cleaner").ask(Work(how="fault"))
    await eventually(lambda: log.count("started") == 2)
    assert log == ["started", "spawned laid down", "ended", "started"]
    await tree.stop()
    await node.close()


async def test_work_that_is_not_laid_down_is_told_of_and_the_life_ends_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hcs_mesh.supervisors.errands.WIND_UP_S", 0.2)
    node, log = Node("n"), []
    life = await node.start_actor("cleaner", lambda: Cleaner(log))
    before = asyncio.all_tasks()
    assert await node.find("cleaner").ask(Work(how="stay")) == 1
    await life.stop()
    await life.wait()
    assert log[-1] == "ended"
    assert "goes on after its end" in caplog.text
    log.append("let go")
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await node.close()


async def test_a_kill_does_not_cut_the_laying_down_short() -> None:
    node, log, gate, told = Node("n"), [], asyncio.Event(), []

    class Slow(Actor[Nudge]):
        async def started(self) -> None:
            log.append("started")
            self.context.spawn(self._work())

        async def receive(self, message: Nudge) -> None:
            return None

        async def _work(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await gate.wait()
                log.append("laid down")

        async def ended(self) -> None:
            log.append("ended")

    def hear(report: SupervisionReport) -> None:
        told.append(report.occurrence)
        if report.occurrence == "killed":
            asyncio.get_running_loop().call_later(0.05, gate.set)

    tree = await Supervisor("tree", [node.actor("slow", Slow, shutdown_s=0.02)], reporter=hear).start()
    await tree.restart_child("slow")
    assert log == ["started", "laid down", "ended", "started"]
    assert told == ["started", "killed", "stopped", "started"]
    gate.set()
    await tree.stop()
    await node.close()


async def test_what_is_laid_down_begins_nothing_any_more() -> None:
    node, log = Node("n"), []
    tree = await Supervisor("tree", [node.actor("cleaner", lambda: Cleaner(log))]).start()
    assert await node.find("cleaner").ask(Work(how="begin more")) == 1
    await tree.restart_child("cleaner")
    # Behind whatever the life before would have reminded the actor of.
    with pytest.raises(AskFailed, match="a planted fault"):
        await node.find("cleaner").ask(Work(how="fault"))
    await tree.stop()
    assert set(log) == {"started", "spawned laid down", "ended"}
    await node.close()


@pytest.mark.parametrize("how", ["fault", "kill"])
async def test_a_life_that_is_over_before_its_first_step_is_laid_down_and_says_what_it_failed_of(how: str) -> None:
    node, log = Node("n"), []

    class Hasty(Cleaner):
        async def started(self) -> None:
            await super().started()
            self.context.after(0.0, Nudge(how="reminded"))
            if how == "fault":
                self.context.spawn(self._fail())
            # It has failed when the start is done, and nobody has heard of that yet.
            await asyncio.sleep(0)

        async def _fail(self) -> None:
            raise ZeroDivisionError("a planted fault")

    life = await node.start_actor("hasty", lambda: Hasty(log))
    if how == "kill":
        await life.kill()
    end = await life.wait()
    failed = ("failed", "ZeroDivisionError: a planted fault")
    assert (end.reason, end.error) == (failed if how == "fault" else ("killed", ""))
    assert log == ["started", "spawned laid down", "ended"]
    assert node.cells["hasty"].life is None
    await node.close()


class Lingering(Actor[Nudge]):
    """Lays down its work, and comes to its end, when each gate is opened."""

    def __init__(self, log: list[str], work: asyncio.Event, end: asyncio.Event) -> None:
        self.log = log
        self.work = work
        self.end = end

    async def started(self) -> None:
        self.log.append("started")
        self.context.spawn(self._work())
        await asyncio.sleep(0)

    async def receive(self, message: Nudge) -> None:
        return None

    async def _work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("laying down")
            await self.work.wait()

    async def ended(self) -> None:
        self.log.append("ending")
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.log.append("cut short")
            raise
        self.log.append("ended")


@pytest.mark.parametrize("when", ["at work", "laying down", "ending"])
async def test_a_killed_actors_end_is_not_cut_short_within_its_time(when: str) -> None:
    node, log, work, end = Node("n"), [], asyncio.Event(), asyncio.Event()
    life = await node.start_actor("lingering", lambda: Lingering(log, work, end))
    if when != "at work":
        await life.stop()
    if when == "ending":
        work.set()
    await eventually(lambda: when in ("at work", log[-1]))
    await life.kill()
    await eventually(lambda: log[-1] == ("ending" if when == "ending" else "laying down"))
    work.set()
    await eventually(lambda: log[-1] == "ending")
    end.set()
    assert (await life.wait()).reason == ("killed" if when == "at work" else "shutdown")
    assert log == ["started", "laying down", "ending", "ended"]
    await node.close()


@pytest.mark.parametrize("when", ["at work", "laying down", "ending"])
async def test_the_end_of_a_killed_actor_that_does_not_come_is_cancelled_and_told_of(
    when: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hcs_mesh.supervisors.life.ENDED_S", 0.05)
    node, log, work = Node("n"), [], asyncio.Event()
    life = await node.start_actor("lingering", lambda: Lingering(log, work, asyncio.Event()))
    if when != "at work":
        await life.stop()
    if when == "ending":
        work.set()
    await eventually(lambda: when in ("at work", log[-1]))
    await life.kill()
    work.set()
    await asyncio.wait_for(life.wait(), 30)
    assert log == ["started", "laying down", "ending", "cut short"]
    assert "the end of a killed actor took too long" in caplog.text
    await node.close()


async def test_a_supervisor_that_kills_an_actor_while_it_lays_down_is_rid_of_it_however_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hcs_mesh.supervisors.life.ENDED_S", 0.05)
    node, log, work, told = Node("n"), [], asyncio.Event(), []

    def hear(report: SupervisionReport) -> None:
        told.append(report.occurrence)
        if report.occurrence == "killed":
            asyncio.get_running_loop().call_later(0.05, work.set)

    lingering = node.actor("lingering", lambda: Lingering(log, work, asyncio.Event()), kind=Lingering, shutdown_s=0.02)
    tree = await Supervisor("tree", [lingering], reporter=hear).start()
    await tree.restart_child("lingering")
    assert log == ["started", "laying down", "ending", "cut short", "started"]
    assert told == ["started", "killed", "stopped", "started"]
    await tree.stop()
    await node.close()


async def test_a_fault_is_told_though_the_end_after_it_had_to_be_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcs_mesh.supervisors.life.ENDED_S", 0.05)
    node, log, work = Node("n"), [], asyncio.Event()
    work.set()

    class Failing(Lingering):
        async def receive(self, message: Nudge) -> None:
            raise ZeroDivisionError("a planted fault")

    life = await node.start_actor("failing", lambda: Failing(log, work, asyncio.Event()))
    node.find("failing").tell(Nudge(how="fault"))
    await eventually(lambda: log[-1] == "ending")
    await life.kill()
    end = await asyncio.wait_for(life.wait(), 30)
    assert (end.reason, end.error) == ("failed", "ZeroDivisionError: a planted fault")
    assert log[-1] == "cut short"
    await node.close()


def test_a_killed_actor_has_less_time_for_its_work_and_its_end_than_it_is_waited_for() -> None:
    assert WIND_UP_S + ENDED_S < KILL_S
