"""A stand-in OMERO.server for the tests of what speaks with one; for some, the real one that the environment names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_program import DockerProgram, free_port
from omero_lab import SETUP, Server
from omero_real import real_server

from hcs_mesh.config import OmeroSettings
from omero_server.running import RunningServer, running_server


@pytest.fixture(scope="module")
def shared_omero(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that the tests of one file share."""
    with running_server(tmp_path_factory.mktemp("omero"), setup=SETUP) as server:
        yield server


@pytest.fixture
def omero(shared_omero: RunningServer) -> RunningServer:
    """The shared server, with nothing slow or failing, and nothing counted."""
    shared_omero.control.tell("forget_faults")
    shared_omero.control.tell("forget_counts")
    return shared_omero


@pytest.fixture
def any_omero(request: pytest.FixtureRequest) -> Server:
    """The real server of OMERO_HOST, else the stand-in: for tests that want nothing that a stand-in alone can do."""
    server = real_server()
    if server is not None:
        return server
    stand_in: RunningServer = request.getfixturevalue("omero")
    return stand_in


@pytest.fixture
def own_omero(tmp_path: Path) -> Iterator[RunningServer]:
    """A server to be killed."""
    with running_server(tmp_path / "omero", setup=SETUP) as server:
        yield server


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerProgram]:
    """The fake docker, first on the PATH."""
    program = DockerProgram(tmp_path)
    monkeypatch.setenv("PATH", program.path)
    yield program
    program.close()


@pytest.fixture
def at_localhost() -> OmeroSettings:
    """A server of this computer, where none runs yet."""
    return OmeroSettings(host="localhost", port=free_port())
