"""What keeps a server from being started, and how each is told: docker, ports, names, certificates, time, records."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import msgspec
import pytest
from docker_program import DockerProgram, free_port

from hcs_mesh.config import MeshError, OmeroSettings
from hcs_mesh.plates.omero import OmeroInstance
from hcs_mesh.plates.omero.errors import OmeroNotTrusted
from hcs_mesh.plates.omero.instance import Standing, StartedHere, stop_started
from hcs_mesh.plates.omero.instance.errors import (
    ContainerEnded,
    DockerDenied,
    DockerDown,
    DockerFailed,
    DockerMissing,
    InstanceUnusable,
    OmeroElsewhere,
    OmeroNotReady,
    OmeroPortTaken,
)
from hcs_mesh.plates.omero.instance.instance import Parts
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]


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
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path, said: str, kind: type[MeshError], hint: str
) -> None:
    docker.set_up(refuses={"up": said})
    instance = OmeroInstance(at_localhost, start_in=tmp_path / "data")
    with pytest.raises(kind) as refused:
        await instance.connect()
    assert hint in refused.value.hint
    assert "sudo" not in str(refused.value) + refused.value.hint
    assert instance.standing.state == "failed"


async def test_no_docker_program_is_told_and_nothing_is_held_to_be_started(
    at_localhost: OmeroSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DockerMissing, match="no docker program") as missing:
        await OmeroInstance(at_localhost, start_in=tmp_path / "data").__aenter__()
    assert not hasattr(missing.value, "__notes__")
    assert StartedHere(tmp_path / "data").record() is None
    assert not await stop_started(StartedHere(tmp_path / "data"))


async def test_a_docker_that_is_away_does_not_let_what_was_started_before_be_forgotten(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    await OmeroInstance(at_localhost, start_in=tmp_path / "data").connect()
    before = StartedHere(tmp_path / "data").record()
    os.kill(docker.pids[0], signal.SIGKILL)
    docker.set_up(refuses={"up": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."})
    with pytest.raises(DockerDown):
        await OmeroInstance(at_localhost, start_in=tmp_path / "data").connect()
    assert StartedHere(tmp_path / "data").record() == before
    docker.set_up()
    assert await stop_started(StartedHere(tmp_path / "data"))


async def test_a_docker_without_compose_is_told(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(compose=False)
    with pytest.raises(DockerMissing, match="no compose"):
        await OmeroInstance(at_localhost, start_in=tmp_path / "data").connect()


async def test_a_port_that_something_else_listens_at_is_told_before_anything_is_started(
    docker: DockerProgram, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = OmeroSettings(host="localhost", port=other.getsockname()[1], connect_timeout_s=1.0)
        with pytest.raises(OmeroPortTaken, match="no answer in 1 s"):
            await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert docker.calls == []


async def test_a_container_that_ends_at_once_is_told_with_its_last_words(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(server="ends", log="db init --rootpass ROOTPASS: postgres:5432 still not reachable, giving up")
    instance = OmeroInstance(at_localhost, start_in=tmp_path / "data")
    with pytest.raises(ContainerEnded, match="'server' has ended with exit code 3") as ended:
        await instance.connect()
    assert "--rootpass …: postgres:5432 still not reachable" in str(ended.value)
    password = instance.root_password
    assert password is not None
    assert password.reveal() not in str(ended.value)


async def test_a_server_that_never_speaks_runs_out_of_time_and_says_where_it_hung(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    docker.set_up(server="silent")
    settings = msgspec.structs.replace(at_localhost, connect_timeout_s=0.2)
    now_s = [0.0]

    def let_time_pass(standing: Standing) -> None:
        now_s[0] = 5000.0 if standing.state == "starting server" else 0.0

    parts = Parts(clock=lambda: now_s[0])
    instance = OmeroInstance(settings, start_in=tmp_path / "data", on_change=let_time_pass, parts=parts)
    with pytest.raises(OmeroNotReady, match="'starting server'") as late:
        await instance.connect()
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
    settings = OmeroSettings(host=omero.host, port=omero.port)
    with pytest.raises(OmeroNotTrusted, match="self-signed") as refused:
        await OmeroInstance(settings, start_in=tmp_path / "data").connect()
    assert "ca_file" in refused.value.hint
    assert docker.calls == []


async def test_a_server_whose_passwords_are_lost_is_not_started_with_others(
    docker: DockerProgram, at_localhost: OmeroSettings, tmp_path: Path
) -> None:
    async with OmeroInstance(at_localhost, start_in=tmp_path / "data"):
        pass
    here = StartedHere(tmp_path / "data")
    here.settings_file.unlink()
    with pytest.raises(InstanceUnusable, match="passwords"):
        await OmeroInstance(at_localhost, start_in=tmp_path / "data").connect()
    assert await stop_started(here, volumes=True)
    assert docker.volumes == []


async def test_a_damaged_record_is_never_guessed_over(docker: DockerProgram, tmp_path: Path) -> None:
    (tmp_path / "data" / "omero").mkdir(parents=True)
    (tmp_path / "data" / "omero" / "started.json").write_text("{")
    with pytest.raises(InstanceUnusable, match=r"started\.json"):
        await stop_started(StartedHere(tmp_path / "data"))
    assert docker.calls == []
