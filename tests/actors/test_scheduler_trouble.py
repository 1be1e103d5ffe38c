"""What the scheduler does about trouble that is not the well's: it waits, says so, and loses nobody."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from held_disk import HeldDisk
from job_lab import WELLS, Bench, Lab, opened
from waiting import eventually

from hcs_mesh.actors.analysis.ended_job import summed_up
from hcs_mesh.actors.analysis.job_records import Record, Summary
from hcs_mesh.actors.retention import DAY_S, Retention
from hcs_mesh.messages.compute import (
    AwaitJob,
    CancelJob,
    CancelWell,
    CompilePipeline,
    ExecutorDown,
    ExecutorUp,
    GetJob,
    JobStatus,
    ListJobs,
    RunWell,
    SubmitJob,
    WellStatus,
)
from hcs_mesh.plates.errors import PlaceAway
from hcs_mesh.plates.local.errors import RepositoryFailed, RepositoryFull
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import (
    INNER,
    ActorGivenUp,
    ActorUnknown,
    AskFailed,
    AskTimedOut,
    BadMessage,
    MailboxFull,
    PeerAnew,
    PeerGone,
)

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


async def test_a_well_that_is_lost_with_its_host_again_and_again_is_set_aside(lab: Lab) -> None:
    there, pid = "executor.cpu0@hostb", 1
    await lab.node.start_actor(there, lab.bench)
    lab.scheduler.tell(ExecutorUp(executor=there, pid=pid))
    lab.scheduler.tell(ExecutorDown(executor="executor.cpu0", pid=1))
    lab.at_executor.extend([ActorUnknown("the node hostb is away")] * 9)
    job = await lab.submit("A01")

    async def is_over() -> bool:
        nonlocal pid
        pid += 1
        lab.scheduler.tell(ExecutorUp(executor=there, pid=pid))
        return (await lab.scheduler.ask(GetJob(job=job))).state != "running"

    await eventually(is_over, within_s=30.0, what="the end of the job")
    ended = await lab.scheduler.ask(GetJob(job=job))
    assert ended.state == "failed"
    assert ended.faults == (f"A01: {there} was lost with it: the node hostb is away",) * 3
    assert ended.wells[0].attempts == 5, "twice it went free"


async def test_an_executor_that_is_back_with_its_host_under_the_pid_that_it_had_goes_on(lab: Lab) -> None:
    lab.at_executor.append(PeerAnew("the node hostb died"))
    job = await lab.submit("A01")
    ended = await lab.until_over(job)
    assert ended.state == "done"
    assert ended.faults == ("A01: executor.cpu0 (process 1) died over it: the node hostb died",)


class Dying(Bench):
    """Dies over its wells, and the disk is held from then on."""

    def __init__(self, disk: HeldDisk, troubles: deque[Exception]) -> None:
        super().__init__(troubles)
        self._disk = disk

    async def receive(self, message: CompilePipeline | RunWell | CancelWell) -> Any:
        if isinstance(message, RunWell) and self.troubles:
            self._disk.is_free.clear()
        return await super().receive(message)


async def test_an_executor_that_is_back_while_its_death_is_written_down_goes_on(tmp_path: Path) -> None:
    disk = HeldDisk()
    async with opened(tmp_path / "journal", disk=disk) as lab:
        deaths: deque[Exception] = deque([PeerGone("it died")])
        await lab.node.start_actor("executor.cpu1", lambda: Dying(disk, deaths))
        lab.scheduler.tell(ExecutorUp(executor="executor.cpu1", pid=7))
        lab.scheduler.tell(ExecutorDown(executor="executor.cpu0", pid=1))
        job = await lab.submit("A01")
        await eventually(disk.is_waited_for.is_set, what="its death being written down")
        # In a container every life of it may have the same pid.
        lab.scheduler.tell(ExecutorDown(executor="executor.cpu1", pid=7))
        lab.scheduler.tell(ExecutorUp(executor="executor.cpu1", pid=7))
        await lab.scheduler.ask(GetJob(job=job))
        disk.is_free.set()
        ended = await asyncio.wait_for(lab.until_over(job), 30)
        assert ended.state == "done"
        assert ended.faults == ("A01: executor.cpu1 (process 7) died over it: it died",)


async def test_who_has_no_time_left_to_wait_for_a_job_is_not_waited_for(lab: Lab) -> None:
    status = await lab.until_over(await lab.submit("A01"))
    waiting = lab.scheduler.ask(AwaitJob(job=status.job, revision=status.revision, wait_s=86_400.0), timeout_s=0.1)
    with pytest.raises(AskTimedOut):
        await waiting
    await eventually(lambda: lab.node.cells["scheduler"].statistics()["deferred"] == 0, what="the end of the wait")


async def test_a_catalogue_that_was_given_up_is_said_to_whoever_submits(lab: Lab) -> None:
    lab.node.give_up("metadata", "catalogue was set aside")
    with pytest.raises(ActorGivenUp, match="catalogue was set aside"):
        async with asyncio.timeout(20.0):
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

    # A tenth of the time passes before the first look.
    async with opened(tmp_path / "journal", retention=Retention(keep_days=20 / DAY_S)) as lab:

        async def off_the_list() -> bool:
            return await lab.scheduler.ask(ListJobs()) == ()

        await eventually(off_the_list, within_s=40.0, what="job-0007 being off the list")
        key = str(())
        again = SubmitJob(plate_id=7, source="", key=key, wells=WELLS)
        assert await lab.scheduler.ask(again) == "job-0007", "under its key nothing is computed a second time"
        assert await lab.submit(WELLS[0]) == "job-0008"
        assert [one.job for one in await lab.scheduler.ask(ListJobs())] == ["job-0008"]
