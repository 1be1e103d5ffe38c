"""Fifty people at once, each with a job on a plate of their own: nobody sees, reads or writes what is another's."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from omero_home import settings_of
from omero_imports import ask
from omero_lab import address_of, login
from omero_plates import import_files, logged_in, some_planes, write_ome_plate

from hcs_mesh import Client
from hcs_mesh.config.omero_settings import OmeroSettings
from hcs_mesh.layout import DataLayout
from hcs_mesh.messages.compute import JobStatus
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.transport import AskFailed, KeyRing, Principal, new_pair, save_pair
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(600)]

PEOPLE = [f"person{n:02d}" for n in range(50)]
AWAY = PEOPLE[1::2]
"""Who hands in no session, so that the minter opens one."""
SETUP = {
    "root_password": "pw-root",
    "groups": [{"name": "lab", "permissions": "rw----"}],
    "users": [
        {"name": "minter", "password": "pw-minter", "groups": ["system"], "privileges": ["Sudo"]},
        *({"name": name, "password": f"pw-{name}", "groups": ["lab"]} for name in PEOPLE),
    ],
}
COPIED = """
from hcs_mesh.pipelines import Pipeline, channel, max_projection

pipeline = Pipeline(
    name="copied",
    steps=[channel(0, to="stack"), max_projection("stack", to="copy")],
    keep=["copy"],
)
"""
N_EXECUTORS = 2
NOT_THERE = 10**6
NO_JOB = "job-9999"

WELLS = """
select pix.id, pix.details.owner.omeName, well.plate.id
from WellSample ws join ws.well well join ws.image img join img.pixels pix
"""
RECORDS = """
select a.details.owner.omeName, well.plate.id from WellAnnotationLink link join link.child a join link.parent well
where a.ns = :what
"""
KINDS = ("Plate", "Well", "Image", "Pixels", "MapAnnotation", "FileAnnotation", "WellAnnotationLink")
"""What results are made of."""


def one_plate_each(server: RunningServer, folder: Path) -> dict[str, int]:
    """Bring in a private plate of one image for everybody."""

    def bring_in(number: int) -> int:
        own = folder / PEOPLE[number]
        own.mkdir(parents=True)
        path = write_ome_plate(own / "plate.ome.tiff", some_planes(1, 1, 1, 16, 16, seed=number))
        with logged_in(server, PEOPLE[number]) as client:
            return next(one for kind, one in import_files(client, [path], own) if kind == "Plate")

    with ThreadPoolExecutor(4) as threads:
        return dict(zip(PEOPLE, threads.map(bring_in, range(len(PEOPLE))), strict=True))


class Everybody:
    """The people of a mesh, each by a key and a connection of their own."""

    def __init__(self, mesh: Any, server: RunningServer, folder: Path) -> None:
        self._data = mesh.data
        self._server = server
        self._folder = folder
        self._opened = AsyncExitStack()
        self.clients: dict[str, Client] = {}

    async def __aenter__(self) -> "Everybody":
        ring = KeyRing(DataLayout(self._data).allowed_keys)
        for name in PEOPLE:
            pair, secret = new_pair(), self._folder / f"{name}.secret"
            save_pair(secret, pair)
            ring.allow(Principal(name=name, role="user"), pair.public)
            self.clients[name] = await self._opened.enter_async_context(Client.at(self._data, key=secret))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def at_once(self, what: Callable[[str], Any], names: list[str] = PEOPLE) -> dict[str, Any]:
        """What each finds who does it, all at the same time."""
        return dict(zip(names, await asyncio.gather(*map(what, names)), strict=True))

    async def log_in(self, name: str) -> str:
        """Hand in a session; its key."""
        connection = await asyncio.to_thread(Connection, address_of(self._server), login(name))
        await self.clients[name].hand_in_session(connection.key.uuid.reveal())
        await asyncio.to_thread(connection.close)
        return connection.key.uuid.reveal()

    async def compute(self, name: str, plate_id: int) -> JobStatus:
        """Have a job done on a plate."""
        job = await self.clients[name].submit_job(plate_id, COPIED)
        async for status in self.clients[name].follow_job(job):
            last = status
        return last

    async def refusals(self, name: str, plate_id: int, job: str) -> list[str]:
        """What somebody is told who asks for a plate by its number, and for a job, in each way there is."""
        mesh = self.clients[name]
        told = []
        for way in (
            mesh.plate(plate_id),
            mesh.labels(plate_id),
            mesh.submit_job(plate_id, COPIED),
            mesh.job(job),
            anext(mesh.follow_job(job)),
            mesh.cancel_job(job),
            mesh.fetch_well(job, "A01"),
        ):
            with pytest.raises(AskFailed) as refused:
                await way
            told.append(f"{refused.value} {refused.value.hint}".replace(job, "J").replace(str(plate_id), "N"))
        return told


async def test_fifty_people_at_once_are_computed_each_in_their_own_name(
    mesh_up: Callable[..., Any], tmp_path: Path
) -> None:
    minter = tmp_path / "minter-secret"
    minter.touch(mode=0o600)
    minter.write_text("pw-minter\n")
    with running_server(tmp_path / "omero", setup=SETUP) as server:
        plates = one_plate_each(server, tmp_path / "sources")
        # Not mounted: the server sees who reads.
        settings = settings_of(server, minter=minter).replace(f'managed_repository = "{server.managed}"', "")
        with mesh_up(more_settings=settings) as mesh:
            async with Everybody(mesh, server, tmp_path) as people:
                handed_in = await people.at_once(people.log_in, [name for name in PEOPLE if name not in AWAY])
                server.control.tell("forget_counts")
                began_s = time.monotonic()
                jobs = await people.at_once(lambda name: people.compute(name, plates[name]))
                print(f"{len(PEOPLE)} jobs of {len(PEOPLE)} people took {time.monotonic() - began_s:.1f} s")
                theirs = dict(zip(PEOPLE, (*PEOPLE[1:], PEOPLE[0]), strict=True))
                refused = await people.at_once(
                    lambda name: people.refusals(name, plates[theirs[name]], jobs[theirs[name]].job)
                )
                nothing = await people.at_once(lambda name: people.refusals(name, NOT_THERE, NO_JOB))
                listed = await people.at_once(lambda name: people.clients[name].plates())
                listed_jobs = await people.at_once(lambda name: people.clients[name].jobs())
                with pytest.raises(AskFailed, match="may not read logs and journals"):
                    await people.clients[PEOPLE[0]].tail_journal("jobs")
            sessions = server.control.tell("sessions")["sessions"]
        seen = server.control.tell("counts")["people"]
        with logged_in(server, "root") as root:
            images = {number: (owner, plate) for number, owner, plate in ask(root, WELLS)}
            records = {(owner, plate) for owner, plate in ask(root, RECORDS, "hcs-mesh/result")}
            owners = {
                kind: Counter(owner for (owner,) in ask(root, f"select o.details.owner.omeName from {kind} o"))
                for kind in KINDS
            }

    assert {(job.state, job.reason, job.faults) for job in jobs.values()} == {("done", "", ())}
    assert refused == nothing, "as if it did not exist"
    derived = {name: {plate for owner, plate in images.values() if owner == name} - {plates[name]} for name in PEOPLE}
    assert {len(made) for made in derived.values()} == {1}
    assert {name: {one.id for one in seen_by} for name, seen_by in listed.items()} == {
        name: {plates[name], *derived[name]} for name in PEOPLE
    }
    assert {name: [one.job for one in of] for name, of in listed_jobs.items()} == {
        name: [jobs[name].job] for name in PEOPLE
    }
    # What the server itself says of who read and wrote.
    shown = {(name, images[int(pixels)][1]) for name, did in seen.items() for pixels in did["pixels"]}
    assert shown == {(name, plates[name]) for name in PEOPLE}
    assert records == {(name, plates[name]) for name in PEOPLE}
    for kind, of_kind in owners.items():
        assert set(of_kind) == set(PEOPLE), kind
        assert len(set(of_kind.values())) == 1, kind
    # One session each, of their own or minted for them, and never more connections than the pools have.
    assert {(one["user"], one["sudoer"]) for one in sessions if one["user"] in PEOPLE} == {
        (name, "minter" if name in AWAY else None) for name in PEOPLE
    }
    assert len([one for one in sessions if one["user"] in PEOPLE]) == len(PEOPLE)
    assert {one["uuid"] for one in sessions if one["user"] in handed_in} == set(handed_in.values())
    pools = OmeroSettings().connections_per_session * (1 + N_EXECUTORS)
    keeper = 1
    assert max(seen[name]["most_connections"] for name in PEOPLE) <= pools + keeper
