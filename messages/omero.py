"""The conversation about people's sessions at OMERO, between the mesh's own processes alone."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..transport.messages import Event, Request


class SessionOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a session of a person: as good as the password, so it is shown by nothing and kept by nobody."""

    uuid: str

    def __repr__(self) -> str:
        return "SessionOpened()"


class OpenSession(Request[SessionOpened], frozen=True, kw_only=True, tag="omero.open_session"):
    """Ask for a session of a person that is alive, to read in that person's name; no key of the fronts may ask."""

    requester: str


class PersonLoggedIn(Event, frozen=True, kw_only=True, tag="omero.logged_in"):
    """A person has handed in a session: what waited for that goes on."""

    always_taken: ClassVar[bool] = True

    user: str
