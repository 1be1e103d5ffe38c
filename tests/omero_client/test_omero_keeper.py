"""Sessions are kept alive by a process of its own, which shows their keys to nobody."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omero_lab import SETUP, address_of, login
from waiting import eventually

from hcs_mesh.plates.omero.address import Person, SessionKey
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.minter import Minter
from hcs_mesh.plates.omero.session_keeper import SessionKeeper
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

# What a server takes for idle is kept alive many times in between, on a loaded machine too.
IDLE_S = 6.0
EVERY_S = 0.25


@pytest.fixture
def hasty_omero(tmp_path: Path) -> Iterator[RunningServer]:
    """A server that ends a session as soon as it was idle for ``IDLE_S``."""
    with running_server(tmp_path / "omero", setup={**SETUP, "session_timeout_s": IDLE_S}) as server:
        yield server


def session_of(server: RunningServer, user: str) -> SessionKey:
    connection = Connection(address_of(server), login(user))
    connection.close()
    return connection.key


def until(condition: Callable[[], object], what: str) -> None:
    asyncio.run(eventually(condition, 50, what))


def living(server: RunningServer) -> set[str]:
    return {one["uuid"] for one in server.control.tell("sessions")["sessions"]}


def test_a_session_outlives_its_idle_time_only_while_it_is_kept(hasty_omero: RunningServer) -> None:
    ended: list[SessionKey] = []
    keeper = SessionKeeper(address_of(hasty_omero), every_s=EVERY_S, on_ended=ended.append)
    before = session_of(hasty_omero, "ada")
    keeper.keep(before)
    try:
        # Until a new keeper has loaded what it needs, longer may go by than a session may be idle.
        until(lambda: ended or keeper.n_kept == 1, "that the keeper is at work")
        keeper.leave(before)
        kept, left = session_of(hasty_omero, "ada"), session_of(hasty_omero, "grace")
        keeper.keep(kept)
        gone = left.uuid.reveal()
        until(lambda: gone not in living(hasty_omero), "that an idle session ends")
        assert kept.uuid.reveal() in living(hasty_omero)
        assert keeper.n_kept == 1
        keeper.leave(kept)
        gone = kept.uuid.reveal()
        until(lambda: gone not in living(hasty_omero), "that a session left ends")
    finally:
        keeper.close()


def test_the_keeper_is_started_again_when_it_dies_with_all_there_is_to_keep(omero: RunningServer) -> None:
    keeper = SessionKeeper(address_of(omero), every_s=EVERY_S)
    keeper.keep(session_of(omero, "ada"))
    keeper.keep(session_of(omero, "grace"))
    try:
        until(lambda: keeper.n_kept == 2, "that both are kept")
        first = keeper.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: keeper.pid != first and keeper.n_kept == 2, "that both are kept again")
    finally:
        keeper.close()


def test_a_session_that_is_over_is_told_and_no_longer_kept(omero: RunningServer) -> None:
    ended: list[SessionKey] = []
    key, other = session_of(omero, "ada"), session_of(omero, "grace")
    keeper = SessionKeeper(address_of(omero), every_s=EVERY_S, on_ended=ended.append)
    keeper.keep(key)
    keeper.keep(other)
    try:
        until(lambda: keeper.n_kept == 2, "that both are kept")
        omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
        until(lambda: ended == [key], "that the end is told")
        assert keeper.n_kept == 1
    finally:
        keeper.close()


def test_a_round_that_is_cut_on_the_way_ends_no_session(omero: RunningServer) -> None:
    ended: list[SessionKey] = []
    keeper = SessionKeeper(address_of(omero), every_s=EVERY_S, on_ended=ended.append)
    # What a router says to a client that came by another connection than before.
    omero.control.tell("fail", operation="ServiceFactory.keepAlive", times=1, **{"with": "ObjectNotExist"})
    keeper.keep(session_of(omero, "ada"))
    try:
        until(lambda: keeper.n_kept == 1, "that it is kept all the same")
        assert ended == []
    finally:
        keeper.close()


def test_a_server_that_does_not_answer_for_a_while_ends_nothing(omero: RunningServer) -> None:
    ended: list[SessionKey] = []
    keeper = SessionKeeper(address_of(omero, call_s=0.5), every_s=EVERY_S, on_ended=ended.append)
    keeper.keep(session_of(omero, "ada"))
    try:
        until(lambda: keeper.n_kept == 1, "that it is kept")
        omero.control.tell("hold", operation="ServiceFactory.keepAlive")
        until(lambda: sum(omero.control.tell("held")["held"].values()) > 1, "that two rounds in a row wait")
        omero.control.tell("release", operation="ServiceFactory.keepAlive")
        omero.control.tell("forget_counts")
        until(lambda: omero.control.counts().get("ServiceFactory.keepAlive", 0) > 1, "that it is kept again")
        assert ended == []
        assert keeper.n_kept == 1
    finally:
        keeper.close()


def test_no_list_of_processes_shows_a_key(omero: RunningServer) -> None:
    key = session_of(omero, "ada")
    keeper = SessionKeeper(address_of(omero), every_s=EVERY_S)
    keeper.keep(key)
    try:
        until(lambda: keeper.n_kept == 1, "that it is kept")
        for what in ("cmdline", "environ"):
            assert key.uuid.reveal().encode() not in Path(f"/proc/{keeper.pid}/{what}").read_bytes()
    finally:
        keeper.close()


def test_the_keeper_ends_when_its_parent_does(omero: RunningServer) -> None:
    keeper = SessionKeeper(address_of(omero), every_s=EVERY_S)
    keeper.keep(session_of(omero, "ada"))
    until(lambda: keeper.n_kept == 1, "that it is kept")
    pid = keeper.pid
    keeper.close()
    assert not Path(f"/proc/{pid}").exists()


def test_the_next_session_is_chosen_as_soon_as_the_keeper_finds_one_to_be_over(
    omero: RunningServer, tmp_path: Path
) -> None:
    secret = tmp_path / "minter-secret"
    secret.touch(mode=0o600)
    secret.write_text("pw-minter")
    address, ada = address_of(omero), Person(user="ada", group="lab")

    def ended(key: SessionKey) -> None:
        identities.key_ended(key)

    keeper = SessionKeeper(address, every_s=EVERY_S, on_ended=ended)
    identities = Identities(address, minter=Minter(address, "minter", secret), keeper=keeper)
    key = session_of(omero, "ada")
    try:
        identities.logged_in(ada, key)
        until(lambda: keeper.n_kept == 1, "that the person's own is kept")
        own = identities.pool(ada)
        omero.control.tell("expire", session=key.uuid.reveal(), user=None, reaped=True)
        until(lambda: keeper.n_kept == 0, "that its end is found")
        assert identities.pool(ada) is not own
        until(lambda: keeper.n_kept == 1, "that the minted one is kept")
    finally:
        keeper.close()
        identities.close()
