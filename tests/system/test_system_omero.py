"""OMERO as the home of a mesh: real processes, real plates, and kills of the mesh and of the server."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omero_home import Household, household, settings_of
from omero_imports import METAXPRESS, importable, n_of
from omero_lab import SETUP

from hcs_mesh import BlockingClient
from hcs_mesh.plates.local.certificate_shelf import load
from hcs_mesh.transport import AskFailed
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "omero", setup=SETUP) as running:
        yield running


@pytest.fixture
def minter(tmp_path: Path) -> Path:
    path = tmp_path / "minter-secret"
    path.write_text("pw-minter\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def home(mesh_up: Callable[..., Any], server: RunningServer, tmp_path: Path) -> Iterator[Household]:
    """A mesh in which nobody mints sessions."""
    with household(mesh_up, server, tmp_path) as found:
        yield found


@pytest.fixture
def minted(mesh_up: Callable[..., Any], server: RunningServer, tmp_path: Path, minter: Path) -> Iterator[Household]:
    """A mesh that acts for whoever is away."""
    with household(mesh_up, server, tmp_path, minter=minter) as found:
        yield found


def stored(server: RunningServer) -> list[bytes]:
    """Every file that the server keeps of imports, without its own logs."""
    return sorted(path.read_bytes() for path in server.managed.rglob("*") if path.is_file() and path.suffix != ".log")


def test_a_real_plate_waits_for_its_owners_login_and_is_then_theirs_alone(home: Household, shared_data: Path) -> None:
    source = importable(shared_data / METAXPRESS)
    import_id = home.hand_over("ada", source, "--screen", "Tuesday")
    waiting = home.until(import_id, "waiting", reason="nobody may act for ada at OMERO before the next login")
    assert "no minter is set" in waiting["reason"]
    assert n_of(home.server, "Fileset") == 0
    assert home.log_in("ada").returncode == 0
    done = home.until(import_id, "done", "failed")
    certificate = load(Path(done["certificate"])).certificate
    assert certificate.plate_ids == tuple(done["plates"])
    assert certificate.repository.endswith("/Fileset:1")
    assert "lie in OMERO" in home.mesh("verify", import_id).refusal
    assert home.mesh("verify", import_id, "--signature-only").value["signature"] == "good"
    assert stored(home.server) == sorted(path.read_bytes() for path in source.rglob("*") if path.is_file())
    (listed,) = home.command("ada", "plates").value
    (plate,) = done["plates"]
    assert (listed["id"], n_of(home.server, "Screen")) == (plate, 1)
    assert len(home.command("ada", "plate", plate).value["wells"]) == listed["n_wells"] > 0
    # Another person of the same private group.
    assert "nobody may act for grace" in home.command("grace", "plates").refusal
    assert home.log_in("grace").returncode == 0
    assert home.command("grace", "plates").value == []
    assert f"no plate {plate}" in home.command("grace", "plate", plate).refusal
    assert home.mesh("status").value["repository"] == f"omero at {home.server.host}:{home.server.port}"


def test_kills_of_mesh_and_server_leave_one_plate(minted: Household, shared_data: Path) -> None:
    server = minted.server
    server.control.tell("hold", operation="ManagedRepository.verifyChecksums")
    import_id = minted.hand_over("ada", importable(shared_data / METAXPRESS))
    minted.until(import_id, "running")
    wait_held(server, "ManagedRepository.verifyChecksums")
    os.kill(minted.mesh("status").value["pid"], signal.SIGKILL)
    server.kill()
    assert minted.mesh("up", "--detach").code == 0
    minted.until(import_id, "waiting")
    server.start(kill_at="ImportProcess.verifyUpload")
    server.wait_until_dead()
    server.start()
    done = minted.until(import_id, "done", "failed")
    assert [n_of(server, kind) for kind in ("Fileset", "Plate")] == [1, 1]
    assert load(Path(done["certificate"])).certificate.plate_ids == tuple(done["plates"])


def test_a_mesh_comes_up_without_its_server_and_goes_on_by_itself(
    mesh_up: Callable[..., Any], server: RunningServer, tmp_path: Path, minter: Path, shared_data: Path
) -> None:
    server.kill()
    with household(mesh_up, server, tmp_path, minter=minter) as home:
        import_id = home.hand_over("ada", importable(shared_data / METAXPRESS))
        waiting = home.until(import_id, "waiting", reason=f"{server.port}")
        assert waiting["attempts"] == 0
        assert "OMERO" in home.command("ada", "plates").refusal
        server.start()
        home.until(import_id, "done", "failed")


FAR = """
[[http_plates]]
name = "far"
url = "http://127.0.0.1:9/far.zarr/"
"""


def test_plates_elsewhere_are_listed_for_who_has_no_session_at_omero(
    mesh_up: Callable[..., Any], server: RunningServer, tmp_path: Path
) -> None:
    with household(mesh_up, server, tmp_path, more=FAR) as home:
        listed = home.command("ada", "plates")
        assert listed.code == 3, listed
        assert [one["name"] for one in json.loads(listed.out)] == ["far"]
        (told,) = listed.err.strip().splitlines()
        assert "the plates of 'omero' cannot be listed: nobody may act for ada" in json.loads(told)["error"]
        assert "goes on by itself" in json.loads(told)["hint"]
        assert home.log_in("ada").returncode == 0
        assert [one["name"] for one in home.command("ada", "plates").value] == ["far"]


def test_a_data_folder_stays_with_the_numbers_that_it_began_with(
    mesh_up: Callable[..., Any], home: Household, tmp_path: Path
) -> None:
    data = home.mesh.data
    assert home.mesh("down").code == 0
    config = tmp_path / "other.toml"
    environment = {"HCS_MESH_CONFIG": str(config)}
    for other in ("", settings_of(home.server).replace(f"port = {home.server.port}", "port = 4064")):
        config.write_text(f"[imports]\n{other}", encoding="utf-8")
        home.mesh.environment.update(environment)
        refusal = home.mesh("up", "--detach").refusal
        assert f"plates of {data} are those of OMERO at {home.server.host}:{home.server.port}" in refusal
        assert "a data folder of its own" in refusal


def test_a_password_typed_at_a_terminal_goes_to_the_server_alone(home: Household) -> None:
    words = [sys.executable, "-P", "-m", "hcs_mesh", "omero", "login", "--key", str(home.key("ada"))]
    terminal = subprocess.Popen(
        ["script", "--quiet", "--return", "--command", shlex.join(words), "/dev/null"],
        env=home.mesh.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert terminal.stdin is not None
    assert terminal.stdout is not None
    seen = b""
    while b"Password of ada at OMERO" not in seen:
        seen += os.read(terminal.stdout.fileno(), 4096)
    out, _ = terminal.communicate(b"pw-ada\n", timeout=60)
    assert terminal.returncode == 0, seen + out
    assert b"acts as ada at OMERO" in out
    assert home.command("ada", "plates").value == []
    # What it opened is a session that the server still has, and that nothing here says a word of.
    (session,) = {one["uuid"] for one in home.server.control.tell("sessions")["sessions"] if one["user"] == "ada"}
    everything = b"".join(path.read_bytes() for path in home.mesh.data.rglob("*") if path.is_file())
    assert b"ada" in everything
    for told in (session.encode(), b"pw-ada"):
        assert told not in everything
        assert told not in seen + out
    assert home.command("ada", "omero", "logout").value == {"taken_back": True}
    assert home.command("ada", "omero", "logout").value == {"taken_back": False}


def test_nobody_hands_in_a_session_of_somebody_else(home: Household) -> None:
    with BlockingClient.at(home.mesh.data, key=home.key("grace")) as grace:
        with pytest.raises(AskFailed, match="may not hand in or take back the session of ada"):
            grace.hand_in_session(home.session("ada"), user="ada")
        with pytest.raises(AskFailed, match="is another person's"):
            grace.hand_in_session(home.session("ada"))
        with pytest.raises(AskFailed, match="over"):
            grace.hand_in_session("0" * 36)
        assert grace.hand_in_session(home.session("grace")).user == "grace"
        assert grace.plates() == ()


def wait_held(server: RunningServer, operation: str) -> None:
    until_s = time.monotonic() + 60.0
    while not server.control.tell("held")["held"].get(operation):
        assert time.monotonic() < until_s, f"nobody calls {operation}"
        time.sleep(0.05)
