"""``hcs-mesh omero``: what is printed, exit codes, kills, and that nothing of others is stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from docker_program import DockerProgram
from typer.testing import CliRunner
from waiting import eventually

from hcs_mesh.__main__ import app
from hcs_mesh.config import OmeroSettings
from hcs_mesh.plates.omero.address import OmeroAddress, Password
from hcs_mesh.plates.omero.instance import looking
from hcs_mesh.plates.omero.secret import Secret
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]
LIMIT_S = 240


class Done(NamedTuple):
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        assert self.code == 1, (self.code, self.out, self.err)
        assert "Traceback" not in self.err
        told: dict[str, str] = json.loads(self.err.splitlines()[-1])
        return told

    def check(self, name: str) -> dict[str, Any]:
        """One of the things that status has looked at."""
        found: dict[str, Any] = next(one for one in self.told["checks"] if one["name"] == name)
        return found


class Commands:
    """``hcs-mesh omero`` on a data folder and a server."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._config = folder / "settings.toml"
        self._where = ("--config", str(self._config), "--data", str(self.data))

    def set(self, **omero: object) -> None:
        """Write the settings."""
        lines = (f"{name} = {json.dumps(value)}\n" for name, value in omero.items())
        self._config.write_text("[omero]\n" + "".join(lines))

    def __call__(self, *words: str) -> Done:
        """Run one, in this process."""
        result = CliRunner().invoke(app, ["omero", *words, *self._where])
        return Done(result.exit_code, result.stdout, result.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start one as a process, to be killed."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "hcs_mesh", "omero", *words, *self._where],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def beside(self, *words: str) -> Done:
        """Run one as a process, beside the loop of the test."""
        out, err = await asyncio.to_thread((process := self.start(*words)).communicate, timeout=LIMIT_S)
        return Done(process.returncode, out, err)


@pytest.fixture
def omero_command(tmp_path: Path, docker: DockerProgram, at_localhost: OmeroSettings) -> Commands:
    commands = Commands(tmp_path)
    commands.set(host=at_localhost.host, port=at_localhost.port)
    return commands


def test_a_server_is_started_looked_at_and_stopped(omero_command: Commands, docker: DockerProgram) -> None:
    up = omero_command("up", "--json")
    assert up.code == 0, up.err
    assert up.told["state"] == "ready"
    assert up.told["started"]
    untrusted = omero_command("status", "--json")
    assert up.told["ca_file"] in untrusted.error["hint"]
    omero_command.set(host="localhost", port=int(up.told["address"].rpartition(":")[2]), ca_file=up.told["ca_file"])
    status = omero_command("status", "--json")
    assert status.told["usable"], status.out
    assert status.check("containers")["state"] == "ok"
    n_calls = len(docker.calls)
    again = omero_command("up", "--json")
    assert (again.told["state"], again.told["started"]) == ("ready", False)
    assert len(docker.calls) == n_calls
    assert omero_command("down", "--json").told["stopped"]
    assert docker.pids == []
    assert docker.volumes
    assert not omero_command("down", "--json").told["stopped"]


def test_people_read_where_it_is_where_the_password_is_and_how_it_is_stopped(
    omero_command: Commands, docker: DockerProgram
) -> None:
    up = omero_command("up", "--web-port", "4999")
    assert up.code == 0, up.err
    for told in ("lets people in", "http://localhost:4999", "compose.env", "ca_file", "hcs-mesh omero down"):
        assert told in up.out
    stages = [line for line in up.err.splitlines() if line.startswith(("checking", "starting"))]
    assert stages[0] == "checking"
    assert any(line.startswith("starting containers") for line in stages)
    assert "lets people in" not in up.err
    assert omero_command("down").out.endswith("stays for the next hcs-mesh omero up\n")


@pytest.mark.parametrize("command", ["up", "ps"])
async def test_what_a_killed_start_left_is_stopped_by_down(
    omero_command: Commands, docker: DockerProgram, command: str
) -> None:
    docker.set_up(holds=command, server="silent" if command == "ps" else "")
    process = omero_command.start("up")
    await eventually(lambda: docker.held, within_s=200)
    process.kill()
    process.communicate()
    docker.release()
    await eventually(lambda: docker.pids, within_s=200)
    assert (await omero_command.beside("down", "--json")).told["stopped"]
    assert docker.pids == []


@pytest.mark.parametrize("command", ["up", "exec"])
async def test_a_start_after_a_killed_one_becomes_ready(
    omero_command: Commands, docker: DockerProgram, command: str
) -> None:
    docker.set_up(holds=command)
    process = omero_command.start("up")
    await eventually(lambda: docker.held, within_s=200)
    process.kill()
    process.communicate()
    docker.release()
    await eventually(lambda: docker.pids, within_s=200)
    docker.set_up()
    up = await omero_command.beside("up", "--json")
    assert up.code == 0, up.err
    assert len(docker.pids) == 1
    assert (await omero_command.beside("down")).code == 0
    assert docker.pids == []


async def test_ctrl_c_leaves_what_was_started_and_says_how_it_is_stopped(
    omero_command: Commands, docker: DockerProgram
) -> None:
    docker.set_up(holds="ps", server="silent")
    process = omero_command.start("up")
    await eventually(lambda: docker.held, within_s=200)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert "hcs-mesh omero down stops what was started" in err
    assert process.returncode != 0
    assert docker.pids
    docker.release()
    assert (await omero_command.beside("down")).code == 0


def test_a_server_that_was_not_started_here_is_never_stopped(
    omero: RunningServer, omero_command: Commands, docker: DockerProgram
) -> None:
    omero_command.set(host=omero.host, port=omero.port, ca_file=str(omero.certificate))
    assert not omero_command("up", "--json").told["started"]
    assert not omero_command("down", "--json").told["stopped"]
    assert not omero_command("down", "--volumes", "--yes", "--json").told["stopped"]
    assert docker.calls == []
    assert omero_command("status").code == 0


def test_volumes_are_deleted_only_where_it_is_said_that_this_is_meant(
    omero_command: Commands, docker: DockerProgram
) -> None:
    assert omero_command("up").code == 0
    asked = omero_command("down", "--volumes", "--json")
    assert "--yes" in asked.error["hint"]
    assert docker.pids
    assert omero_command("down").code == 0
    assert omero_command("down", "--volumes", "--yes", "--json").told == {
        "stopped": True, "volumes_removed": True, "data": str(omero_command.data),
    }  # fmt: skip
    assert docker.volumes == []


def test_an_error_of_docker_is_an_error_for_machines(omero_command: Commands, docker: DockerProgram) -> None:
    docker.set_up(refuses={"up": "permission denied while trying to connect to the Docker daemon socket at unix:///x"})
    error = omero_command("up", "--json").error
    assert "may not use docker" in error["error"]
    assert "group docker" in error["hint"]


def test_that_no_server_is_set_is_told(omero_command: Commands) -> None:
    omero_command.set()
    for word in ("status", "up"):
        assert "omero.host is empty" in omero_command(word, "--json").error["error"]


def test_status_says_that_nobody_answers(omero_command: Commands) -> None:
    status = omero_command("status", "--json")
    assert status.error["error"].endswith("address, server, certificate, login")
    assert "hcs-mesh omero up" in status.error["hint"]
    assert (status.check("address")["state"], status.check("login")["state"]) == ("failed", "unknown")


def test_status_says_that_something_else_listens(omero_command: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        omero_command.set(host="localhost", port=other.getsockname()[1], connect_timeout_s=1.0)
        status = omero_command("status", "--json")
    assert status.check("address")["state"] == "ok"
    assert status.check("server")["state"] == "failed"
    assert "omero.port" in status.check("server")["hint"]


def test_status_says_that_nobody_is_let_in(omero: RunningServer, omero_command: Commands) -> None:
    omero.control.tell("fail", operation="Router.createSession", times=None, **{"with": "InternalException"})
    omero_command.set(host=omero.host, port=omero.port, ca_file=str(omero.certificate))
    status = omero_command("status", "--json")
    assert status.check("certificate")["state"] == "ok"
    assert status.check("login")["state"] == "failed"
    assert "Blitz-0.log" in status.check("login")["hint"]


def test_status_tells_the_version_and_whether_the_managed_repository_can_be_read(
    omero: RunningServer, omero_command: Commands, tmp_path: Path
) -> None:
    where: dict[str, object] = {"host": omero.host, "port": omero.port, "ca_file": str(omero.certificate)}
    omero_command.set(**where, managed_repository=str(omero.managed))
    status = omero_command("status", "--json")
    assert status.code == 0
    assert status.told["version"] in status.check("version")["detail"]
    assert status.check("version")["state"] == "ok"
    assert status.check("managed repository")["state"] == "ok"
    omero_command.set(**where, managed_repository=str(tmp_path / "nowhere"))
    status = omero_command("status", "--json")
    assert status.error["error"].endswith("managed repository")
    assert "nowhere" in status.check("managed repository")["detail"]


def test_status_leaves_no_session_behind(omero: RunningServer, omero_command: Commands) -> None:
    omero_command.set(host=omero.host, port=omero.port, ca_file=str(omero.certificate))
    assert omero_command("status").code == 0
    assert [one for one in omero.control.tell("sessions")["sessions"] if one["user"] == "guest"] == []


def test_a_server_that_takes_no_guests_still_lets_people_in(
    omero: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "GUEST", Password(user="nobody", password=Secret("wrong")))
    sight = looking.look(OmeroAddress(host=omero.host, port=omero.port, ca_file=str(omero.certificate)))
    assert sight.reach == "login"
    assert "no guests" in sight.why
