"""What the scheduler does about trouble that is not the well's: it waits, says so, and loses nobody."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from job_lab import WELLS, Lab, opened
from waiting import eventually

from hcs_mesh.actors.analysis.ended_job import summed_up
from hcs_mesh.actors.analysis.job_records import Record, Summary
from hcs_mesh.actors.retention import DAY_S
from hcs_mesh.messages.compute import (
    AwaitJob,
    CancelJob,
    ExecutorDown,
    ExecutorUp,
    GetJob,
    JobStatus,
    ListJobs,
    SubmitJob,
    WellStatus,
)
from hcs_mesh.plates.errors import PlaceAway
from hcs_mesh.plates.local.errors import RepositoryFailed, RepositoryFull
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import INNER, ActorGivenUp, AskFailed, AskTimedOut, BadMessage, MailboxFull, PeerGone

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path / "journal") as found:
        yield found


@pytest.mark.parametrize("where", ["folder", "commit", "executor", "metadata"])
async def test_a_full_disk_is_waited_for_and_named_and_no_well_pays_for_it(lab: Lab, where: str) -> None:
    full = RepositoryFull("the repository is full: 0 bytes are free", hint="make room")
    troubles: dict[str, deque[Any]] = {
        "folder": lab.shelf.at_folder,
        "commit": lab.shelf.at_commit,
        "executor": lab.at_executor,
        "metadata": lab.at_metadata,
    }
    job = await lab.submit()
    seen: list[JobStatus] = []
    troubles[where].extend([full] * 3 if where == "metadata" else [full] * 8)
    ended = await lab.until_over(job, seen)
    assert (ended.state, ended.reason, ended.faults) == ("done", "", ())
    assert any("the repository is full" in status.reason for status in seen)


async def test_trouble_that_does_not_pass_is_charged_to_the_well_in_the_end(lab: Lab) -> None:
    lab.shelf.at_commit.extend([RepositoryFailed("the disk stutters")] * 4)
    ended = await lab.until_over(await lab.submit("A01"))
    assert ended.state == "done"
    assert ended.faults == ("A01: the disk stutters",)


async def test_a_catalogue_that_is_away_for_a_while_costs_no_well(lab: Lab) -> None:
    job = await lab.submit()
    lab.at_metadata.extend([MailboxFull("full"), PeerGone("gone"), MailboxFull("full")])
    ended = await lab.until_over(job)
    assert (ended.state, ended.faults) == ("done", ())


@pytest.mark.parametrize("where", ["executor", "metadata"])
async def test_a_place_that_is_away_is_waited_for_and_named_and_costs_no_well(lab: Lab, where: str) -> None:
    job = await lab.submit()
    seen: list[JobStatus] = []
    troubles = {"executor": lab.at_executor, "metadata": lab.at_metadata}
    troubles[where].extend([PlaceAway("nobody serves the plate")] * 3)  # type: ignore[arg-type]
    ended = await lab.until_over(job, seen)
    assert (ended.state, ended.reason, ended.faults) == ("done", "", ())
    assert any("waiting: nobody serves the plate" in status.reason for status in seen)


async def test_what_a_job_writes_is_written_in_its_owners_name(lab: Lab) -> None:
    ended = await lab.until_over(await lab.submit("A01"))
    assert (ended.state, ended.owner) == ("done", INNER.name)
    # Its folder, its commit, and the sweep at the end.
    assert lab.shelf.requesters == [ended.owner] * 3


async def test_results_that_would_go_elsewhere_are_refused_before_there_is_a_job(lab: Lab) -> None:
    request = SubmitJob(plate_id=7, source="", key="k", wells=WELLS, results_in="omero")
    with pytest.raises(AskFailed, match="plate 7 is not of 'omero'"):
        await lab.scheduler.ask(request)
    assert await lab.scheduler.ask(ListJobs()) == ()


async def test_an_executor_that_refuses_a_well_and_lives_goes_on_with_the_others(lab: Lab) -> None:
    lab.at_executor.extend([MailboxFull("full"), BadMessage("cannot travel")])
    ended = await lab.until_over(await lab.submit())
    assert [one.state for one in ended.wells] == ["failed", "done", "done"]
    # It is asked again by the next job: nothing has taken it out.
    assert (await lab.until_over(await lab.submit("A02"))).state == "done"


async def test_a_job_that_waits_for_room_can_be_cancelled(lab: Lab) -> None:
    lab.shelf.at_folder.extend([RepositoryFull("the repository is full")] * 100_000)
    job = await lab.submit()
    await lab.until_reason(job, "full")
    assert (await lab.scheduler.ask(CancelJob(job=job))).state == "cancelled"
    lab.shelf.at_folder.clear()
    assert (await lab.until_over(await lab.submit("A02"))).state == "done"


async def test_jobs_say_that_they_wait_while_no_executor_is_up(lab: Lab) -> None:
    lab.shelf.at_folder.extend([RepositoryFull("the repository is full")] * 100_000)
    job = await lab.submit()
    await lab.until_reason(job, "full")
    lab.scheduler.tell(ExecutorDown(executor="executor.cpu0", pid=1))
    await lab.until_reason(job, "waiting: no executor is up (hcs-mesh ps shows why)")
    lab.shelf.at_folder.clear()
    lab.scheduler.tell(ExecutorUp(executor="executor.cpu0", pid=2))
    ended = await lab.until_over(job)
    assert (ended.state, ended.reason) == ("done", "")


async def test_the_well_pays_while_it_is_in_work_and_the_executor_when_it_is_idle(lab: Lab) -> None:
    job = await lab.submit("A01", "A02")
    await lab.until_over(job)
    assert lab.charges == [f"well A01 of {job}", "child", f"well A02 of {job}", "child"]


async def test_who_has_no_time_left_to_wait_for_a_job_is_not_waited_for(lab: Lab) -> None:
    status = await lab.until_over(await lab.submit("A01"))
    waiting = lab.scheduler.ask(AwaitJob(job=status.job, revision=status.revision, wait_s=86_400.0), timeout_s=0.1)
    with pytest.raises(AskTimedOut):
        await waiting
    await eventually(lambda: lab.node.cells["scheduler"].statistics()["deferred"] == 0, what="the end of the wait")


async def test_a_catalogue_that_was_given_up_is_said_to_whoever_submits(lab: Lab) -> None:
    lab.node.give_up("metadata", "catalogue was set aside")
    with pytest.raises(ActorGivenUp, match="catalogue was set aside"):
        async with asyncio.timeout(2.0):
            await lab.submit("A03")


async def test_a_journal_of_ended_jobs_from_before_they_were_packed_is_written_anew_once(tmp_path: Path) -> None:
    job = JobStatus(job="job-0001", plate_id=7, state="done", wells=(WellStatus(well="A01", state="done"),))
    old = Summary(job="job-0001", at_unix_s=time.time(), key="k", status=msgspec.msgpack.encode(job))
    async with await Journal[Record].open(tmp_path / "journal", record_type=Record) as journal:
        await journal.append(old)
    async with opened(tmp_path / "journal") as lab:
        assert await lab.scheduler.ask(GetJob(job="job-0001")) == job
    async with await Journal[Record].open(tmp_path / "journal", record_type=Record) as journal:
        (record,) = journal.replay()
    assert isinstance(record, Summary)
    assert (record.status, record.listed) == (b"", job.listed())


async def test_what_ended_long_ago_is_off_the_list_and_not_computed_again(tmp_path: Path) -> None:
    long_ago = time.time() - 400 * DAY_S
    ended = (WellStatus(well="A01", state="done"),)
    job = JobStatus(job="job-0007", plate_id=7, owner=INNER.name, state="done", wells=ended)
    async with await Journal[Record].open(tmp_path / "journal", record_type=Record) as journal:
        await journal.append(summed_up(job, str(()), long_ago))

    async with opened(tmp_path / "journal") as lab:

        async def off_the_list() -> bool:
            return await lab.scheduler.ask(ListJobs()) == ()

        await eventually(off_the_list, within_s=60.0, what="the end of job-0007 on the list")
        key = str(())
        again = SubmitJob(plate_id=7, source="", key=key, wells=WELLS)
        assert await lab.scheduler.ask(again) == "job-0007", "under its key nothing is computed a second time"
        assert await lab.submit(WELLS[0]) == "job-0008"
        assert [one.job for one in await lab.scheduler.ask(ListJobs())] == ["job-0008"]
