"""Logging in, joining, expiring: what every client of an OMERO server begins with."""

import socket
import ssl
from collections.abc import Callable

import Glacier2
import Ice
import omero
import pytest
from omero.gateway import BlitzGateway
from omero_people import Login, login_of, principal

from omero_server.running import RunningServer


def test_a_user_who_logs_in_by_password_is_told_who_and_in_what_group(login: Login, connection: BlitzGateway) -> None:
    context = connection.getEventContext()
    assert context.userName == login.user
    assert context.groupId in context.memberOfGroups
    assert context.sessionUuid == connection.getSession().getUuid().val
    assert connection.getUser().getName() == login.user


def test_a_wrong_password_is_denied(login: Login) -> None:
    client = login.client()
    with pytest.raises(Glacier2.PermissionDeniedException):
        client.createSession(login.user, "not this one")


def test_a_session_is_joined_by_its_uuid_and_outlives_the_one_that_joined(
    login: Login, connection: BlitzGateway
) -> None:
    uuid = connection.getEventContext().sessionUuid
    second = login.client()
    services = second.joinSession(uuid)
    services.detachOnDestroy()
    assert services.getAdminService().getEventContext().sessionUuid == uuid
    second.closeSession()
    assert connection.keepAlive()


def test_an_unknown_uuid_is_denied(login: Login) -> None:
    client = login.client()
    with pytest.raises(Glacier2.PermissionDeniedException):
        client.joinSession("00000000-0000-0000-0000-000000000000")


def test_the_connection_says_that_it_is_encrypted(connection: BlitzGateway) -> None:
    assert connection.c.sf.ice_getConnection().type() == "ssl"


def test_the_certificate_is_one_that_a_client_can_verify(stand_in: RunningServer) -> None:
    context = ssl.create_default_context(cafile=str(stand_in.certificate))
    with (
        socket.create_connection(("127.0.0.1", stand_in.port), timeout=30) as line,
        context.wrap_socket(line, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() == "TLSv1.2"


def test_a_guest_comes_in_and_belongs_to_the_guests(login: Login) -> None:
    client = login.client()
    services = client.createSession("guest", "guest")
    assert services.getAdminService().getEventContext().userName == "guest"
    client.closeSession()


def test_a_session_that_idled_too_long_is_told_so_before_anybody_cleans_up(
    stand_in: RunningServer, connect: Callable[..., BlitzGateway]
) -> None:
    connection = connect("eve")
    services = connection.c.sf.getQueryService()
    stand_in.control.tell("expire", session=connection.getEventContext().sessionUuid, reaped=False)
    with pytest.raises((omero.SessionTimeoutException, Ice.ObjectNotExistException)):
        services.find("Experimenter", 0)


def test_a_session_that_was_cleaned_up_is_gone_and_cannot_be_joined(
    stand_in: RunningServer, connect: Callable[..., BlitzGateway]
) -> None:
    connection = connect("eve")
    services, uuid = connection.c.sf.getQueryService(), connection.getEventContext().sessionUuid
    assert stand_in.control.tell("expire", session=uuid)["expired"] == 1
    with pytest.raises(Ice.ObjectNotExistException):
        services.find("Experimenter", 0)
    with pytest.raises(Glacier2.PermissionDeniedException):
        login_of(stand_in, "eve").client().joinSession(uuid)


def test_a_call_keeps_a_session_from_idling(stand_in: RunningServer, connect: Callable[..., BlitzGateway]) -> None:
    connection = connect("ben")
    assert connection.keepAlive()
    uuid = connection.getEventContext().sessionUuid
    [told] = [one for one in stand_in.control.tell("sessions")["sessions"] if one["uuid"] == uuid]
    assert told["idle_s"] < 30


def test_a_session_in_which_no_service_is_named_is_kept_alive_and_the_answer_is_no(connection: BlitzGateway) -> None:
    # Asked about no service, a server touches the session, and has no service to say yes of: only an exception tells
    # that a session is over.
    services = connection.c.sf
    assert services.keepAlive(None) is False
    assert services.keepAlive(services.getQueryService()) is True
    assert services.getAdminService().getEventContext().sessionUuid


def test_of_several_services_those_are_told_that_are_no_more_and_of_none_all(connection: BlitzGateway) -> None:
    services = connection.c.sf
    kept, gone = services.getQueryService(), services.createRawFileStore()
    gone.close()
    assert services.keepAllAlive([kept, gone]) == 0b10
    assert services.keepAllAlive([kept, None]) == 0
    assert services.keepAllAlive([]) == -1


def test_a_light_administrator_mints_a_session_for_a_user(stand_in: RunningServer) -> None:
    minter = login_of(stand_in, "minter").client()
    sessions = minter.createSession("minter", "minter's").getSessionService()
    minted = sessions.createSessionWithTimeouts(principal("ada", "readers"), 0, 60_000)
    minter.closeSession()
    user = login_of(stand_in, "ada").client()
    context = user.joinSession(minted.uuid.val).getAdminService().getEventContext()
    assert (context.userName, context.groupName, context.sudoerName.val) == ("ada", "readers", "minter")
    assert not context.isAdmin
    user.closeSession()


def test_nobody_without_the_privilege_mints_sessions(connect: Callable[..., BlitzGateway]) -> None:
    sessions = connect("ben").c.sf.getSessionService()
    with pytest.raises(omero.SecurityViolation, match="sudo is not permitted"):
        sessions.createSessionWithTimeouts(principal("ada", "lab"), 0, 60_000)


def test_a_leader_mints_sessions_in_the_groups_that_are_led_and_in_no_other(
    connect: Callable[..., BlitzGateway],
) -> None:
    sessions = connect("lea").c.sf.getSessionService()
    assert sessions.createSessionWithTimeouts(principal("ada", "lab"), 0, 60_000).owner.omeName.val == "ada"
    with pytest.raises(omero.SecurityViolation, match="sudo is not permitted"):
        sessions.createSessionWithTimeouts(principal("ada", "writers"), 0, 60_000)


def test_becoming_another_administrator_gives_no_more_privileges(stand_in: RunningServer) -> None:
    minter = login_of(stand_in, "minter").client()
    sessions = minter.createSession("minter", "minter's").getSessionService()
    minted = sessions.createSessionWithTimeouts(principal("root", "system"), 0, 60_000)
    root = login_of(stand_in, "minter").client()
    context = root.joinSession(minted.uuid.val).getAdminService().getEventContext()
    assert (context.userName, context.isAdmin, list(context.adminPrivileges)) == ("root", True, ["Sudo"])
    for one in (root, minter):
        one.closeSession()


def test_a_minted_session_is_not_for_a_group_that_the_user_is_not_in(connect: Callable[..., BlitzGateway]) -> None:
    sessions = connect("minter").c.sf.getSessionService()
    with pytest.raises(omero.SecurityViolation, match="not a member"):
        sessions.createSessionWithTimeouts(principal("eve", "lab"), 0, 60_000)


def test_users_get_sessions_of_their_own_that_idle_out_in_the_end(connect: Callable[..., BlitzGateway]) -> None:
    sessions = connect("ben").c.sf.getSessionService()
    assert sessions.createUserSession(0, 10**12, "writers").timeToIdle.val == 10 * 600_000
    with pytest.raises(omero.SecurityViolation, match="Cannot disable timeToIdle"):
        sessions.createUserSession(0, 0, "writers")


def test_a_session_ends_with_its_last_client_unless_that_one_detached(login: Login) -> None:
    first, second = login.client(), login.client()
    uuid = first.createSession(login.user, login.password).ice_getIdentity().name
    second.joinSession(uuid)
    first.closeSession()
    assert second.sf.getSessionService().getReferenceCount(uuid) == 1
    second.closeSession()
    with pytest.raises(Glacier2.PermissionDeniedException):
        login.client().joinSession(uuid)


def test_a_session_moves_to_another_of_the_users_groups_and_to_no_other(connect: Callable[..., BlitzGateway]) -> None:
    connection = connect("ada")
    admin = connection.getAdminService()
    assert connection.setGroupForSession(admin.lookupGroup("writers").id.val)
    assert connection.getEventContext().groupName == "writers"
    assert not connection.setGroupForSession(admin.lookupGroup("elsewhere").id.val)
    connection.SERVICE_OPTS.setOmeroGroup(admin.lookupGroup("elsewhere").id.val)
    with pytest.raises(omero.SecurityViolation):
        connection.getQueryService().find("Project", 1, connection.SERVICE_OPTS)


def test_nobody_reads_anothers_sessions(connect: Callable[..., BlitzGateway]) -> None:
    mine, other = connect("ada"), connect("ben")
    told = [row[0].val for row in mine.getQueryService().projection("select s.uuid from Session s", None)]
    assert other.getEventContext().sessionUuid not in told
    assert mine.getEventContext().sessionUuid in told
