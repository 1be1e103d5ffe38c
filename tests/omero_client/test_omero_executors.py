"""Plates in OMERO are computed by processes of their own, in the owner's session, which is lent and never kept."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from omero_hub import COPIED, EXECUTOR, PLANES, Hub, everything_written, imported, must_be_copied, running_hub
from omero_plates import logged_in, set_sizes
from waiting import eventually

from hcs_mesh.actors.omero.session_desk import SESSIONS
from hcs_mesh.config import OmeroSettings
from hcs_mesh.messages.compute import RunWell
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.messages.omero import OpenSession, SessionOpened
from hcs_mesh.plates.model import Plate
from hcs_mesh.plates.omero.address import Person, SessionKey, reading_of
from hcs_mesh.plates.plane_readers import read_any_plane
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import AskFailed, NotPermitted, Ref
from hcs_mesh.transport.messages import ROLES
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]


def sessions_of(server: RunningServer, user: str) -> set[str]:
    return {one["uuid"] for one in server.control.tell("sessions")["sessions"] if one["user"] == user}


def seen_of_process(pid: int) -> Iterator[bytes]:
    """What anybody with this account is shown of a process."""
    for what in ("cmdline", "environ"):
        yield Path(f"/proc/{pid}/{what}").read_bytes()


async def held(server: RunningServer, operation: str) -> None:
    """Wait until somebody is in the midst of a call."""
    await eventually(lambda: server.control.tell("held")["held"].get(operation, 0) > 0, 120.0, f"a call of {operation}")


@pytest.mark.parametrize("mounted", [False, True])
async def test_a_job_is_computed_in_its_owners_session_alone(
    omero: RunningServer, tmp_path: Path, mounted: bool
) -> None:
    plate_id = imported(omero, tmp_path / "source")
    async with running_hub(tmp_path / "hub", omero, mounted=mounted) as hub:
        before = sessions_of(omero, "ada")
        key = await hub.log_in("ada")
        omero.control.tell("forget_counts")
        must_be_copied(await hub.until_over(await hub.submit("ada", plate_id)))
        assert sessions_of(omero, "ada") - before == {key.uuid.reveal()}, "the executor opens no session of its own"
        n_planes = omero.control.counts()["RawPixelsStore.getPlane"]
        # From the files only those are asked for that prove them.
        assert n_planes == (2 if mounted else 4)

        plate = await hub.node.find("metadata").ask(GetPlate(plate_id=plate_id, requester="ada"))
        image = plate.image(1)
        plane = await asyncio.to_thread(read_any_plane, plate.root, image.file, image.page, requester="ada")
        np.testing.assert_array_equal(plane, PLANES[0, 0, 1])

        read = "omero_planes_from_files" if mounted else "omero_planes_from_server"

        def told() -> dict[str, Any]:
            # It may have been quicker than its first sign of life.
            beat = hub.processes.beats.get(EXECUTOR)
            return dict(beat.statistics) if beat is not None else {}

        await eventually(lambda: told().get(read) == 4, 60.0, "that the executor tells it")
        assert told()["omero_bytes_spared"] == (4 * PLANES[0, 0, 0].nbytes if mounted else 0)
        assert told()["omero_filesets_not_local"] == 0
        assert hub.node.cells[SESSIONS].statistics()[read] >= 1, "what viewers are shown is read by the hub"
    assert key.uuid.reveal() in sessions_of(omero, "ada"), "it stays its owner's when the mesh is gone"


async def test_no_key_of_a_session_is_written_down_anywhere(
    omero: RunningServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    plate_id = imported(omero, tmp_path / "source")
    async with running_hub(tmp_path / "hub", omero, minter=True) as hub:
        key = await hub.log_in("ada")
        must_be_copied(await hub.until_over(await hub.submit("ada", plate_id)))
        omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
        must_be_copied(await hub.until_over(await hub.submit("ada", plate_id)))
        keys = {key.uuid.reveal(), *sessions_of(omero, "ada")}
        assert len(keys) > 1
        (pid,) = (pid for name, pid in hub.processes.running() if name == EXECUTOR)
        shown = list(seen_of_process(pid))
        told = repr([(name, dict(cell.statistics())) for name, cell in hub.node.cells.items()])
        told += repr([(hop.actor, hop.message, hop.outcome) for hop in hub.node.traces.latest(1000)])
    shown += [told.encode(), caplog.text.encode(), "".join(capfd.readouterr()).encode()]
    written = dict(everything_written(tmp_path / "hub"))
    assert any(name.endswith(f"{EXECUTOR}.log") for name in written)
    for one in (uuid.encode() for uuid in keys):
        assert not [name for name, content in written.items() if one in content]
        assert not [text for text in shown if one in text]
    assert key.uuid.reveal() not in repr(SessionOpened(uuid=key.uuid.reveal()))


async def test_a_session_that_ends_within_a_well_is_replaced_by_a_minted_one(
    omero: RunningServer, tmp_path: Path
) -> None:
    plate_id = imported(omero, tmp_path / "source")
    async with running_hub(tmp_path / "hub", omero, minter=True) as hub:
        key = await hub.log_in("ada")
        omero.control.tell("hold", operation="RawPixelsStore.getPlane")
        job = await hub.submit("ada", plate_id)
        await held(omero, "RawPixelsStore.getPlane")
        omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
        omero.control.tell("release", operation="RawPixelsStore.getPlane")
        must_be_copied(await hub.until_over(job))
        minted = [one for one in omero.control.tell("sessions")["sessions"] if one["sudoer"]]
        assert {(one["user"], one["sudoer"]) for one in minted} == {("ada", "minter")}


async def test_where_nobody_may_act_the_job_waits_for_its_owner_and_says_so(
    omero: RunningServer, tmp_path: Path
) -> None:
    hers, his = imported(omero, tmp_path / "ada"), imported(omero, tmp_path / "grace", "grace")
    async with running_hub(tmp_path / "hub", omero) as hub:
        key = await hub.log_in("ada")
        await hub.log_in("grace")
        omero.control.tell("hold", operation="RawPixelsStore.getPlane")
        job = await hub.submit("ada", hers)
        await held(omero, "RawPixelsStore.getPlane")
        omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
        omero.control.tell("release", operation="RawPixelsStore.getPlane")
        await hub.until_reason(job, "waiting: nobody may act for ada at OMERO before the next login")
        # The only executor is nobody's meanwhile.
        must_be_copied(await hub.until_over(await hub.submit("grace", his)))
        await hub.until_reason(job, "nobody may act for ada")
        await hub.log_in("ada")
        must_be_copied(await hub.until_over(job))


async def test_a_server_that_is_killed_within_a_well_is_waited_for(own_omero: RunningServer, tmp_path: Path) -> None:
    plate_id = imported(own_omero, tmp_path / "source")
    async with running_hub(tmp_path / "hub", own_omero, minter=True) as hub:
        await hub.log_in("ada")
        own_omero.control.tell("hold", operation="RawPixelsStore.getPlane")
        job = await hub.submit("ada", plate_id)
        await held(own_omero, "RawPixelsStore.getPlane")
        own_omero.kill()
        await hub.until_reason(job, "cannot be reached")
        own_omero.start()
        must_be_copied(await hub.until_over(job))


async def test_a_plane_of_absurd_size_is_an_error_of_its_wells_and_costs_no_executor(
    omero: RunningServer, tmp_path: Path
) -> None:
    absurd, sound = imported(omero, tmp_path / "absurd"), imported(omero, tmp_path / "sound")
    with logged_in(omero, "ada") as client:
        set_sizes(client, absurd, X=400_000, Y=400_000)
    async with running_hub(tmp_path / "hub", omero, mounted=True) as hub:
        await hub.log_in("ada")
        must_be_copied(await hub.until_over(await hub.submit("ada", sound)))
        before = list(hub.processes.running())
        refused = await hub.until_over(await hub.submit("ada", absurd))
        assert refused.state == "failed", refused
        # None of them was tried again: it would be as large.
        assert [(one.well, one.state, one.attempts) for one in refused.wells] == [
            ("A01", "failed", 1),
            ("A02", "failed", 1),
        ]
        for well in refused.wells:
            assert "400000 x 400000 uint16, 298.0 GiB each, and at most 2 GiB are read" in well.error
        must_be_copied(await hub.until_over(await hub.submit("ada", sound)))
        assert list(hub.processes.running()) == before


def n_connections(server: RunningServer, key: SessionKey) -> int:
    (session,) = (one for one in server.control.tell("sessions")["sessions"] if one["uuid"] == key.uuid.reveal())
    return int(session["connections"])


async def test_a_session_that_is_taken_back_within_a_well_is_read_in_to_the_end_of_the_plane(
    omero: RunningServer, tmp_path: Path
) -> None:
    plate_id = imported(omero, tmp_path / "source")
    # As if the minute had passed for which it need not ask.
    async with running_hub(tmp_path / "hub", omero, lending={"lent_s": 0.0}) as hub:
        key = await hub.log_in("ada")
        omero.control.tell("hold", operation="RawPixelsStore.getPlane")
        omero.control.tell("forget_counts")
        job = await hub.submit("ada", plate_id)
        await held(omero, "RawPixelsStore.getPlane")
        assert await asyncio.to_thread(hub.identities.taken_back, Person(user="ada"))
        assert n_connections(omero, key) > 0
        omero.control.tell("release", operation="RawPixelsStore.getPlane")
        await hub.until_reason(job, "waiting: nobody may act for ada at OMERO before the next login")
        assert omero.control.counts()["RawPixelsStore.getPlane"] == 1
        await eventually(lambda: n_connections(omero, key) == 0, 120.0, "letting go of what was taken back")
        assert key.uuid.reveal() in sessions_of(omero, "ada"), "it stays its owner's"
        await hub.log_in("ada")
        must_be_copied(await hub.until_over(job))


async def test_an_executor_lets_go_by_itself_of_a_session_in_which_it_has_no_more_to_read(
    omero: RunningServer, tmp_path: Path
) -> None:
    plate_id = imported(omero, tmp_path / "source")
    async with running_hub(tmp_path / "hub", omero, lending={"let_go_s": 3.0}) as hub:
        key = await hub.log_in("ada")
        must_be_copied(await hub.until_over(await hub.submit("ada", plate_id)))
        assert await asyncio.to_thread(hub.identities.taken_back, Person(user="ada"))
        await eventually(lambda: n_connections(omero, key) == 0, 120.0, "letting go of what was taken back")
        (pid,) = (pid for name, pid in hub.processes.running() if name == EXECUTOR)
        assert psutil.pid_exists(pid), "it was let go of, and did not go with its process"


def test_the_times_of_what_is_lent_are_those_that_are_documented(checkout: Path) -> None:
    reading = reading_of(OmeroSettings(host="localhost"))
    assert reading is not None
    assert (reading.lent_s, reading.let_go_s) == (60.0, 120.0)
    told = (checkout / "docs" / "omero.md").read_text()
    assert "for a minute at most after it last asked for the session, and then to the end of the plane" in told
    assert "Within two minutes its connections are closed and the key is forgotten" in told


async def run_well_as(hub: Hub, owner: str, plate_id: int, folder: Path) -> None:
    plate = await hub.node.find("metadata").ask(GetPlate(plate_id=plate_id, requester="ada"))
    await asyncio.to_thread(folder.mkdir)
    request = RunWell(
        job="job-1",
        well="A01",
        attempt=1,
        source=COPIED,
        source_name="copied.py",
        plate=plate,
        folder=str(folder),
        owner=owner,
    )
    await hub.node.find(EXECUTOR).ask(request, timeout_s=120.0)


async def test_nobody_is_computed_what_that_person_may_not_see(omero: RunningServer, tmp_path: Path) -> None:
    plate_id = imported(omero, tmp_path / "source")
    async with running_hub(tmp_path / "hub", omero, mounted=True) as hub:
        await hub.log_in("ada")
        await hub.log_in("grace")
        with pytest.raises(AskFailed, match="no plate"):
            await hub.submit("grace", plate_id)
        # Also who has got hold of the plate is read nothing of, from files that the executor has open already.
        await run_well_as(hub, "ada", plate_id, tmp_path / "for-ada")
        with pytest.raises(AskFailed, match="grace is not shown"):
            await run_well_as(hub, "grace", plate_id, tmp_path / "for-grace")
        with pytest.raises(AskFailed, match="nobody's name"):
            await run_well_as(hub, "", plate_id, tmp_path / "for-nobody")
        with pytest.raises(AskFailed, match="nobody may act for eve"):
            await run_well_as(hub, "eve", plate_id, tmp_path / "for-eve")


class Curious(Actor[RunWell]):
    """An executor that asks for the sessions of everybody, whosever well it was given."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    async def receive(self, message: RunWell) -> Any:
        return self.defer(self._ask_around(message))

    async def _ask_around(self, message: RunWell) -> StoredResult:
        for person in ("ada", "grace"):
            self.told[person] = await asked_for(self.context.find(SESSIONS), person)
        return StoredResult(job=message.job, plate_id=message.plate.id, well=message.well, attempt=1)


async def asked_for(sessions: Ref, person: str) -> str:
    """The key that is lent, or the refusal."""
    try:
        return (await sessions.ask(OpenSession(requester=person), timeout_s=60.0)).uuid
    except NotPermitted as refused:
        return str(refused)


async def test_a_process_is_lent_the_sessions_alone_of_those_whose_wells_it_has(
    omero: RunningServer, tmp_path: Path
) -> None:
    async with running_hub(tmp_path / "hub", omero) as hub:
        keys = {user: (await hub.log_in(user)).uuid.reveal() for user in ("ada", "grace")}
        child, curious = Node("executor.stray"), Curious()
        life = await child.start_actor(child.name, lambda: curious)
        expected = hub.node.expect(child.name)
        child.dial_parent(hub.inner)
        await expected
        no_work = "executor.stray asks for a session of {0} at OMERO and has no work of {0}'s"
        assert await asked_for(child.find(SESSIONS), "grace") == no_work.format("grace")
        request = RunWell(
            job="job-1",
            well="A01",
            attempt=1,
            source=COPIED,
            source_name="copied.py",
            plate=Plate(id=1, name="hers", root=""),
            folder=str(tmp_path),
            owner="grace",
        )
        await hub.node.find(child.name).ask(request, timeout_s=120.0)
        assert curious.told == {"ada": no_work.format("ada"), "grace": keys["grace"]}
        # With the well the right has gone.
        assert await asked_for(child.find(SESSIONS), "grace") == no_work.format("grace")
        await life.stop()
        await life.wait()
        await child.close()


async def test_no_key_of_the_fronts_is_lent_a_session(omero: RunningServer, tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", omero) as hub:
        await hub.log_in("ada")
        for role in ROLES:
            asked = hub.front(f"ada-{role}", role).ask(SESSIONS, OpenSession(requester="ada"), timeout_s=60.0)
            with pytest.raises(NotPermitted, match="OpenSession is not for"):
                await asked
        lent = await hub.node.find(SESSIONS).ask(OpenSession(requester="ada"))
        assert lent.uuid in sessions_of(omero, "ada")
        with pytest.raises(AskFailed, match="nobody may act for eve"):
            await hub.node.find(SESSIONS).ask(OpenSession(requester="eve"))
