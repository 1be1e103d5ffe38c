"""ISession: looking at sessions, ending them, and minting one for somebody else."""

from __future__ import annotations

from typing import Any

import omero
import omero.api

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.graph import Row
from omero_server.refusals import BadUse, Denied
from omero_server.sessions import Session
from omero_server.wire import Loaded, Wire

CLOSED = -2
"""What closeSession answers for a session that was ended for good."""


class SessionService(Servant):
    """What of ISession clients need to live in sessions."""

    interface = omero.api.ISession
    proxy = omero.api.ISessionPrx

    def getSession(self, call: Call, uuid: str) -> Any:
        return self._told(call, self._mine(call, uuid))

    def getReferenceCount(self, call: Call, uuid: str) -> int:
        return self._mine(call, uuid).n_references

    def closeSession(self, call: Call, sent: Any) -> int:
        self.server.sessions.end(self._mine(call, sent._uuid.val))
        return CLOSED

    def createUserSession(self, call: Call, live_ms: int, idle_ms: int, group: str | None) -> Any:
        """Another session of the caller's own."""
        return self._made(call, call.session.user, group, live_ms, idle_ms, sudoer=call.session.sudoer)

    def createSessionWithTimeouts(self, call: Call, principal: Any, live_ms: int, idle_ms: int) -> Any:
        """A session of the principal's, for an administrator who may sudo."""
        if not call.caller.may("Sudo"):
            raise Denied(f"User {call.session.user['omeName']} has no Sudo privilege")
        user = self.graph.one("Experimenter", omeName=principal.name)
        if user is None:
            raise BadUse(f"No such experimenter: {principal.name}")
        return self._made(call, user, principal.group, live_ms, idle_ms, sudoer=call.session.user)

    def createSessionWithTimeout(self, call: Call, principal: Any, live_ms: int) -> Any:
        idle_ms = int(self.server.sessions.idle_s * 1000)
        return self.createSessionWithTimeouts(call, principal, live_ms, idle_ms)

    def getMyOpenSessions(self, call: Call) -> list[Any]:
        return [self._told(call, one) for one in self.server.sessions.of(call.session.user)]

    def getMyOpenAgentSessions(self, call: Call, agent: str) -> list[Any]:
        mine = self.server.sessions.of(call.session.user)
        return [self._told(call, one) for one in mine if one.row["userAgent"] == agent]

    def getInputs(self, call: Call, uuid: str) -> dict[str, Any]:
        self._mine(call, uuid)
        return {}

    def getInput(self, call: Call, uuid: str, name: str) -> None:
        self._mine(call, uuid)

    def _mine(self, call: Call, uuid: str) -> Session:
        session = self.server.sessions.look(uuid)
        # Whoever knows the uuid is let in by the router; here only whose session it is.
        if session.user is not call.session.user and not call.caller.may("ReadSession"):
            raise Denied(f"The session is not one of {call.session.user['omeName']}'s")
        return session

    def _made(self, call: Call, user: Row, group: str | None, live_ms: int, idle_ms: int, *, sudoer: Row | None) -> Any:
        people = self.server.people
        in_group = people.group_named(group) if group else people.default_group(user)
        held = people.caller(user, None)
        if in_group.id not in held.member_of and not held.is_admin:
            raise Denied(f"User {user['omeName']} is not a member of group {in_group['name']}")
        session = self.server.sessions.open(
            user, in_group, idle_s=idle_ms / 1000, lifetime_s=live_ms / 1000, sudoer=sudoer
        )
        session.is_closed_with_last = False
        return self._told(call, session)

    def _told(self, call: Call, session: Session) -> Any:
        rows = [session.row, session.user, *([session.sudoer] if session.sudoer else [])]
        told = Wire(call, Loaded({self.graph.key(row) for row in rows})).root(session.row)
        details = told._details
        details._owner = told._owner
        details._group = omero.model.ExperimenterGroupI(session.group.id, False)
        return told
