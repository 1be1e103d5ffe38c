"""In a person's name at a real server: their own session, a minted one when they are away, never anybody else's."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from omero_lab import address_of, login
from waiting import eventually

from hcs_mesh.actors.omero import login_desk
from hcs_mesh.actors.omero.login_desk import LoginDesk
from hcs_mesh.config import OmeroSettings
from hcs_mesh.plates.omero import pool as pools
from hcs_mesh.plates.omero.address import Person, SessionKey
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import (
    OmeroBusy,
    OmeroCallRefused,
    OmeroOtherUser,
    OmeroSecretUnusable,
    OmeroUnreachable,
)
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.minter import Minter, minter_secret
from hcs_mesh.plates.omero.whose_session import REFUSED_FOR_S, AwaitLogin
from hcs_mesh.supervisors import Node
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.anyio, pytest.mark.timeout(300)]

ADA = Person(user="ada", group="lab")


def secret_file(folder: Path, password: str, mode: int = 0o600) -> Path:
    path = folder / "minter-secret"
    path.touch(mode=0o600)
    path.write_text(f"{password}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def minter(omero: RunningServer, tmp_path: Path) -> Minter:
    return Minter(address_of(omero), "minter", secret_file(tmp_path, "pw-minter"))


class Kept:
    """What a keeper was asked to keep."""

    def __init__(self) -> None:
        self.keys: list[SessionKey] = []
        self.left = threading.Event()

    def keep(self, key: SessionKey) -> None:
        self.keys.append(key)

    def leave(self, key: SessionKey) -> None:
        self.keys = [one for one in self.keys if one != key]
        self.left.set()


def session_of(server: RunningServer, user: str) -> SessionKey:
    """The key of a session of the user's own, as a program of theirs would hand it in."""
    connection = Connection(address_of(server), login(user))
    connection.close()
    return connection.key


def living(server: RunningServer) -> set[str]:
    return {one["uuid"] for one in server.control.tell("sessions")["sessions"]}


def n_in(server: RunningServer, key: SessionKey) -> int:
    """How many connections have joined a session; -1 where it is over."""
    told = {one["uuid"]: one["connections"] for one in server.control.tell("sessions")["sessions"]}
    return int(told.get(key.uuid.reveal(), -1))


def who(connection: Connection) -> tuple[str, str]:
    context = connection.event_context()
    return str(context.userName), str(context.sessionUuid)


@contextmanager
def frozen(server: RunningServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_who_takes_a_session_back_from_a_frozen_server_waits_for_a_moment_only(own_omero: RunningServer) -> None:
    identities = Identities(address_of(own_omero))
    identities.logged_in(ADA, session_of(own_omero, "ada"))
    identities.read(ADA, who)
    with ThreadPoolExecutor(1) as threads, frozen(own_omero):
        # To close the connection takes twice the 60 s of the address.
        assert threads.submit(identities.taken_back, ADA).result(45)


def test_a_person_whose_connections_are_still_being_closed_is_answered(
    own_omero: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_LEAVE_S", 600.0)
    kept = Kept()
    identities = Identities(address_of(own_omero), keeper=kept)
    identities.logged_in(ADA, session_of(own_omero, "ada"))
    identities.read(ADA, who)
    with ThreadPoolExecutor(2) as threads:
        with frozen(own_omero):
            leaving = threads.submit(identities.taken_back, ADA)
            assert kept.left.wait(45)
            assert isinstance(threads.submit(identities.pool, ADA).result(45), AwaitLogin)
            assert not leaving.done()
        assert leaving.result(45)


def test_the_mesh_acts_in_the_session_that_a_person_has_handed_in(omero: RunningServer) -> None:
    identities, key = Identities(address_of(omero)), session_of(omero, "ada")
    identities.logged_in(ADA, key)
    assert identities.read(ADA, who) == ("ada", key.uuid.reveal())
    identities.close()


@pytest.mark.parametrize("with_minter", [False, True])
def test_a_session_that_is_lent_to_a_process_is_alive(omero: RunningServer, minter: Minter, with_minter: bool) -> None:
    identities, key = Identities(address_of(omero), minter=minter if with_minter else None), session_of(omero, "ada")
    identities.logged_in(ADA, key)
    assert identities.session_of(ADA) == key
    omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
    lent = identities.session_of(ADA)
    if with_minter:
        assert isinstance(lent, SessionKey)
        assert lent != key
        assert identities.read(ADA, who) == ("ada", lent.uuid.reveal())
    else:
        assert isinstance(lent, AwaitLogin)
    identities.close()


def test_a_session_of_somebody_else_is_not_taken(omero: RunningServer) -> None:
    identities = Identities(address_of(omero))
    with pytest.raises(OmeroOtherUser, match="handed in for ada"):
        identities.logged_in(ADA, session_of(omero, "grace"))
    assert isinstance(identities.pool(ADA), AwaitLogin)


def test_a_session_is_minted_for_a_person_who_is_away(omero: RunningServer, minter: Minter) -> None:
    identities, key = Identities(address_of(omero), minter=minter), session_of(omero, "ada")
    identities.logged_in(ADA, key)
    identities.read(ADA, who)
    omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
    user, uuid = identities.read(ADA, who)
    assert user == "ada"
    assert uuid != key.uuid.reveal()
    assert identities.read(ADA, who) == ("ada", uuid)
    identities.close()


def test_the_minters_own_session_is_closed_when_it_has_minted(omero: RunningServer, minter: Minter) -> None:
    minter.mint(ADA)
    assert "minter" not in {one["user"] for one in omero.control.tell("sessions")["sessions"]}


def test_a_minted_session_is_left_for_the_persons_own_at_the_next_login_and_ended(
    omero: RunningServer, minter: Minter
) -> None:
    identities = Identities(address_of(omero), minter=minter)
    _, minted = identities.read(ADA, who)  # type: ignore[misc]
    key = session_of(omero, "ada")
    identities.logged_in(ADA, key)
    assert identities.read(ADA, who) == ("ada", key.uuid.reveal())
    asyncio.run(eventually(lambda: minted not in living(omero), 60.0, "the end of the minted session"))
    identities.close()
    assert key.uuid.reveal() in living(omero)


def test_a_minted_session_in_which_something_goes_on_is_left_to_it(omero: RunningServer, minter: Minter) -> None:
    identities = Identities(address_of(omero), minter=minter)
    pool = identities.pool(ADA)
    assert not isinstance(pool, AwaitLogin)
    apart = pool.apart()
    upload = apart.connection
    omero.control.tell("forget_counts")
    identities.logged_in(ADA, session_of(omero, "ada"))
    identities.read(ADA, who)
    asyncio.run(
        eventually(
            lambda: omero.control.counts().get("ISession.getReferenceCount") and n_in(omero, upload.key) == 1,
            60.0,
            "a look at the session, and that who looked has gone",
        )
    )
    identities.close()
    assert who(upload)[0] == "ada"
    upload.end_session()


def test_with_the_mesh_the_sessions_end_that_were_minted_and_nobodys_own(omero: RunningServer, minter: Minter) -> None:
    identities, key = Identities(address_of(omero), minter=minter), session_of(omero, "grace")
    identities.logged_in(Person(user="grace"), key)
    _, minted = identities.read(ADA, who)  # type: ignore[misc]
    assert minted in living(omero)
    identities.close()
    assert minted not in living(omero)
    assert key.uuid.reveal() in living(omero)


def test_nobody_waits_for_a_session_that_is_being_minted_but_who_needs_it(omero: RunningServer, minter: Minter) -> None:
    operation = "ISession.createSessionWithTimeouts"
    identities, key = Identities(address_of(omero), minter=minter, patience_s=0.1), session_of(omero, "ada")
    omero.control.tell("hold", operation=operation)
    served: list[object] = []
    waiting = threading.Thread(target=lambda: served.append(identities.read(ADA, who)))
    waiting.start()
    try:
        asyncio.run(eventually(lambda: omero.control.tell("held")["held"][operation], 60.0, "the minting"))
        with pytest.raises(OmeroBusy, match="being opened for longer than"):
            identities.read(ADA, who)
        identities.key_ended(key)
        identities.logged_in(ADA, key)
        assert identities.read(ADA, who) == ("ada", key.uuid.reveal())
    finally:
        omero.control.tell("release", operation=operation)
        waiting.join()
    assert served == [("ada", key.uuid.reveal())]
    identities.close()


def test_without_a_minter_it_is_waited_for_the_next_login(omero: RunningServer) -> None:
    identities, key = Identities(address_of(omero)), session_of(omero, "ada")
    identities.logged_in(ADA, key)
    omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
    waiting = identities.read(ADA, who)
    assert isinstance(waiting, AwaitLogin)
    assert "omero.minter" in waiting.reason
    identities.logged_in(ADA, session_of(omero, "ada"))
    assert not isinstance(identities.read(ADA, who), AwaitLogin)
    identities.close()


@pytest.mark.parametrize(
    ("account", "said"), [("mighty", "must be Sudo alone"), ("plain", "rights as an administrator are none")]
)
def test_a_minter_with_more_or_less_than_sudo_is_refused(
    omero: RunningServer, tmp_path: Path, account: str, said: str
) -> None:
    unfit = Minter(address_of(omero), account, secret_file(tmp_path, f"pw-{account}"))
    waiting = Identities(address_of(omero), minter=unfit).read(ADA, who)
    assert isinstance(waiting, AwaitLogin)
    assert said in waiting.reason


def test_root_is_never_the_minter(omero: RunningServer, tmp_path: Path) -> None:
    root = Minter(address_of(omero), "root", secret_file(tmp_path, "the-root"))
    waiting = Identities(address_of(omero), minter=root).read(ADA, who)
    assert isinstance(waiting, AwaitLogin)
    assert "the-root" not in waiting.reason


def test_the_minter_does_not_make_an_administrator_of_anybody(omero: RunningServer, minter: Minter) -> None:
    waiting = Identities(address_of(omero), minter=minter).read(Person(user="root"), who)
    assert isinstance(waiting, AwaitLogin)


def test_a_refusal_is_tried_again_after_a_while_and_not_before(omero: RunningServer, tmp_path: Path) -> None:
    now_s = [0.0]
    path = secret_file(tmp_path, "wrong")
    minter = Minter(address_of(omero), "minter", path)
    identities = Identities(address_of(omero), minter=minter, clock=lambda: now_s[0])
    assert isinstance(identities.read(ADA, who), AwaitLogin)
    path.write_text("pw-minter\n")
    assert isinstance(identities.read(ADA, who), AwaitLogin)
    now_s[0] = REFUSED_FOR_S
    assert identities.read(ADA, who)[0] == "ada"  # type: ignore[index]
    identities.close()


def test_who_is_unknown_at_omero_is_waited_for_and_minted_for_once_in_a_while(
    omero: RunningServer, minter: Minter
) -> None:
    now_s = [0.0]
    identities = Identities(address_of(omero), minter=minter, clock=lambda: now_s[0])
    omero.control.tell("forget_counts")
    for n_minted in (1, 2):
        for _ in range(3):
            waiting = identities.read(Person(user="owner"), who)
            assert isinstance(waiting, AwaitLogin)
            assert f"OMERO at {address_of(omero)} knows no user owner" in waiting.reason
        assert omero.control.counts()["ISession.createSessionWithTimeouts"] == n_minted
        now_s[0] += REFUSED_FOR_S


def test_what_a_server_refuses_of_somebody_it_knows_is_told_as_it_says_it(
    omero: RunningServer, minter: Minter, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = OmeroCallRefused("some other reason")

    def service(connection: Connection, name: str) -> Any:
        if name == "SessionService":
            raise refused
        return genuine(connection, name)

    genuine = Connection.service
    monkeypatch.setattr(Connection, "service", service)
    with pytest.raises(OmeroCallRefused) as told:
        minter.mint(ADA)
    assert told.value is refused


def test_a_server_that_is_away_is_no_refusal(own_omero: RunningServer, tmp_path: Path) -> None:
    minter = Minter(address_of(own_omero), "minter", secret_file(tmp_path, "pw-minter"))
    identities = Identities(address_of(own_omero), minter=minter)
    own_omero.kill()
    with pytest.raises(OmeroUnreachable):
        identities.read(ADA, who)
    own_omero.start()
    assert identities.read(ADA, who)[0] == "ada"  # type: ignore[index]
    identities.close()


@pytest.mark.parametrize("with_minter", [False, True])
def test_a_server_that_is_coming_up_refuses_nobody(omero: RunningServer, minter: Minter, with_minter: bool) -> None:
    identities = Identities(address_of(omero), minter=minter if with_minter else None)
    if not with_minter:
        identities.logged_in(ADA, session_of(omero, "ada"))
    omero.control.tell("fail", operation="Router.createSession", times=None, **{"with": "not asked"})
    with pytest.raises(OmeroUnreachable, match="internal server error"):
        identities.read(ADA, who)
    omero.control.tell("forget_faults")
    assert identities.read(ADA, who)[0] == "ada"  # type: ignore[index]
    identities.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: secret_file(folder, "pw", mode=0o640), "mode 640"),
        (lambda folder: secret_file(folder, ""), "is empty"),
        (lambda folder: folder / "absent", "No such file"),
    ],
)
def test_a_secret_that_others_can_read_or_that_is_none_is_not_used(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(OmeroSecretUnusable, match=said):
        minter_secret(make(tmp_path))


def test_a_secret_that_is_no_text_is_not_repeated(tmp_path: Path) -> None:
    path = secret_file(tmp_path, "x")
    path.write_bytes(b"pass\xffword")
    with pytest.raises(OmeroSecretUnusable) as unusable:
        minter_secret(path)
    assert unusable.value.__suppress_context__
    assert "word" not in str(unusable.value).removeprefix("omero.minter_secret_file")


async def test_a_session_in_which_nothing_was_done_for_the_time_that_is_set_rests_until_it_is_used(
    omero: RunningServer,
) -> None:
    kept, now_s, rest_after_s = Kept(), [0.0], OmeroSettings().rest_after_s
    identities = Identities(address_of(omero), keeper=kept, clock=lambda: now_s[0])
    key = await asyncio.to_thread(session_of, omero, "ada")
    await asyncio.to_thread(identities.logged_in, ADA, key)
    now_s[0] = rest_after_s - 1.0
    identities.rest_unused(rest_after_s)
    assert kept.keys == [key]
    # What is done in it counts from then on.
    await asyncio.to_thread(identities.read, ADA, who)
    now_s[0] = 2 * rest_after_s - 2.0
    identities.rest_unused(rest_after_s)
    assert kept.keys == [key]
    now_s[0] = 2 * rest_after_s - 1.0
    identities.rest_unused(rest_after_s)
    assert kept.keys == []
    # It may have lived on all the same, and is kept again once it is needed.
    assert (await asyncio.to_thread(identities.read, ADA, who))[0] == "ada"
    assert kept.keys == [key]
    await asyncio.to_thread(identities.close)


async def test_the_desk_of_logins_goes_round_and_lets_sessions_rest_after_what_is_set(
    omero: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_desk, "ROUND_S", 0.01)
    kept, now_s = Kept(), [0.0]
    identities = Identities(address_of(omero), keeper=kept, clock=lambda: now_s[0])
    key = await asyncio.to_thread(session_of, omero, "ada")
    await asyncio.to_thread(identities.logged_in, ADA, key)
    node = Node("hub")
    life = await node.start_actor("logins", lambda: LoginDesk(identities, rest_s=50.0))
    now_s[0] = 49.0
    later = Person(user="grace")
    await asyncio.to_thread(identities.logged_in, later, await asyncio.to_thread(session_of, omero, "grace"))
    assert len(kept.keys) == 2
    now_s[0] = 50.0
    await eventually(lambda: len(kept.keys) == 1, 60.0, "a round")
    assert kept.keys != [key]
    await life.stop()
    await life.wait()
    await node.close()
    await asyncio.to_thread(identities.close)


def test_a_session_is_kept_alive_only_while_something_is_done_in_it(omero: RunningServer) -> None:
    kept = Kept()
    identities, key = Identities(address_of(omero), keeper=kept), session_of(omero, "ada")
    identities.logged_in(ADA, key)
    identities.read(ADA, who)
    assert kept.keys == [key]
    identities.rest(ADA)
    assert kept.keys == []
    identities.read(ADA, who)
    assert kept.keys == [key]
    identities.rest(ADA)
    identities.logged_in(ADA, key)
    identities.read(ADA, who)
    assert kept.keys == [key]
    identities.close()
    assert kept.keys == []
