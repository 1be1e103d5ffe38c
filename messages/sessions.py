"""The conversation about sessions at OMERO: hand one's own in, and take it back."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ..transport.messages import Request, Role


class SessionHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Whose session the mesh acts in from now on, and where."""

    user: str
    server: str


class HandInSession(Request[SessionHeld], frozen=True, kw_only=True, tag="sessions.hand_in"):
    """Let the mesh act in a session of the asker's, or of ``user``'s, for an agent or administrator.

    ``session`` is its key, all that it takes to be its user: it is shown by nothing, and never written down.
    """

    audience: ClassVar[Role | None] = "user"

    session: str
    user: str = ""

    def __repr__(self) -> str:
        return f"HandInSession(user={self.user!r})"


class TakeBackSession(Request[bool], frozen=True, kw_only=True, tag="sessions.take_back"):
    """Let the mesh act in the asker's own session no longer, or in ``user``'s; whether it had one."""

    audience: ClassVar[Role | None] = "user"

    user: str = ""
