"""How an actor's life begins and ends, and what becomes of those who wait for it."""

import asyncio
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.supervisors import Actor, Node, Supervisor
from hcs_mesh.transport import AskFailed, Event, PeerGone, Request

pytestmark = pytest.mark.anyio


class Work(Request[int], frozen=True, kw_only=True, tag="lives.work"):
    how: str = "answer"


class Nudge(Event, frozen=True, kw_only=True, tag="lives.nudge"):
    how: str


class Worker(Actor[Work | Nudge]):
    """Ends in each way."""

    log: list[str]

    def __init__(self, log: list[str], *, start: str = "") -> None:
        self.log = log
        self.start = start

    async def started(self) -> None:
        self.log.append("started")
        if self.start == "fails":
            raise OSError("a planted fault")
        if self.start == "spawns a fault":
            self.context.spawn(self._fail())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def receive(self, message: Work | Nudge) -> Any:
        match message.how:
            case "answer":
                return 1
            case "fault":
                raise ZeroDivisionError("a planted fault")
            case "deferred fault":
                return self.defer(self._fail())
            case "spawned fault":
                self.context.spawn(self._fail())
            case "cancelled":
                return self.defer(self._cancelled())
            case "long":
                return self.defer(self._long())
            case "later":
                self.context.after(0.01, Nudge(how="noted"))
            case "stay":
                await asyncio.Event().wait()
            case "noted":
                self.log.append("noted")
        return None

    async def _fail(self) -> int:
        raise ZeroDivisionError("a planted fault")

    async def _cancelled(self) -> int:
        raise asyncio.CancelledError

    async def _long(self) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("deferred ended")
        return 0

    async def stopping(self) -> None:
        self.log.append("stopping")

    async def ended(self) -> None:
        self.log.append("ended")
        if self.start == "ends badly":
            raise OSError("a planted fault")


async def test_a_stopped_actor_says_so_then_ends() -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    await node.find("worker").ask(Work())
    await life.stop()
    assert (await life.wait()).reason == "shutdown"
    assert log == ["started", "stopping", "ended"]
    await node.close()


async def test_a_fault_in_deferred_work_is_told_to_its_asker_and_the_actor_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    ref = node.find("worker")
    for _ in range(5):
        with pytest.raises(AskFailed, match="a planted fault") as caught:
            await ref.ask(Work(how="deferred fault"))
        assert caught.value.failure.blame == "actor"
    assert await ref.ask(Work()) == 1
    assert log == ["started"]
    told = life.statistics()
    assert (told["faults"], told["last_error"]) == (5, "ZeroDivisionError: a planted fault")
    reported = [record.fields for record in caplog.records if record.message == "a fault in deferred work"]
    assert [(one["actor"], one["message"]) for one in reported] == [("worker", "Work")] * 5
    assert "in _fail" in reported[0]["traceback"]
    await life.kill()
    await life.wait()
    await node.close()


@pytest.mark.parametrize("how", ["fault", "deferred fault that nobody waits for", "spawned fault"])
async def test_an_actor_that_fails_is_ended(how: str) -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    if how.startswith("deferred"):
        node.find("worker").tell(Nudge(how="deferred fault"))
    elif how == "spawned fault":
        node.find("worker").tell(Nudge(how=how))
    else:
        with pytest.raises(AskFailed, match="a planted fault"):
            await node.find("worker").ask(Work(how=how))
    end = await life.wait()
    assert end.reason == "failed"
    assert "ZeroDivisionError" in end.error
    assert log == ["started", "ended"]
    await node.close()


async def test_a_killed_actor_is_ended_and_its_asker_learns_it() -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    asked = node.find("worker").ask(Work(how="stay"))
    await asyncio.sleep(0)
    await life.kill()
    assert (await life.wait()).reason == "killed"
    with pytest.raises(PeerGone, match="killed"):
        await asked
    assert log == ["started", "ended"]
    await node.close()


async def test_a_failed_start_is_ended_too() -> None:
    node, log = Node("n"), []
    with pytest.raises(OSError, match="a planted fault"):
        await node.start_actor("worker", lambda: Worker(log, start="fails"))
    assert log == ["started", "ended"]
    await node.close()


async def test_a_task_that_fails_during_the_start_fails_the_start() -> None:
    node, log = Node("here"), list[str]()
    with pytest.raises(ZeroDivisionError):
        await node.start_actor("worker", lambda: Worker(log, start="spawns a fault"))
    assert log[-1] == "ended"
    await node.close()


async def test_an_end_that_fails_is_a_failed_exit() -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log, start="ends badly"))
    await life.stop()
    end = await life.wait()
    assert (end.reason, end.error) == ("failed", "OSError: a planted fault")
    await node.close()


async def test_deferred_work_ends_with_its_actor_and_its_asker_learns_it() -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    asked = [node.find("worker").ask(Work(how="long")) for _ in range(2)]
    await node.find("worker").ask(Work())
    # This one is cancelled before its first step: it must be closed all the same.
    asked.append(node.find("worker").ask(Work(how="long")))
    await life.stop()
    await life.wait()
    for one in asked[:2]:
        with pytest.raises(PeerGone, match="ended before it answered"):
            await one
    asked[2].cancel()
    await asyncio.sleep(0)
    assert log.count("deferred ended") == 2
    await node.close()


async def test_deferred_work_that_is_cancelled_fails_its_asker_and_not_the_actor() -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    with pytest.raises(PeerGone, match="cancelled"):
        await node.find("worker").ask(Work(how="cancelled"))
    assert await node.find("worker").ask(Work()) == 1
    await life.stop()
    await life.wait()
    await node.close()


async def test_a_reminder_comes_after_its_delay_and_dies_with_its_life() -> None:
    node, log = Node("n"), []
    life = await node.start_actor("worker", lambda: Worker(log))
    node.find("worker").tell(Nudge(how="later"))
    await eventually(lambda: "noted" in log, what="the reminder")
    await life.stop()
    await life.wait()
    await node.close()


async def test_the_mailbox_is_kept_from_one_life_to_the_next() -> None:
    node, log = Node("n"), []
    root = Supervisor("root", [node.actor("worker", lambda: Worker(log), kind=Worker)])
    ref = None
    await root.start()
    ref = node.find("worker")
    broken = asyncio.ensure_future(ref.ask(Work(how="fault")))
    behind = [asyncio.ensure_future(ref.ask(Work())) for _ in range(100)]
    with pytest.raises(AskFailed):
        await broken
    assert await asyncio.gather(*behind) == [1] * 100
    assert log[:3] == ["started", "ended", "started"]
    await root.stop()
    await root.wait()
    await node.close()


def test_an_inbox_whose_messages_have_no_tag_is_refused() -> None:
    class Untagged(Event, frozen=True, kw_only=True):
        pass

    with pytest.raises(TypeError, match="Untagged"):

        class Bad(Actor[Untagged]):
            pass
