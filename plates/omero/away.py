"""Why nothing can be done at OMERO in somebody's name now: a login is awaited, or there is no way there."""

from __future__ import annotations

from .address import Person
from .connection import Connection
from .errors import OmeroError
from .person import ActsForPeople, InTheNameOf


def why_away(people: ActsForPeople, user: str) -> str:
    """The reason; empty where it can be done, as one call has shown."""
    try:
        InTheNameOf(Person(user=user), people).read(Connection.event_context)
    except OmeroError as error:
        return str(error)
    return ""
