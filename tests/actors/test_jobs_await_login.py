"""A job whose owner has to log in before anybody may read its plate: it waits, says so, and costs nobody anything."""

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from job_lab import Lab, opened

from hcs_mesh.actors.analysis.patience import Patience
from hcs_mesh.messages.compute import CancelJob, ExecutorDown, ExecutorUp, GetJob, JobStatus
from hcs_mesh.messages.omero import PersonLoggedIn
from hcs_mesh.plates.omero.errors import OmeroAwaitsLogin
from hcs_mesh.transport import INNER

pytestmark = pytest.mark.anyio

AWAY = OmeroAwaitsLogin("nobody may act for ada at OMERO: no minter is set", hint="log in")
FOR_HOURS = Patience(first_s=3600.0, longest_s=3600.0, n_waits=1)


def places_of_trouble(lab: Lab) -> dict[str, deque[Any]]:
    return {
        "folder": lab.shelf.at_folder,
        "commit": lab.shelf.at_commit,
        "executor": lab.at_executor,
        "metadata": lab.at_metadata,
    }


@pytest.mark.parametrize("where", ["folder", "commit", "executor", "metadata"])
async def test_a_login_is_waited_for_without_end_and_no_well_pays_for_it(tmp_path: Path, where: str) -> None:
    async with opened(tmp_path / "journal") as lab:
        job = await lab.submit()
        seen: list[JobStatus] = []
        places_of_trouble(lab)[where].extend([AWAY] * 50)
        ended = await lab.until_over(job, seen)
        assert (ended.state, ended.reason, ended.faults) == ("done", "", ())
        assert any("waiting: nobody may act for ada" in status.reason for status in seen)


async def test_a_job_that_waits_for_a_login_leaves_its_executor_to_others(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", patience=FOR_HOURS) as lab:
        held = await lab.submit("A01", "A02")
        lab.at_executor.append(AWAY)
        await lab.until_reason(held, "nobody may act")
        assert [one.state for one in (await lab.scheduler.ask(GetJob(job=held))).wells] == ["queued", "queued"]
        assert (await lab.until_over(await lab.submit("A03"))).state == "done"
        assert (await lab.scheduler.ask(GetJob(job=held))).state == "running"
        assert lab.charges[:2] == [f"well A01 of {held}", "child"]


async def test_a_login_is_heard_of_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", patience=FOR_HOURS) as lab:
        held = await lab.submit()
        lab.at_executor.append(AWAY)
        await lab.until_reason(held, "nobody may act")
        lab.scheduler.tell(PersonLoggedIn(user="somebody else"))
        async with asyncio.timeout(60.0):
            lab.scheduler.tell(PersonLoggedIn(user=INNER.name))
            assert (await lab.until_over(held)).state == "done"


async def test_the_login_of_somebody_else_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", patience=FOR_HOURS) as lab:
        held = await lab.submit()
        lab.at_executor.append(AWAY)
        await lab.until_reason(held, "nobody may act")
        before = lab.node.cells["metadata"].statistics()["handled"]
        lab.scheduler.tell(PersonLoggedIn(user="somebody else"))
        # Answered behind it.
        assert "nobody may act" in (await lab.scheduler.ask(GetJob(job=held))).reason
        assert lab.node.cells["metadata"].statistics()["handled"] == before


async def test_a_job_that_waits_for_a_login_can_be_cancelled(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", patience=FOR_HOURS) as lab:
        held = await lab.submit()
        lab.at_executor.append(AWAY)
        await lab.until_reason(held, "nobody may act")
        assert (await lab.scheduler.ask(CancelJob(job=held))).state == "cancelled"
        assert (await lab.until_over(await lab.submit("A02"))).state == "done"


async def test_a_job_says_after_a_restart_that_it_waits_for_a_login(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", patience=FOR_HOURS) as lab:
        held = await lab.submit()
        lab.at_executor.append(AWAY)
        await lab.until_reason(held, "nobody may act")
    async with opened(tmp_path / "journal", at_metadata=[AWAY] * 2) as lab:
        await lab.until_reason(held, "nobody may act")
        assert (await lab.until_over(held)).state == "done"


async def test_a_plate_that_is_read_here_alone_waits_for_an_executor_here(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", root="omero://omero.example.org:4064") as lab:
        await lab.until_over(await lab.submit("A03"))
        lab.scheduler.tell(ExecutorDown(executor="executor.cpu0", pid=1))
        lab.scheduler.tell(ExecutorUp(executor="executor.cpu0@gpu7", pid=2))
        # It may compile, and gets no well.
        await lab.node.start_actor("executor.cpu0@gpu7", lab.bench)
        job = await lab.submit("A01")
        await lab.until_reason(job, "on the mesh's own host alone")
        assert (await lab.scheduler.ask(GetJob(job=job))).wells[0].state == "queued"
        lab.scheduler.tell(ExecutorUp(executor="executor.cpu0", pid=3))
        ended = await lab.until_over(job)
        assert (ended.state, ended.reason, ended.wells[0].executor) == ("done", "", "executor.cpu0")
