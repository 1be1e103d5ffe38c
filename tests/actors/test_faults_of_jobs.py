"""A fault of the mesh itself where results are kept: the well or the job that meets it fails, and others go on."""

from collections import deque
from pathlib import Path

import pytest
from job_lab import WELLS, Shelf, opened

from hcs_mesh.actors.analysis import job_resumption
from hcs_mesh.actors.analysis.job_resumption import FAULTS_PER_JOB
from hcs_mesh.messages.compute import CancelJob, GetJob
from hcs_mesh.plates.local.errors import RepositoryFull

pytestmark = pytest.mark.anyio

FAULT = "1.0 PIXEL cannot be converted to MICROMETER"
TOLD = f"a fault of the mesh itself, not of the source: Exception: {FAULT}"
ATTEMPTS = 3


def faults(n: int) -> list[Exception]:
    return [Exception(FAULT) for _ in range(n)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_resumption, "AGAIN_S", 0.01)


@pytest.mark.parametrize("where", ["folder", "commit"])
async def test_a_well_that_meets_a_fault_at_each_attempt_fails_with_it_and_others_go_on(
    tmp_path: Path, where: str
) -> None:
    async with opened(tmp_path / "journal") as lab:
        {"folder": lab.shelf.at_folder, "commit": lab.shelf.at_commit}[where].extend(faults(ATTEMPTS))
        ended = await lab.until_over(await lab.submit("A01"))
        assert (ended.state, ended.wells[0].error) == ("failed", TOLD)
        assert ended.faults == (f"A01: {TOLD}",) * ATTEMPTS
        assert (await lab.until_over(await lab.submit("A02"))).state == "done"


@pytest.mark.parametrize("where", ["folder", "commit"])
async def test_a_fault_that_passes_costs_a_well_one_attempt(tmp_path: Path, where: str) -> None:
    async with opened(tmp_path / "journal") as lab:
        {"folder": lab.shelf.at_folder, "commit": lab.shelf.at_commit}[where].extend(faults(1))
        ended = await lab.until_over(await lab.submit("A01"))
        assert (ended.state, ended.faults) == ("done", (f"A01: {TOLD}",))


async def test_a_fault_in_the_sweep_at_the_end_of_a_job_leaves_it_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as lab:
        lab.shelf.at_sweep["job-0001"] = deque(faults(1))
        assert (await lab.until_over(await lab.submit())).state == "done"
        assert not lab.shelf.at_sweep["job-0001"]


async def two_unfinished_jobs(journal: Path) -> tuple[str, str]:
    """Two jobs, of three wells and of one, whose scheduler ended before any was computed."""
    async with opened(journal) as lab:
        lab.shelf.at_folder.extend([RepositoryFull("the repository is full")] * 100_000)
        jobs = await lab.submit(), await lab.submit("A02")
        await lab.until_reason(jobs[0], "full")
    return jobs


@pytest.mark.parametrize("where", ["sweep", "results"])
async def test_a_job_that_meets_a_fault_whenever_it_is_taken_up_fails_and_others_go_on(
    tmp_path: Path, where: str
) -> None:
    journal, shelf = tmp_path / "journal", Shelf()
    faulty, sound = await two_unfinished_jobs(journal)
    at = {"sweep": shelf.at_sweep, "results": shelf.at_results}[where]
    # One more is met by the sweep at its end.
    at[faulty] = deque(faults(FAULTS_PER_JOB + 1))
    async with opened(journal, shelf=shelf) as lab:
        ended = await lab.until_over(faulty)
        assert (ended.state, ended.reason) == ("failed", f"3 of 3 wells failed; A01: {TOLD}")
        assert [(one.well, one.state, one.error) for one in ended.wells] == [(well, "failed", TOLD) for well in WELLS]
        assert (await lab.until_over(sound)).state == "done"
    async with opened(journal) as lab:
        assert (await lab.scheduler.ask(GetJob(job=faulty))).state == "failed"


async def test_a_job_whose_fault_passes_while_it_is_taken_up_is_done(tmp_path: Path) -> None:
    journal, shelf = tmp_path / "journal", Shelf()
    faulty, sound = await two_unfinished_jobs(journal)
    shelf.at_results[faulty] = deque(faults(FAULTS_PER_JOB - 1))
    async with opened(journal, shelf=shelf) as lab:
        assert [(await lab.until_over(job)).state for job in (faulty, sound)] == ["done", "done"]


async def test_a_job_that_meets_a_fault_while_it_is_taken_up_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_resumption, "FAULTS_PER_JOB", 10**9)
    journal, shelf = tmp_path / "journal", Shelf()
    faulty, sound = await two_unfinished_jobs(journal)
    shelf.at_results[faulty] = deque(faults(100_000))
    async with opened(journal, shelf=shelf) as lab:
        await lab.until_reason(faulty, f"waiting: {TOLD}")
        assert (await lab.scheduler.ask(CancelJob(job=faulty))).state == "cancelled"
        assert (await lab.until_over(sound)).state == "done"
