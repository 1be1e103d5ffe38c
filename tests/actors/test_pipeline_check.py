"""A pipeline is checked by whichever executor answers: those that are paused, full or dead keep nobody from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from job_lab import Bench, Lab, opened
from waiting import eventually

from hcs_mesh.actors.analysis import pipeline_check
from hcs_mesh.config import MeshError
from hcs_mesh.messages.compute import CancelWell, CompilePipeline, ExecutorDown, ExecutorUp, RunWell
from hcs_mesh.supervisors import MailboxLimits
from hcs_mesh.transport import AskFailed, MailboxFull, PeerGone

pytestmark = pytest.mark.anyio

LONG_S = 30.0
"""What no test waits for, unless something is wrong."""


class Dying(Bench):
    """Dies over every pipeline."""

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        if isinstance(message, CompilePipeline):
            raise PeerGone("it died")
        return await super().receive(message)


class Broken(Bench):
    """Its connection breaks over the first pipeline, and is there again: in the same life, of which nobody is told."""

    n_asked = 0

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        if isinstance(message, CompilePipeline):
            self.n_asked += 1
            if self.n_asked == 1:
                raise PeerGone("the connection broke before the answer came")
        return await super().receive(message)


class Full(Bench):
    """Has room for one message."""

    mailbox: ClassVar[MailboxLimits] = MailboxLimits(max_messages=1)


class Refusing(Bench):
    """Finds every pipeline wrong."""

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        if isinstance(message, CompilePipeline):
            raise MeshError("step 3 is wrong")
        return await super().receive(message)


class Slow(Bench):
    """Checks a pipeline once it may, and says when it was asked to."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.at_executor)
        self.is_asked, self.may_end = asyncio.Event(), asyncio.Event()

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        if isinstance(message, CompilePipeline):
            self.is_asked.set()
            return self.defer(self._check())
        return await super().receive(message)

    async def _check(self) -> str:
        await self.may_end.wait()
        return "counting"


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    """A scheduler whose first executor is paused; silence is taken for such soon."""
    monkeypatch.setattr(pipeline_check, "ANSWER_S", 0.02)
    monkeypatch.setattr(pipeline_check, "AGAIN_S", 0.02)
    async with opened(tmp_path / "journal") as found:
        found.node.cells["executor.cpu0"].pause()
        yield found


async def add(lab: Lab, name: str, executor: Bench) -> None:
    """Another executor, that the scheduler knows behind those before."""
    await lab.node.start_actor(name, lambda: executor)
    lab.scheduler.tell(ExecutorUp(executor=name, pid=1))


async def test_another_executor_checks_what_a_paused_one_was_asked_first(lab: Lab) -> None:
    await add(lab, "executor.cpu1", lab.bench())
    async with asyncio.timeout(LONG_S):
        assert await lab.submit("A01")
    # It was asked, and asked first.
    assert len(lab.node.cells["executor.cpu0"].box)


async def test_of_many_executors_the_only_one_that_answers_is_found(lab: Lab) -> None:
    for number in range(1, 40):
        await add(lab, f"executor.cpu{number}", lab.bench())
        lab.node.cells[f"executor.cpu{number}"].pause()
    await add(lab, "executor.cpu40", lab.bench())
    async with asyncio.timeout(LONG_S):
        assert await lab.submit("A01")


@pytest.mark.parametrize("is_alone", [True, False])
async def test_one_whose_connection_broke_is_asked_again_though_nobody_says_that_it_is_back(
    lab: Lab, *, is_alone: bool
) -> None:
    broken = Broken(lab.at_executor)
    await add(lab, "executor.cpu1", broken)
    if is_alone:
        lab.scheduler.tell(ExecutorDown(executor="executor.cpu0", pid=1))
    async with asyncio.timeout(LONG_S):
        assert await lab.submit("A01")
    assert broken.n_asked == 2


async def add_full(lab: Lab, name: str) -> None:
    """An executor that is paused, and has no room for more than waits for it."""
    await add(lab, name, Full(lab.at_executor))
    lab.node.cells[name].pause()
    lab.node.find(name).tell(CancelWell(job="job-0", well="A01"))


async def test_those_that_die_or_are_full_are_passed_over_beside_a_paused_one(lab: Lab) -> None:
    await add(lab, "executor.cpu1", Dying(lab.at_executor))
    await add_full(lab, "executor.cpu2")
    await add(lab, "executor.cpu3", lab.bench())
    async with asyncio.timeout(LONG_S):
        assert await lab.submit("A01")


async def test_one_that_is_slow_is_still_waited_for_while_others_are_asked(lab: Lab) -> None:
    slow = Slow(lab)
    await add(lab, "executor.cpu1", slow)
    await add(lab, "executor.cpu2", lab.bench())
    lab.node.cells["executor.cpu2"].pause()
    async with asyncio.timeout(LONG_S):
        submitted = asyncio.ensure_future(lab.submit("A01"))
        await slow.is_asked.wait()
        await eventually(lambda: len(lab.node.cells["executor.cpu2"].box) > 0, what="one more being asked")
        slow.may_end.set()
        assert await submitted


async def test_one_that_comes_up_while_a_paused_one_is_silent_is_asked(lab: Lab) -> None:
    async with asyncio.timeout(LONG_S):
        submitted = asyncio.ensure_future(lab.submit("A01"))
        await eventually(lambda: len(lab.node.cells["executor.cpu0"].box) > 0, what="it being asked")
        await add(lab, "executor.cpu1", lab.bench())
        assert await submitted


async def test_what_is_wrong_with_a_pipeline_is_said_by_whoever_answers(lab: Lab) -> None:
    await add(lab, "executor.cpu1", Refusing(lab.at_executor))
    with pytest.raises(AskFailed, match="step 3 is wrong"):
        async with asyncio.timeout(LONG_S):
            await lab.submit("A01")


async def test_when_all_are_paused_they_are_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_check, "COMPILE_TIMEOUT_S", 0.05)
    await add(lab, "executor.cpu1", lab.bench())
    lab.node.cells["executor.cpu1"].pause()
    with pytest.raises(
        AskFailed, match=r"no executor that is up has answered .*: executor\.cpu0, executor\.cpu1"
    ) as told:
        async with asyncio.timeout(LONG_S):
            await lab.submit("A01")
    assert told.value.failure.kind == "NoExecutor"
    assert "hcs-mesh resume" in told.value.hint


async def test_when_none_has_room_its_asker_learns_when_to_come_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_check, "COMPILE_TIMEOUT_S", 0.05)
    await add_full(lab, "executor.cpu1")
    with pytest.raises(MailboxFull):
        async with asyncio.timeout(LONG_S):
            await lab.submit("A01")


async def test_when_none_comes_up_that_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_check, "NO_EXECUTOR_S", 0.0)
    async with opened(tmp_path / "journal") as lab:
        with pytest.raises(AskFailed, match="no executor has come up within 0 s"):
            await lab.submit("A01")
