"""A job that is cancelled while the host of its well cannot be told: it hears of it later, and nothing is committed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from job_lab import Lab, opened
from waiting import eventually

from hcs_mesh.actors.analysis import well_runs
from hcs_mesh.config import MeshError
from hcs_mesh.messages.compute import CancelJob, CancelWell, CompilePipeline, ExecutorDown, ExecutorUp, RunWell
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor

pytestmark = pytest.mark.anyio

THERE = "executor.cpu0@hostb"


class Cancelled(MeshError, RuntimeError):
    """As an executor answers that heeds a cancellation."""


class Away(Actor[CompilePipeline | RunWell | CancelWell]):
    """An executor elsewhere that computes on, and hears nothing until its host is back."""

    def __init__(self) -> None:
        self.is_back = self.is_done = False
        self.n_lost = 0
        self.at: asyncio.Future[None] | None = None

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        match message:
            case CompilePipeline():
                return "counting"
            case RunWell() if self.is_done:
                return self._result(message)
            case RunWell():
                self.at = asyncio.get_running_loop().create_future()
                return self.defer(self._run(message, self.at))
            case CancelWell() if not self.is_back:
                self.n_lost += 1
            case CancelWell() if self.at is not None and not self.at.done():
                self.at.set_exception(Cancelled("nobody wants it"))
        return None

    async def _run(self, message: RunWell, at: asyncio.Future[None]) -> StoredResult:
        await at
        return self._result(message)

    @staticmethod
    def _result(message: RunWell) -> StoredResult:
        return StoredResult(job=message.job, plate_id=message.plate.id, well=message.well, attempt=1)


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(well_runs, "CANCEL_GRACE_S", 0.02)
    async with opened(tmp_path / "journal") as found:
        found.scheduler.tell(ExecutorDown(executor="executor.cpu0", pid=1))
        yield found


async def cancelled_behind_a_break(lab: Lab) -> Away:
    """The executor of a well whose job was cancelled while its host was away."""
    away = Away()
    await lab.node.start_actor(THERE, lambda: away)
    lab.scheduler.tell(ExecutorUp(executor=THERE, pid=7))
    job = await lab.submit("A01")
    await eventually(lambda: away.at is not None, what="the well being computed")
    lab.scheduler.tell(ExecutorDown(executor=THERE, pid=7))
    assert (await lab.scheduler.ask(CancelJob(job=job))).state == "cancelled"
    return away


async def test_a_cancellation_is_said_again_until_the_host_is_back_to_hear_it(lab: Lab) -> None:
    away = await cancelled_behind_a_break(lab)
    await eventually(lambda: away.n_lost > 3, what="a cancellation that is said again")
    away.is_back = True
    lab.scheduler.tell(ExecutorUp(executor=THERE, pid=7))
    assert away.at is not None
    await eventually(away.at.done, what="the end of the cancelled well")
    away.is_done = True
    assert (await lab.until_over(await lab.submit("A02"))).state == "done", "its executor is free"
    assert set(lab.shelf.kept) == {("job-0002", "A02")}


async def test_a_well_that_was_computed_in_spite_of_its_cancellation_is_not_committed(lab: Lab) -> None:
    away = await cancelled_behind_a_break(lab)
    assert away.at is not None
    away.is_done = True
    away.at.set_result(None)
    lab.scheduler.tell(ExecutorUp(executor=THERE, pid=7))
    assert (await lab.until_over(await lab.submit("A02"))).state == "done", "its executor is free"
    assert set(lab.shelf.kept) == {("job-0002", "A02")}
