"""Why nothing can be done at OMERO in somebody's name now: a login is awaited, or there is no way there."""

from __future__ import annotations

from .address import Person
from .connection import Connection
from .errors import OmeroAwaitsLogin, OmeroError
from .identities import Identities
from .whose_session import AwaitLogin

LOG_IN = "It goes on by itself then. Names at OMERO are those of the mesh's keys: hcs-mesh keys new NAME, --key."


def awaits_login(user: str, awaited: AwaitLogin) -> OmeroAwaitsLogin:
    """The error that says so."""
    told = f"nobody may act for {user} at OMERO before the next login (hcs-mesh omero login): {awaited.reason}"
    return OmeroAwaitsLogin(told, hint=LOG_IN)


def why_away(identities: Identities, user: str) -> str:
    """Why nothing can be done in a person's name now; empty where it can, as one call has shown."""
    try:
        found = identities.read(Person(user=user), Connection.event_context)
    except OmeroError as error:
        return str(error)
    return str(awaits_login(user, found)) if isinstance(found, AwaitLogin) else ""
