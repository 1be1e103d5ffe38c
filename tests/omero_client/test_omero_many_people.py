"""Fifty people at once, each in their own name: nobody sees what is another's."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from omero_lab import address_of, login
from omero_plates import save_plate

from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.whose_session import AwaitLogin
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

PEOPLE = [f"person{n:02d}" for n in range(50)]
SETUP = {
    "groups": [{"name": "lab", "permissions": "rw----"}],
    "users": [{"name": name, "password": f"pw-{name}", "groups": ["lab"]} for name in PEOPLE],
}


@pytest.fixture
def busy_omero(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "omero", setup=SETUP) as server:
        yield server


class OnePlateEach:
    """What everybody does: bring in a plate of their own, hand in their session, and look."""

    def __init__(self, server: RunningServer) -> None:
        self._address = address_of(server)
        self._identities = Identities(self._address, n_connections=1)
        self.saved: dict[str, int] = {}

    def save(self, name: str) -> None:
        connection = Connection(self._address, login(name))
        with connection.calling():
            self.saved[name] = save_plate(_Client(connection), name, n_rows=1, n_columns=2, n_fields=1)
        connection.close()
        self._identities.logged_in(Person(user=name), connection.key)

    def look(self, name: str) -> set[tuple[int, str]]:
        pool = self._identities.pool(Person(user=name))
        assert not isinstance(pool, AwaitLogin)
        return {(one.id, one.name) for one in OmeroPlates(pool).plates()}

    def close(self) -> None:
        self._identities.close()


class _Client:
    """As much of omero.client as it takes to save a plate."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def getSession(self) -> object:  # noqa: N802 - as omero.client has it
        return self._connection.session


def test_fifty_people_at_once_see_their_own_plates_alone(busy_omero: RunningServer) -> None:
    everybody = OnePlateEach(busy_omero)
    with ThreadPoolExecutor(len(PEOPLE)) as threads:
        list(threads.map(everybody.save, PEOPLE))
        seen = dict(zip(PEOPLE, threads.map(everybody.look, PEOPLE), strict=True))
    everybody.close()
    assert seen == {name: {(everybody.saved[name], name)} for name in PEOPLE}
    assert len(set(everybody.saved.values())) == len(PEOPLE)
