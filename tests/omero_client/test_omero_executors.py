"""Plates in OMERO are computed by processes of their own, in the owner's session, which is lent and never kept."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from omero_hub import COPIED, EXECUTOR, PLANES, Hub, everything_written, imported, must_be_copied, running_hub
from waiting import eventually

from hcs_mesh.actors.omero.session_desk import SESSIONS
from hcs_mesh.messages.compute import RunWell
from hcs_mesh.messages.metadata import GetPlate
from hcs_mesh.messages.omero import OpenSession, SessionOpened
from hcs_mesh.plates.plane_readers import read_any_plane
from hcs_mesh.transport import AskFailed, NotPermitted
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
