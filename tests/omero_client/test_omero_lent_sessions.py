"""A process without sessions of its own: it is lent one for each person, and soon asks again whether it may go on."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from omero_lab import address_of, login

from hcs_mesh.plates.errors import PlaceAway
from hcs_mesh.plates.omero import lent_sessions
from hcs_mesh.plates.omero.address import LENT_S, LET_GO_S, Credential, OmeroAddress, Person, SessionKey
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroAwaitsLogin, OmeroOtherUser, OmeroSessionEnded
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.lent_sessions import LentSessions
from hcs_mesh.plates.omero.whose_session import AwaitLogin
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

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


class Watched(Connection):
    """A connection that tells when it was let go of."""

    def __init__(self, address: OmeroAddress, credential: Credential) -> None:
        super().__init__(address, credential)
        self.closed = threading.Event()

    def close(self) -> None:
        super().close()
        self.closed.set()


class Watch:
    """Opens connections, keeps them in sight, and says what time it is."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.opened: list[Watched] = []

    def open(self, address: OmeroAddress, credential: Credential) -> Watched:
        self.opened.append(Watched(address, credential))
        return self.opened[-1]

    def clock(self) -> float:
        return self.now_s

    def are_closed(self) -> list[bool]:
        return [one.closed.is_set() for one in self.opened]


@pytest.fixture
def watch() -> Watch:
    return Watch()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what tells nobody: that a thread waits."""
    until_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


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


def test_a_person_who_takes_a_session_back_is_read_nothing_more_in_it(omero: RunningServer, watch: Watch) -> None:
    own = Identities(address_of(omero))
    own.logged_in(ADA, session_of(omero, "ada"))
    sessions = LentSessions(address_of(omero), own.session_of, open_connection=watch.open, clock=watch.clock)
    assert sessions.read(ADA, whose) == "ada"
    assert own.taken_back(ADA)
    watch.now_s = LENT_S
    assert isinstance(sessions.read(ADA, whose), AwaitLogin)
    assert watch.are_closed() == [True]
    own.logged_in(ADA, session_of(omero, "ada"))
    assert sessions.read(ADA, whose) == "ada"
    sessions.close()
    own.close()


def test_what_is_lent_again_is_gone_on_with(omero: RunningServer, watch: Watch) -> None:
    key = session_of(omero, "ada")
    asked: list[float] = []

    def lend(person: Person) -> SessionKey:
        asked.append(watch.now_s)
        return key

    sessions = LentSessions(address_of(omero), lend, open_connection=watch.open, clock=watch.clock)
    for watch.now_s in (0.0, LENT_S - 1.0, LENT_S, 2 * LENT_S - 1.0, 2 * LENT_S):
        assert sessions.read(ADA, whose) == "ada"
    assert asked == [0.0, LENT_S, 2 * LENT_S]
    assert watch.are_closed() == [False]
    sessions.close()


def test_the_connections_in_a_session_are_closed_when_another_is_lent(omero: RunningServer, watch: Watch) -> None:
    lender = Lender(omero)
    sessions = LentSessions(address_of(omero), lender, open_connection=watch.open, clock=watch.clock)
    first = sessions.read(ADA, lambda connection: connection.key)
    watch.now_s = LENT_S
    assert sessions.read(ADA, lambda connection: connection.key) != first
    assert watch.are_closed() == [True, False]
    sessions.close()


def test_where_nobody_says_that_one_may_go_on_nothing_more_is_read(omero: RunningServer, watch: Watch) -> None:
    key = session_of(omero, "ada")
    refusals: list[Exception] = []

    def lend(person: Person) -> SessionKey:
        for refusal in refusals:
            raise refusal
        return key

    sessions = LentSessions(address_of(omero), lend, open_connection=watch.open, clock=watch.clock)
    assert sessions.read(ADA, whose) == "ada"
    watch.now_s = LENT_S
    for refusal in (OmeroAwaitsLogin("nobody is here"), PlaceAway("the mesh is starting")):
        refusals[:] = [refusal]
        with pytest.raises(type(refusal)):
            sessions.read(ADA, whose)
    assert watch.are_closed() == [True]
    refusals.clear()
    assert sessions.read(ADA, whose) == "ada"
    sessions.close()


def test_who_waits_for_a_connection_that_is_let_go_of_reads_by_another(omero: RunningServer, watch: Watch) -> None:
    sessions = LentSessions(
        address_of(omero), Lender(omero), n_connections=1, open_connection=watch.open, clock=watch.clock
    )
    inside, may_end = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> str:
        inside.set()
        assert may_end.wait(60)
        return whose(connection)

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(sessions.read, ADA, slowly)
        assert inside.wait(60)
        (lent,) = sessions._lent.values()
        waiting = threads.submit(sessions.read, ADA, whose)
        until(lambda: lent.pool.statistics().n_waiting == 1)
        watch.now_s = LENT_S
        assert sessions.read(ADA, whose) == "ada"
        assert waiting.result(60) == "ada"
        # What was being read is read to its end.
        assert watch.are_closed() == [False, False]
        may_end.set()
        assert slow.result(60) == "ada"
    assert watch.are_closed() == [True, False]
    sessions.close()


def test_what_nobody_asks_for_again_is_let_go_of_by_itself(omero: RunningServer, watch: Watch) -> None:
    # Made before, since a login takes its time: what is lent is let go of so long after it was asked for.
    keys, lent = [session_of(omero, "ada") for _ in range(2)], []

    def lend(person: Person) -> SessionKey:
        lent.append(person.user)
        return keys[len(lent) - 1]

    sessions = LentSessions(address_of(omero), lend, let_go_s=2.0, open_connection=watch.open)
    assert sessions.read(ADA, whose) == "ada"
    assert watch.opened[0].closed.wait(60)
    # The key has gone with them.
    assert sessions.read(ADA, whose) == "ada"
    assert lent == ["ada", "ada"]
    assert watch.opened[1].closed.wait(60)
    sessions.close()
    assert LET_GO_S > LENT_S, "who reads on is asked for first"
