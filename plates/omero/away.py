"""Why nothing can be done at OMERO in somebody's name now: a login is awaited, or there is no way there."""

from __future__ import annotations

from .address import Person
from .connection import Connection
from .errors import OmeroAwaitsLogin, OmeroError
from .identities import Identities
from .whose_session import AwaitLogin

LOG_IN = "hcs-mesh omero login, by the person who is waited for; it goes on by itself then."


def awaits_login(user: str, awaited: AwaitLogin) -> OmeroAwaitsLogin:
    """The error that says so."""
    return OmeroAwaitsLogin(f"nobody may act for {user or 'nobody'} at OMERO: {awaited.reason}", hint=LOG_IN)


def why_away(identities: Identities, user: str) -> str:
    """Why nothing can be done in a person's name now; empty where it can, as one call has shown."""
    try:
        found = identities.read(Person(user=user), Connection.event_context)
    except OmeroError as error:
        return str(error)
    return str(awaits_login(user, found)) if isinstance(found, AwaitLogin) else ""
