"""Acting at OMERO as one person: in whichever session may be used, or not before the next login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from .address import Person
from .connection import Connection
from .errors import OmeroAwaitsLogin
from .whose_session import AwaitLogin

T = TypeVar("T")


class ActsForPeople(Protocol):
    """Whoever has people's sessions."""

    def read(self, person: Person, work: Callable[[Connection], T]) -> T | AwaitLogin:
        """Do what changes nothing in a person's name."""


def await_login(person: Person, why: AwaitLogin) -> OmeroAwaitsLogin:
    """What is told where nobody may act for a person."""
    return OmeroAwaitsLogin(
        # With what is to be done, since of what waits people are told the reason alone.
        f"nobody may act for {person.user} at OMERO before the next login (hcs-mesh omero login): {why.reason}",
        hint="What waits goes on by itself then. Names at OMERO are those of the mesh's keys: hcs-mesh keys new NAME.",
    )


class InTheNameOf:
    """One person's session, whichever it is at the moment."""

    def __init__(self, person: Person, people: ActsForPeople) -> None:
        """Act as ``person`` where ``people`` has a session for that."""
        self._person = person
        self._people = people

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do what changes nothing.

        Raises:
            OmeroAwaitsLogin: nobody may, before the next login.
            OmeroError: the server refuses or cannot be reached.
        """
        found = self._people.read(self._person, work)
        if isinstance(found, AwaitLogin):
            raise await_login(self._person, found)
        return found
