"""A process without sessions of its own: it is lent one for each person, and asks again only once that is over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from omero_lab import address_of, login

from hcs_mesh.plates.omero import lent_sessions
from hcs_mesh.plates.omero.address import Person, SessionKey
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroOtherUser, OmeroSessionEnded
from hcs_mesh.plates.omero.lent_sessions import LentSessions
from hcs_mesh.plates.omero.whose_session import AwaitLogin
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")

ADA, GRACE = Person(user="ada"), Person(user="grace")


def session_of(server: RunningServer, user: str) -> SessionKey:
    connection = Connection(address_of(server), login(user))
    connection.close()
    return connection.key


def whose(connection: Connection) -> str:
    return str(connection.event_context().userName)


class Lender:
    """Lends a new session each time, and counts."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.lent: list[str] = []

    def __call__(self, person: Person) -> SessionKey:
        self.lent.append(person.user)
        return session_of(self._server, person.user)


def n_joined(server: RunningServer) -> int:
    return server.control.counts().get("Router.createSession", 0)


def test_many_reads_take_one_session_and_a_few_connections(omero: RunningServer) -> None:
    lender = Lender(omero)
    sessions = LentSessions(address_of(omero), lender, n_connections=2)
    with ThreadPoolExecutor(12) as threads:
        read: list[str | AwaitLogin] = list(threads.map(lambda _: sessions.read(ADA, whose), range(24)))
    assert set(read) == {"ada"}
    assert lender.lent == ["ada"]
    # One was the lender's own.
    assert n_joined(omero) <= 3
    sessions.close()


@pytest.mark.parametrize("reaped", [False, True])
def test_another_is_lent_once_the_first_is_over(omero: RunningServer, reaped: bool) -> None:
    lender = Lender(omero)
    sessions = LentSessions(address_of(omero), lender)
    assert sessions.read(ADA, whose) == "ada"
    omero.control.tell("expire", session=None, user="ada", reaped=reaped)
    assert sessions.read(ADA, whose) == "ada"
    assert lender.lent == ["ada", "ada"]
    sessions.close()


def test_a_session_that_is_always_over_is_told_as_that(omero: RunningServer) -> None:
    key = session_of(omero, "ada")
    omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
    sessions = LentSessions(address_of(omero), lambda _: key)
    with pytest.raises(OmeroSessionEnded, match="as soon as it is used"):
        sessions.read(ADA, whose)


def test_a_session_of_somebody_else_is_not_used(omero: RunningServer) -> None:
    sessions = LentSessions(address_of(omero), lambda _: session_of(omero, "ada"))
    with pytest.raises(OmeroOtherUser):
        sessions.read(GRACE, whose)


def test_the_connections_of_who_read_longest_ago_are_closed_first(
    omero: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_sessions, "MOST_PEOPLE", 1)
    lender = Lender(omero)
    sessions = LentSessions(address_of(omero), lender)
    for person in (ADA, ADA, GRACE, GRACE, ADA):
        assert sessions.read(person, whose) == person.user
    assert lender.lent == ["ada", "grace", "ada"]
    sessions.close()


def test_a_login_that_is_missing_is_asked_for_again_each_time(omero: RunningServer) -> None:
    answers: list[Callable[[], SessionKey | AwaitLogin]] = [
        lambda: AwaitLogin("nobody is here"),
        lambda: session_of(omero, "ada"),
    ]
    sessions = LentSessions(address_of(omero), lambda _: answers.pop(0)())
    assert sessions.read(ADA, whose) == AwaitLogin("nobody is here")
    assert sessions.read(ADA, whose) == "ada"
    sessions.close()
