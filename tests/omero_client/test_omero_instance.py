"""A server that is found, or started by docker and stopped again: the fake docker's container is the stand-in."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from docker_program import DockerProgram, free_port
from omero_lab import address_of
from waiting import eventually

from hcs_mesh.config import MeshError, OmeroSettings
from hcs_mesh.plates.omero import OmeroInstance, Password
from hcs_mesh.plates.omero import address_of as address_in
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroNotTrusted, OmeroUnreachable
from hcs_mesh.plates.omero.instance import Standing, StartedHere, stop_started
from hcs_mesh.plates.omero.instance.errors import (
    ContainerEnded,
    DockerDenied,
    DockerDown,
    DockerFailed,
    DockerMissing,
    InstanceInUse,
    InstanceUnusable,
    OmeroElsewhere,
    OmeroNotReady,
    OmeroPortTaken,
)
from hcs_mesh.plates.omero.instance.looking import GUEST
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerProgram]:
    program = DockerProgram(tmp_path)
    monkeypatch.setenv("PATH", program.path)
    yield program
    program.close()


@pytest.fixture
def settings() -> OmeroSettings:
    return OmeroSettings(host="localhost", port=free_port())


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
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    seen: list[str] = []

    def note(standing: Standing) -> None:
        if standing.state not in seen:
            seen.append(standing.state)

    async with OmeroInstance(settings, start_in=tmp_path / "data", on_change=note) as instance:
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
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(settings, start_in=tmp_path / "data") as instance:
        password = instance.root_password
        assert password is not None
    here = StartedHere(tmp_path / "data")
    assert here.settings_file.stat().st_mode & 0o777 == 0o600
    assert password.reveal() in here.settings_file.read_text()
    assert password.reveal() not in here.compose_file.read_text()
    assert password.reveal() not in json.dumps(docker.calls)
    assert all(word != "sudo" for words in docker.calls for word in words)


async def test_of_what_the_container_shows_the_certificate_alone_is_kept(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(settings, start_in=tmp_path / "data") as instance:
        kept = StartedHere(tmp_path / "data").certificate.read_text()
        assert instance.settings.ca_file == str(StartedHere(tmp_path / "data").certificate)
    assert kept.startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in kept


async def test_a_second_start_finds_the_passwords_and_the_data_of_the_first(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(settings, start_in=tmp_path / "data") as first:
        password = first.root_password
    async with OmeroInstance(settings, start_in=tmp_path / "data", volumes="remove") as second:
        assert second.standing.started
        assert second.root_password == password
        assert len(docker.volumes) == 1
    assert docker.volumes == []
    assert StartedHere(tmp_path / "data").record() is None


async def test_who_connects_to_what_somebody_else_has_started_does_not_stop_it(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    started = OmeroInstance(settings, start_in=tmp_path / "data")
    await started.connect()
    async with OmeroInstance(settings, start_in=tmp_path / "data") as joined:
        assert not joined.standing.started
    assert docker.pids
    assert await stop_started(StartedHere(tmp_path / "data"))
    assert not docker.pids


async def test_without_a_folder_nothing_is_started(docker: DockerProgram, settings: OmeroSettings) -> None:
    with pytest.raises(OmeroUnreachable, match="refused") as refused:
        await OmeroInstance(settings).connect()
    assert "hcs-mesh omero up" in refused.value.hint
    assert docker.calls == []


@pytest.mark.parametrize("command", ["up", "ps", "exec"])
async def test_an_entry_that_is_cancelled_leaves_nothing_behind(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path, command: str
) -> None:
    docker.set_up(holds=command, server="silent" if command == "ps" else "")
    instance = OmeroInstance(settings, start_in=tmp_path / "data")
    entering = asyncio.ensure_future(instance.__aenter__())
    await eventually(lambda: docker.held, within_s=30)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert docker.pids == []
    assert docker.commands[-1] == "down"
    record = StartedHere(tmp_path / "data").record()
    assert record is not None
    assert not record.runs


async def test_a_block_that_is_cancelled_twice_is_cleaned_up_all_the_same(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    entered = asyncio.Event()

    async def use() -> None:
        async with OmeroInstance(settings, start_in=tmp_path / "data"):
            docker.set_up(holds="down")
            entered.set()
            await asyncio.Event().wait()

    using = asyncio.ensure_future(use())
    await asyncio.wait_for(entered.wait(), 30)
    using.cancel()
    await eventually(lambda: docker.held, within_s=30)
    using.cancel()
    docker.release()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert docker.pids == []


async def test_an_error_in_the_block_is_told_and_the_server_stopped(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(refuses={"down": "the disk is on fire"})
    with pytest.raises(KeyError) as told:
        async with OmeroInstance(settings, start_in=tmp_path / "data"):
            raise KeyError("mine")
    assert "on fire" in told.value.__notes__[0]
    docker.set_up()
    assert await stop_started(StartedHere(tmp_path / "data"))
    assert not docker.pids


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            DockerDenied,
            "group docker",
        ),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?", DockerDown, "start"),
        ("Error response from daemon: write /var: no space left on device", DockerFailed, "disk"),
        ("Bind for 127.0.0.1:4080 failed: port is already allocated", OmeroPortTaken, "--web-port"),
    ],
)
async def test_what_docker_refuses_is_told_with_what_to_do(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path, said: str, kind: type[MeshError], hint: str
) -> None:
    docker.set_up(refuses={"up": said})
    instance = OmeroInstance(settings, start_in=tmp_path / "data")
    with pytest.raises(kind) as refused:
        await instance.connect()
    assert hint in refused.value.hint
    assert "sudo" not in str(refused.value) + refused.value.hint
    assert instance.standing.state == "failed"


async def test_no_docker_program_is_told(
    settings: OmeroSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DockerMissing, match="no docker program"):
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()


async def test_a_docker_without_compose_is_told(docker: DockerProgram, settings: OmeroSettings, tmp_path: Path) -> None:
    docker.set_up(compose=False)
    with pytest.raises(DockerMissing, match="no compose"):
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()


async def test_a_port_that_something_else_listens_at_is_told_before_anything_is_started(
    docker: DockerProgram, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = OmeroSettings(host="localhost", port=other.getsockname()[1], connect_timeout_s=1.0)
        with pytest.raises(OmeroPortTaken, match="no answer in 1 s"):
            await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert docker.calls == []


async def test_a_container_that_ends_at_once_is_told_with_its_last_words(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(server="ends", log="postgres:5432 still not reachable, giving up")
    with pytest.raises(ContainerEnded, match="'server' has ended with exit code 3") as ended:
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert "postgres:5432 still not reachable" in str(ended.value)


async def test_a_server_that_never_speaks_runs_out_of_time_and_says_where_it_hung(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(server="silent")
    settings = msgspec.structs.replace(settings, connect_timeout_s=0.2)
    with pytest.raises(OmeroNotReady, match="'starting server'") as late:
        await OmeroInstance(settings, start_in=tmp_path / "data", timeout_s=3.0).connect()
    assert "omero down" in late.value.hint
    assert docker.pids, "it goes on: a first start may just be slow"


async def test_a_server_elsewhere_is_not_started_here(docker: DockerProgram, tmp_path: Path) -> None:
    settings = OmeroSettings(host="omero.invalid", port=4064)
    with pytest.raises(OmeroElsewhere, match=r"omero\.invalid:4064"):
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert docker.calls == []


async def test_a_certificate_made_out_to_another_name_is_told_before_the_start(
    docker: DockerProgram, tmp_path: Path
) -> None:
    settings = OmeroSettings(host="127.0.0.1", port=free_port())
    with pytest.raises(OmeroElsewhere, match="made out to localhost"):
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert docker.calls == []


async def test_a_server_that_is_not_trusted_is_not_started_over(
    omero: RunningServer, docker: DockerProgram, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(running(omero), ca_file="")
    with pytest.raises(OmeroNotTrusted, match="self-signed") as refused:
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert "ca_file" in refused.value.hint
    assert docker.calls == []


async def test_two_do_not_start_the_same_server_at_once(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(holds="up")
    first = asyncio.ensure_future(OmeroInstance(settings, start_in=tmp_path / "data").connect())
    await eventually(lambda: docker.held, within_s=30)
    with pytest.raises(InstanceInUse):
        await OmeroInstance(settings, start_in=tmp_path / "data").__aenter__()
    with pytest.raises(InstanceInUse):
        await stop_started(StartedHere(tmp_path / "data"))
    docker.release()
    assert (await first).started
    assert docker.commands.count("up") == 1
    assert "down" not in docker.commands


async def test_a_server_whose_passwords_are_lost_is_not_started_with_others(
    docker: DockerProgram, settings: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(settings, start_in=tmp_path / "data"):
        pass
    here = StartedHere(tmp_path / "data")
    here.settings_file.unlink()
    with pytest.raises(InstanceUnusable, match="passwords"):
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert await stop_started(here, volumes=True)
    assert docker.volumes == []


async def test_a_damaged_record_is_never_guessed_over(docker: DockerProgram, tmp_path: Path) -> None:
    (tmp_path / "data" / "omero").mkdir(parents=True)
    (tmp_path / "data" / "omero" / "started.json").write_text("{")
    with pytest.raises(InstanceUnusable, match=r"started\.json"):
        await stop_started(StartedHere(tmp_path / "data"))
    assert docker.calls == []
