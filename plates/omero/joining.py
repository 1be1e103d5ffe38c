"""Connections in a session that is there already, once the server has said whose it is."""

from __future__ import annotations

from collections.abc import Callable

from .address import Credential, OmeroAddress, Person, SessionKey
from .connection import Connection, close_quietly
from .errors import OmeroOtherUser

OpenConnection = Callable[[OmeroAddress, Credential], Connection]


def connected_as(
    person: Person, address: OmeroAddress, key: SessionKey, open_connection: OpenConnection = Connection
) -> Connection:
    """A connection in a session, once the server has said that it is this person's.

    Raises:
        OmeroOtherUser: it is another's.
        OmeroError: the session is over, or the server cannot be reached.
    """
    connection = open_connection(address, key)
    try:
        user = str(connection.event_context().userName)
        if user != person.user:
            raise OmeroOtherUser(
                f"The session that was handed in for {person.user} at OMERO {address} is another person's.",
                hint="Log in under your own name.",
            )
    except BaseException:
        close_quietly(connection)
        raise
    return connection
