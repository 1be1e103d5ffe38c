"""A server to speak with: the stand-in, or a real one that the environment names (OMERO_HOST and its fellows)."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import Ice
import pytest
from omero.gateway import BlitzGateway
from omero_people import CLIENTS, SETUP, Login, login_of
from omero_real import real_server

from omero_server.running import RunningServer, running_server


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One stand-in for all tests that only speak with it."""
    with running_server(tmp_path_factory.mktemp("omero"), SETUP) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path, stand_in: RunningServer) -> Iterator[RunningServer]:
    """A stand-in that the test may kill and confuse."""
    folder = tmp_path / "omero"
    folder.mkdir()
    for name in ("server.crt", "server.key"):  # making a key takes its time
        shutil.copy2(stand_in.folder / name, folder)
    with running_server(folder, SETUP) as server:
        yield server


@pytest.fixture
def confused_server(stand_in: RunningServer) -> Iterator[RunningServer]:
    """The stand-in of all tests, to be told to misbehave for the length of one."""
    yield stand_in
    stand_in.control.tell("forget_faults")


@pytest.fixture(scope="session")
def login(request: pytest.FixtureRequest) -> Login:
    """The server of the environment if it names one, else the stand-in."""
    if (server := real_server()) is not None:
        return Login(server.host, server.port, *server.people["ada"])
    return login_of(request.getfixturevalue("stand_in"), "ada")


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """Close what a test has opened without the gateway, also where nobody is at the other end any more."""
    yield
    while CLIENTS:
        with contextlib.suppress(Ice.Exception):
            CLIENTS.pop().closeSession()


@pytest.fixture
def connection(login: Login) -> Iterator[BlitzGateway]:
    """Logged in for one test."""
    connection = login.connect()
    yield connection
    connection.close()


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., BlitzGateway]]:
    """Connects as one of the people of SETUP, in a group; closed at the end."""
    opened: list[BlitzGateway] = []

    def connect(user: str, group: str | None = None, server: RunningServer | None = None) -> BlitzGateway:
        connection = login_of(server or request.getfixturevalue("stand_in"), user).connect()
        opened.append(connection)
        if group is not None:
            found = connection.getAdminService().lookupGroup(group)
            connection.SERVICE_OPTS.setOmeroGroup(found.id.val)
        return connection

    yield connect
    for one in opened:
        if one.c is not None:
            one.close()
