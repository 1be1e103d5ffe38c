"""Jobs of other people: who is told of them, and who decides about them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from job_lab import Lab, opened

from hcs_mesh.actors.analysis.executor import busy_with
from hcs_mesh.actors.analysis.patience import Patience
from hcs_mesh.messages.compute import AwaitJob, CancelJob, GetJob, JobStatus, ListJobs, RunWell, SubmitJob
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.omero.errors import OmeroAwaitsLogin, OmeroUnreachable
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Link, Principal, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.transport.messages import Role

pytestmark = pytest.mark.anyio

MESH = new_pair()
PEOPLE: dict[str, Role] = {"ada": "user", "grace": "user", "chief": "administrator"}
NOT_HERS = PlateNotFound("There is no plate 7.")
FOR_HOURS = Patience(first_s=3600.0, longest_s=3600.0, n_waits=1)
AWAITS_LOGIN = OmeroAwaitsLogin("nobody may act for ada at OMERO", hint="log in")


class House:
    """A scheduler, and people who ask it by keys of their own."""

    def __init__(self, lab: Lab, links: dict[str, Link]) -> None:
        self.lab = lab
        self._links = links

    async def ask(self, name: str, request: Any) -> Any:
        return await self._links[name].ask("scheduler", request, timeout_s=60.0)

    async def refused(self, name: str, request: Any) -> str:
        """What somebody is told instead of an answer."""
        with pytest.raises(AskFailed) as found:
            await self.ask(name, request)
        return f"{found.value} {found.value.hint}"

    async def job_of_ada(self) -> str:
        """A job that is done."""
        job = str(await self.ask("ada", SubmitJob(plate_id=7, source="", key="done", wells=("A01",))))
        await self.lab.until_over(job)
        return job

    async def waiting_job_of_ada(self, key: str) -> str:
        """A job that waits for its owner to log in."""
        self.lab.shelf.at_folder.append(AWAITS_LOGIN)
        job = str(await self.ask("ada", SubmitJob(plate_id=7, source="", key=key, wells=("A01",))))
        await self.lab.until_reason(job, "nobody may act")
        return job

    def n_asked_of_metadata(self) -> int:
        return int(self.lab.node.cells["metadata"].statistics()["handled"])


@asynccontextmanager
async def house(folder: Path, *, is_private: bool) -> AsyncIterator[House]:
    async with opened(folder / "journal", patience=FOR_HOURS, is_private=is_private) as lab:
        ring, endpoint, dialers = KeyRing(folder / "keys"), ipc_endpoint(folder, "front"), []
        lab.node.listen_front(endpoint, MESH, ring)
        for name, role in PEOPLE.items():
            pair = new_pair()
            ring.allow(Principal(name=name, role=role), pair.public)
            server = ServerKey(public=MESH.public)
            dialers.append(Dialer(lab.node.context, endpoint, lambda *_: None, name=name, key=pair, server=server))
        try:
            yield House(lab, {one: dialer.link for one, dialer in zip(PEOPLE, dialers, strict=True)})
        finally:
            for dialer in dialers:
                dialer.close()


@pytest.mark.parametrize("error", [NOT_HERS, OmeroUnreachable("it is away")])
async def test_a_job_on_another_s_private_plate_is_told_as_one_that_does_not_exist(
    tmp_path: Path, error: Exception
) -> None:
    async with house(tmp_path, is_private=True) as here:
        job = await here.job_of_ada()
        for request in (GetJob, CancelJob, lambda job: AwaitJob(job=job, revision=-1)):
            here.lab.at_metadata.append(error)  # type: ignore[arg-type]
            told = await here.refused("grace", request(job=job))
            assert told.replace(job, "J") == (await here.refused("grace", request(job="job-9999"))).replace(
                "job-9999", "J"
            )
            assert "there is no job" in told
        assert await here.ask("grace", ListJobs()) == ()
        assert [one.job for one in await here.ask("chief", ListJobs())] == [job]


async def test_its_owner_and_an_administrator_are_told_of_it_and_no_server_is_asked(tmp_path: Path) -> None:
    async with house(tmp_path, is_private=True) as here:
        job = await here.job_of_ada()
        before = here.n_asked_of_metadata()
        for name in ("ada", "chief"):
            found: JobStatus = await here.ask(name, GetJob(job=job))
            assert (found.owner, found.plate_name) == ("ada", "P")
            assert [one.job for one in await here.ask(name, ListJobs())] == [job]
        await here.ask("grace", ListJobs())
        assert here.n_asked_of_metadata() == before


async def test_who_may_see_the_plate_is_told_of_its_job(tmp_path: Path) -> None:
    async with house(tmp_path, is_private=True) as here:
        job = await here.job_of_ada()
        assert (await here.ask("grace", GetJob(job=job))).owner == "ada"
        assert (await here.ask("grace", AwaitJob(job=job, revision=-1))).owner == "ada"


async def test_for_whom_it_asks_is_believed_of_the_mesh_alone(tmp_path: Path) -> None:
    async with house(tmp_path, is_private=True) as here:
        job = await here.job_of_ada()
        grace, ada = (Principal(name=name, role="user") for name in ("grace", "ada"))
        here.lab.at_metadata.extend([NOT_HERS] * 2)
        with pytest.raises(AskFailed, match="there is no job"):
            await here.lab.scheduler.ask(GetJob(job=job, asker=grace))
        assert (await here.lab.scheduler.ask(GetJob(job=job, asker=ada))).owner == "ada"
        assert "there is no job" in await here.refused("grace", GetJob(job=job, asker=ada))


async def test_where_everybody_sees_every_plate_everybody_sees_every_job(tmp_path: Path) -> None:
    async with house(tmp_path, is_private=False) as here:
        job = await here.job_of_ada()
        assert (await here.ask("grace", GetJob(job=job))).plate_name == "P"
        assert [one.job for one in await here.ask("grace", ListJobs())] == [job]


@pytest.mark.parametrize("is_private", [True, False])
async def test_a_job_is_cancelled_by_its_owner_or_an_administrator(tmp_path: Path, is_private: bool) -> None:
    async with house(tmp_path, is_private=is_private) as here:
        for name in ("ada", "chief"):
            job = await here.waiting_job_of_ada(name)
            told = await here.refused("grace", CancelJob(job=job))
            assert f"{job} is ada's, and grace decides about no other's" in told
            assert "ask ada or an administrator" in told
            assert (await here.ask(name, CancelJob(job=job))).state == "cancelled"


@pytest.mark.parametrize(("is_private", "told"), [(True, "job-0001 for ada"), (False, "job-0001 on P for ada")])
async def test_what_the_scheduler_is_at_names_no_private_plate(tmp_path: Path, is_private: bool, told: str) -> None:
    async with house(tmp_path, is_private=is_private) as here:
        await here.waiting_job_of_ada("k")
        assert here.lab.node.cells["scheduler"].statistics()["busy"] == told


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ("/data/plates/1", "well A01 of plate P, job-0001 for ada"),
        ("omero://omero.example.org:4064", "well A01, job-0001 for ada"),
    ],
)
def test_what_an_executor_is_at_names_no_plate_of_omero(root: str, told: str) -> None:
    image = Image("A01", 1, 0, 0, 0, "plane", "a.tif", 0, 8, 8, "uint16")
    plate = build_plate([image], id=7, name="P", channels=("DNA",), root=root)
    well = RunWell(
        job="job-0001", well="A01", attempt=1, source="", source_name="", plate=plate, folder="/nowhere", owner="ada"
    )
    assert busy_with(well) == told
