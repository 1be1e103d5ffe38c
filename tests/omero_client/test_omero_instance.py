"""A server that is found, or started by docker and stopped again: the fake docker's container is the stand-in."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest
from docker_program import DockerProgram
from omero_lab import address_of
from waiting import eventually

from hcs_mesh.config import OmeroSettings
from hcs_mesh.plates.omero import OmeroAddress, OmeroInstance, Password
from hcs_mesh.plates.omero import address_of as address_in
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroUnreachable
from hcs_mesh.plates.omero.instance import Standing, StartedHere, stop_started
from hcs_mesh.plates.omero.instance.errors import (
    InstanceInUse,
)
from hcs_mesh.plates.omero.instance.instance import Parts
from hcs_mesh.plates.omero.instance.life import Sight
from hcs_mesh.plates.omero.instance.looking import GUEST, look
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]


def running(server: RunningServer) -> OmeroSettings:
    return OmeroSettings(host=server.host, port=server.port, ca_file=str(server.certificate))


async def test_a_server_that_runs_is_connected_to_and_docker_is_not_asked(
    omero: RunningServer, docker: DockerProgram, tmp_path: Path
) -> None:
    async with OmeroInstance(running(omero), start_in=tmp_path / "data") as instance:
        assert instance.standing.state == "ready"
        assert instance.standing.version
        assert not instance.standing.started
    assert docker.calls == []
    assert not await stop_started(StartedHere(tmp_path / "data"))
    assert docker.calls == []
    guest = await asyncio.to_thread(Connection, address_of(omero), GUEST)
    await asyncio.to_thread(guest.end_session)


async def test_what_is_started_is_ready_and_gone_at_the_end_and_its_volumes_stay(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COMPOSE_FILE", "HCS_MESH_OMERO_PORT"):
        monkeypatch.setenv(name, "somebody else's")
    seen: list[str] = []

    def note(standing: Standing) -> None:
        if standing.state not in seen:
            seen.append(standing.state)

    async with OmeroInstance(at_localhost, start_in=tmp_path / "data", on_change=note) as instance:
        assert instance.standing.started
        (pid,) = docker.pids
        password = instance.root_password
        assert password is not None
        root = await asyncio.to_thread(
            Connection, address_in(instance.settings), Password(user="root", password=password)
        )
        await asyncio.to_thread(root.end_session)
    assert [state for state in seen if state != "starting server"] == [
        "checking", "absent", "starting containers", "starting login", "ready",
    ]  # fmt: skip
    assert pid not in docker.pids
    assert docker.volumes
    assert docker.commands[0] == "up"
    assert docker.commands[-1] == "down"


async def test_passwords_are_in_a_file_of_the_owner_and_neither_among_the_words_nor_in_the_compose_file(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data") as instance:
        password = instance.root_password
        assert password is not None
    here = StartedHere(tmp_path / "data")
    assert here.settings_file.stat().st_mode & 0o777 == 0o600
    assert password.reveal() in here.settings_file.read_text()
    assert password.reveal() not in here.compose_file.read_text()
    assert password.reveal() not in json.dumps(docker.calls)
    assert all(word != "sudo" for words in docker.calls for word in words)


async def test_of_what_the_container_shows_the_certificate_alone_is_kept(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data") as instance:
        kept = StartedHere(tmp_path / "data").certificate.read_text()
        assert instance.settings.ca_file == str(StartedHere(tmp_path / "data").certificate)
    assert kept.startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in kept


async def test_a_second_start_finds_the_passwords_and_the_data_of_the_first(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data") as first:
        password = first.root_password
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data", volumes="remove") as second:
        assert second.standing.started
        assert second.root_password == password
        assert len(docker.volumes) == 1
    assert docker.volumes == []
    assert StartedHere(tmp_path / "data").record() is None


async def test_a_server_that_is_started_again_shows_a_new_certificate_and_the_file_that_was_named_holds_it(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data") as first:
        settings = first.settings
        before = StartedHere(tmp_path / "data").certificate.read_text()
    async with OmeroInstance(settings, start_in=tmp_path / "data") as second:
        assert second.settings.ca_file == settings.ca_file
        assert StartedHere(tmp_path / "data").certificate.read_text() != before


async def test_who_connects_to_what_somebody_else_has_started_does_not_stop_it(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    started = OmeroInstance(at_localhost, start_in=tmp_path / "data")
    await started.connect()
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data") as joined:
        assert not joined.standing.started
    assert docker.pids
    assert await stop_started(StartedHere(tmp_path / "data"))
    assert not docker.pids


async def test_without_a_folder_nothing_is_started(docker: DockerProgram, at_localhost: OmeroSettings) -> None:
    with pytest.raises(OmeroUnreachable, match="refused") as refused:
        await OmeroInstance(at_localhost).connect()
    assert "hcs-mesh omero up" in refused.value.hint
    assert docker.calls == []


@pytest.mark.parametrize("command", ["up", "ps", "exec"])
async def test_an_entry_that_is_cancelled_leaves_nothing_behind(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path, command: str
) -> None:
    docker.set_up(holds=command, server="silent" if command == "ps" else "")
    instance = OmeroInstance(at_localhost, start_in=tmp_path / "data")
    entering = asyncio.ensure_future(instance.__aenter__())
    await eventually(lambda: docker.held, within_s=200)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not docker.is_at_the_door
    assert docker.pids == []
    assert docker.commands[-1] == "down"
    record = StartedHere(tmp_path / "data").record()
    assert record is not None
    assert not record.runs


async def test_a_look_that_nobody_waits_for_any_more_goes_on_in_peace(at_localhost: OmeroSettings) -> None:
    looked, go_on = threading.Event(), threading.Event()

    def look_long(address: OmeroAddress) -> Sight:
        looked.set()
        go_on.wait()
        return Sight(reach="nothing", why="it took long")

    waiting = asyncio.ensure_future(OmeroInstance(at_localhost, parts=Parts(look=look_long)).connect())
    await asyncio.to_thread(looked.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "omero-look":
            await asyncio.to_thread(thread.join)


async def test_a_block_that_is_cancelled_twice_is_cleaned_up_all_the_same(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    entered = asyncio.Event()

    async def use() -> None:
        async with OmeroInstance(at_localhost, start_in=tmp_path / "data"):
            docker.set_up(holds="down")
            entered.set()
            await asyncio.Event().wait()

    using = asyncio.ensure_future(use())
    await asyncio.wait_for(entered.wait(), 200)
    using.cancel()
    await eventually(lambda: docker.held, within_s=200)
    using.cancel()
    docker.release()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert docker.pids == []


async def test_an_error_in_the_block_is_told_and_the_server_stopped(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(refuses={"down": "the disk is on fire"})
    with pytest.raises(KeyError) as told:
        async with OmeroInstance(at_localhost, start_in=tmp_path / "data"):
            raise KeyError("mine")
    assert "on fire" in told.value.__notes__[0]
    docker.set_up()
    assert await stop_started(StartedHere(tmp_path / "data"))
    assert not docker.pids


async def test_two_do_not_start_the_same_server_at_once(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(holds="up")
    first = asyncio.ensure_future(OmeroInstance(at_localhost, start_in=tmp_path / "data").connect())
    await eventually(lambda: docker.held, within_s=200)
    with pytest.raises(InstanceInUse):
        await OmeroInstance(at_localhost, start_in=tmp_path / "data").__aenter__()
    with pytest.raises(InstanceInUse):
        await stop_started(StartedHere(tmp_path / "data"))
    docker.release()
    assert (await first).started
    assert docker.commands.count("up") == 1
    assert "down" not in docker.commands


async def test_who_finds_that_another_has_started_it_meanwhile_looks_again_and_does_not_stop_it(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    looked, started = threading.Event(), threading.Event()

    def look_early(address: OmeroAddress) -> Sight:
        if not looked.is_set():
            looked.set()
            started.wait()
            return Sight(reach="nothing", why="it was early")
        return look(address)

    late = OmeroInstance(at_localhost, start_in=tmp_path / "data", parts=Parts(look=look_early))
    entering = asyncio.ensure_future(late.__aenter__())
    await asyncio.to_thread(looked.wait)
    await OmeroInstance(at_localhost, start_in=tmp_path / "data").connect()
    started.set()
    await entering
    assert (late.standing.state, late.standing.started) == ("ready", False)
    await late.__aexit__(None, None, None)
    assert docker.commands.count("up") == 1
    assert docker.pids
    assert await stop_started(StartedHere(tmp_path / "data"))


async def test_a_block_does_not_stop_what_was_started_again_by_somebody_else(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data"):
        assert await stop_started(StartedHere(tmp_path / "data"))
        await OmeroInstance(at_localhost, start_in=tmp_path / "data").connect()
    assert docker.pids
    assert await stop_started(StartedHere(tmp_path / "data"))
    assert not docker.pids
