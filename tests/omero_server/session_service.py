"""ISession: looking at sessions, ending them, and minting one for somebody else."""

from __future__ import annotations

from typing import Any

import omero
import omero.api

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.graph import Row
from omero_server.refusals import BadUse, Denied
from omero_server.sessions import NoSession, Session
from omero_server.wire import Loaded, Wire

CLOSED, NOT_THERE = -2, -1
"""What closeSession answers for a session that nobody is in any more, and for one that is none."""


class SessionService(Servant):
    """What of ISession clients need to live in sessions."""

    interface = omero.api.ISession
    proxy = omero.api.ISessionPrx

    def getSession(self, call: Call, uuid: str) -> Any:
        """Whoever knows the uuid may look: it is as good as a password."""
        return self._told(call, self.server.sessions.look(uuid))

    def getReferenceCount(self, call: Call, uuid: str) -> int:
        return self.server.sessions.look(uuid).n_references

    def closeSession(self, call: Call, sent: Any) -> int:
        """How many others are still in it."""
        try:
            session = self.server.sessions.look(sent._uuid.val)
        except NoSession:
            return NOT_THERE
        n_left = self.server.sessions.leave(session)
        return n_left if n_left > 0 else CLOSED

    def createUserSession(self, call: Call, live_ms: int, idle_ms: int, group: str | None) -> Any:
        """Another session of the caller's own."""
        idle_s, lifetime_s = self.server.sessions.most(idle_ms / 1000, live_ms / 1000)
        in_group = self._group(call.session.user, group)
        return self._made(call, call.session.user, in_group, lifetime_s, idle_s, call.session.sudoer)

    def createSessionWithTimeouts(self, call: Call, principal: Any, live_ms: int, idle_ms: int) -> Any:
        """A session of the principal's, for an administrator who may sudo, or for who leads the group."""
        user = self.graph.one("Experimenter", omeName=principal.name)
        if user is None:
            raise BadUse(f"No such experimenter: {principal.name}")
        group = self._group(user, principal.group)
        if not call.caller.may("Sudo") and group.id not in call.caller.leader_of:
            raise Denied(f"Group sudo is not permitted for group {group['name']} (gid={group.id})")
        sudoer = call.session.sudoer or call.session.user
        return self._made(call, user, group, live_ms / 1000, idle_ms / 1000, sudoer)

    def createSessionWithTimeout(self, call: Call, principal: Any, live_ms: int) -> Any:
        return self.createSessionWithTimeouts(call, principal, live_ms, 0)

    def getMyOpenSessions(self, call: Call) -> list[Any]:
        return [self._told(call, one) for one in self.server.sessions.of(call.session.user)]

    def getMyOpenAgentSessions(self, call: Call, agent: str) -> list[Any]:
        mine = self.server.sessions.of(call.session.user)
        return [self._told(call, one) for one in mine if one.row["userAgent"] == agent]

    def getInputs(self, call: Call, uuid: str) -> dict[str, Any]:
        self.server.sessions.look(uuid)
        return {}

    def getInput(self, call: Call, uuid: str, name: str) -> None:
        self.server.sessions.look(uuid)

    def _group(self, user: Row, name: str | None) -> Row:
        people = self.server.people
        group = people.group_named(name) if name else people.default_group(user)
        held = people.caller(user, None)
        if group.id not in held.member_of and not held.is_admin:
            raise Denied(f"User {user['omeName']} is not a member of group {group['name']}")
        return group

    def _made(self, call: Call, user: Row, group: Row, lifetime_s: float, idle_s: float, sudoer: Row | None) -> Any:
        session = self.server.sessions.open(user, group, idle_s=idle_s, lifetime_s=lifetime_s, sudoer=sudoer)
        return self._told(call, session)

    def _told(self, call: Call, session: Session) -> Any:
        rows = [session.row, session.user, *([session.sudoer] if session.sudoer else [])]
        told = Wire(call, Loaded({self.graph.key(row) for row in rows})).root(session.row)
        details = told._details
        details._owner = told._owner
        details._group = omero.model.ExperimenterGroupI(session.group.id, False)
        return told
