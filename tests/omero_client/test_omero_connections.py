"""Connections to a server in a process of its own: trusted, timed, joined, and opened anew after it was killed."""

import asyncio
import logging
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest
from omero_lab import address_of, login

from hcs_mesh.plates.omero.address import SessionKey
from hcs_mesh.plates.omero.connection import Connection, close_quietly
from hcs_mesh.plates.omero.errors import (
    OmeroLoginRefused,
    OmeroNotAnswering,
    OmeroNotTrusted,
    OmeroOnTheLoop,
    OmeroSessionEnded,
    OmeroUnreachable,
)
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.secret import Secret
from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(180)]


def who(connection: Connection) -> str:
    """Whose session it is: the smallest question."""
    return str(connection.event_context().userName)


def test_a_login_opens_a_session_and_the_key_joins_it(omero: RunningServer) -> None:
    connection = Connection(address_of(omero), login("ada"))
    joined = Connection(address_of(omero), connection.key)
    assert who(joined) == "ada"
    assert joined.key == connection.key
    connection.close()
    assert who(joined) == "ada"
    joined.close()


def test_that_the_last_connection_is_closed_does_not_end_the_session(omero: RunningServer) -> None:
    connection = Connection(address_of(omero), login("ada"))
    connection.close()
    again = Connection(address_of(omero), connection.key)
    again.keep_alive()
    again.end_session()
    with pytest.raises(OmeroSessionEnded):
        Connection(address_of(omero), connection.key)


def test_a_wrong_password_is_refused_and_not_repeated_in_the_message(omero: RunningServer) -> None:
    wrong = msgspec.structs.replace(login("ada"), password=Secret("wrong-but-secret"))
    with pytest.raises(OmeroLoginRefused, match="login of ada") as refused:
        Connection(address_of(omero), wrong)
    assert "wrong-but-secret" not in str(refused.value) + refused.value.hint


def test_a_key_that_nobody_knows_opens_nothing(omero: RunningServer) -> None:
    with pytest.raises(OmeroSessionEnded):
        Connection(address_of(omero), SessionKey(uuid=Secret("7e5f5e29-4a0e-4a2b-9d0f-9f5f7f1f0c11")))


def test_a_certificate_that_nobody_signed_is_not_trusted_unless_that_is_wanted(omero: RunningServer) -> None:
    checked = msgspec.structs.replace(address_of(omero), ca_file="")
    with pytest.raises(OmeroNotTrusted, match="certificate"):
        Connection(checked, login("ada"))
    Connection(msgspec.structs.replace(checked, verify=False), login("ada")).end_session()


def test_a_certificate_of_another_host_is_not_trusted(omero: RunningServer) -> None:
    # Another way to write the same address, which is not in the certificate.
    with pytest.raises(OmeroNotTrusted):
        Connection(msgspec.structs.replace(address_of(omero), host="127.1"), login("ada"))


def test_a_certificate_file_that_is_absent_is_told(omero: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(OmeroNotTrusted, match=r"absent\.crt"):
        Connection(msgspec.structs.replace(address_of(omero), ca_file=str(tmp_path / "absent.crt")), login("ada"))


def test_a_call_that_takes_too_long_is_left_at_its_deadline(omero: RunningServer) -> None:
    connection = Connection(address_of(omero, call_s=5.0), login("ada"))
    omero.control.tell("hold", operation="IAdmin.getEventContext")
    began_s = time.monotonic()
    with pytest.raises(OmeroNotAnswering, match="5 s a call"):
        who(connection)
    assert time.monotonic() - began_s < 45
    omero.control.tell("release", operation="IAdmin.getEventContext")
    assert who(connection) == "ada"
    connection.close()


def test_a_frozen_server_is_left_at_the_deadline_of_a_connection(own_omero: RunningServer) -> None:
    os.kill(own_omero.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        with pytest.raises(OmeroNotAnswering, match="3 s to connect"):
            Connection(address_of(own_omero, connect_s=3.0), login("ada"))
    finally:
        os.kill(own_omero.pid, signal.SIGCONT)
    # Generous towards a loaded machine, and still not the half hour of a connection that nobody watches.
    assert time.monotonic() - began_s < 45


def test_a_connection_to_a_frozen_server_is_closed_at_its_deadlines(own_omero: RunningServer) -> None:
    connection = Connection(address_of(own_omero, connect_s=6.0), login("ada"))
    assert who(connection) == "ada"
    os.kill(own_omero.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        close_quietly(connection)
    finally:
        os.kill(own_omero.pid, signal.SIGCONT)
    # Twice 6 s; Ice's own minute comes with none of them.
    assert time.monotonic() - began_s < 45


def test_a_server_that_is_down_cannot_be_reached(own_omero: RunningServer) -> None:
    own_omero.kill()
    with pytest.raises(OmeroUnreachable, match="refused"):
        Connection(address_of(own_omero), login("ada"))


def test_a_pool_goes_on_after_the_server_was_killed_and_started_again(own_omero: RunningServer) -> None:
    pool = ConnectionPool(lambda: Connection(address_of(own_omero), login("ada")))
    assert pool.read(who) == "ada"
    own_omero.kill()
    with pytest.raises(OmeroUnreachable):
        pool.read(who)
    own_omero.start()
    assert pool.read(who) == "ada"
    pool.close()


def test_a_pool_does_not_notice_that_the_server_was_started_again_between_two_reads(own_omero: RunningServer) -> None:
    pool = ConnectionPool(lambda: Connection(address_of(own_omero), login("ada")))
    pool.read(who)
    own_omero.kill()
    own_omero.start()
    assert pool.read(who) == "ada"
    assert pool.statistics().n_broken == 1
    pool.close()


def test_a_session_that_the_server_has_let_go_of_is_told_as_over(omero: RunningServer) -> None:
    connection = Connection(address_of(omero), login("ada"))
    uuid = connection.key.uuid.reveal()
    omero.control.tell("expire", session=uuid, user=None, reaped=False)
    with pytest.raises(OmeroSessionEnded) as over:
        who(connection)
    assert uuid not in str(over.value)
    omero.control.tell("expire", session=uuid, user=None, reaped=True)
    with pytest.raises(OmeroSessionEnded) as over:
        who(connection)
    assert uuid not in str(over.value)
    connection.close()


def test_a_connection_is_not_opened_on_an_event_loop(omero: RunningServer) -> None:
    async def ask() -> None:
        Connection(address_of(omero), login("ada"))

    with pytest.raises(OmeroOnTheLoop):
        asyncio.run(ask())


def test_logging_stays_as_the_program_set_it_up(omero: RunningServer) -> None:
    root = logging.getLogger()
    kept, root.handlers[:] = list(root.handlers), []
    try:
        Connection(address_of(omero), login("ada")).end_session()
        assert root.handlers == []
    finally:
        root.handlers[:] = kept
