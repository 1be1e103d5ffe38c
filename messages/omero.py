"""The conversations about people's sessions at OMERO: handed in by people, lent to the mesh's own processes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..transport.messages import Event, Request, Role


class SessionOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a session of a person: as good as the password, so it is shown by nothing and kept by nobody."""

    uuid: str

    def __repr__(self) -> str:
        return "SessionOpened()"


class OpenSession(Request[SessionOpened], frozen=True, kw_only=True, tag="omero.open_session"):
    """Ask for a session of a person that is alive, to read in that person's name.

    No key of the fronts may ask, and a process of the mesh only while it has work of that person's.
    """

    requester: str


class PersonLoggedIn(Event, frozen=True, kw_only=True, tag="omero.logged_in"):
    """A person has handed in a session: what waited for that goes on."""

    always_taken: ClassVar[bool] = True

    user: str


class SessionHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Whose session the mesh acts in from now on, and where."""

    user: str
    server: str


class HandInSession(Request[SessionHeld], frozen=True, kw_only=True, tag="omero.hand_in"):
    """Let the mesh act in a session of the asker's, or of ``user``'s, for an agent or administrator.

    ``session`` is its key, all that it takes to be its user: it is shown by nothing, and never written down.
    """

    audience: ClassVar[Role | None] = "user"

    session: str
    user: str = ""

    def __repr__(self) -> str:
        return f"HandInSession(user={self.user!r})"


class TakeBackSession(Request[bool], frozen=True, kw_only=True, tag="omero.take_back"):
    """Let the mesh act in the asker's own session no longer, or in ``user``'s; whether it had one."""

    audience: ClassVar[Role | None] = "user"

    user: str = ""
