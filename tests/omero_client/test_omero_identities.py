"""In a person's name at a real server: their own session, a minted one when they are away, never anybody else's."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omero_lab import address_of, login

from hcs_mesh.plates.omero.address import Person, SessionKey
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroOtherUser, OmeroSecretUnusable, OmeroUnreachable
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.minter import Minter, minter_secret
from hcs_mesh.plates.omero.whose_session import REFUSED_FOR_S, AwaitLogin
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")

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

    def keep(self, key: SessionKey) -> None:
        self.keys.append(key)

    def leave(self, key: SessionKey) -> None:
        self.keys.remove(key)


def session_of(server: RunningServer, user: str) -> SessionKey:
    """The key of a session of the user's own, as a program of theirs would hand it in."""
    connection = Connection(address_of(server), login(user))
    connection.close()
    return connection.key


def who(connection: Connection) -> tuple[str, str]:
    context = connection.event_context()
    return str(context.userName), str(context.sessionUuid)


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


def test_a_minted_session_is_left_for_the_persons_own_at_the_next_login(omero: RunningServer, minter: Minter) -> None:
    identities = Identities(address_of(omero), minter=minter)
    identities.read(ADA, who)
    key = session_of(omero, "ada")
    identities.logged_in(ADA, key)
    assert identities.read(ADA, who) == ("ada", key.uuid.reveal())
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


def test_a_server_that_is_away_is_no_refusal(own_omero: RunningServer, tmp_path: Path) -> None:
    minter = Minter(address_of(own_omero), "minter", secret_file(tmp_path, "pw-minter"))
    identities = Identities(address_of(own_omero), minter=minter)
    own_omero.kill()
    with pytest.raises(OmeroUnreachable):
        identities.read(ADA, who)
    own_omero.start()
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
