"""IAdmin: who one is, who else there is, and who belongs where."""

from __future__ import annotations

from typing import Any

import omero.api
import omero.model
import omero.sys
from omero.rtypes import rlong, rstring

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.graph import Row
from omero_server.permissions import GUEST, GUEST_GROUP, PRIVATE, ROOT, SYSTEM_GROUP, USER_GROUP
from omero_server.refusals import BadUse
from omero_server.wire import Loaded, Wire


class Admin(Servant):
    """What of IAdmin the gateway and the command line ask."""

    interface = omero.api.IAdmin
    proxy = omero.api.IAdminPrx

    def getEventContext(self, call: Call) -> Any:
        return event_context(call)

    def getSecurityRoles(self, call: Call) -> Any:
        return omero.sys.Roles(
            ROOT, "root", SYSTEM_GROUP, "system", USER_GROUP, "user", GUEST, "guest", GUEST_GROUP, "guest"
        )

    def canUpdate(self, call: Call, sent: Any) -> bool:
        row = call.find(self.graph.schema.of(sent.ice_id()).name, sent._id.val)
        return row is not None and call.rights(row).edit

    def getExperimenter(self, call: Call, id: int) -> Any:
        return self._people(call, [self._user(id)])[0]

    def lookupExperimenter(self, call: Call, name: str) -> Any:
        user = self.graph.one("Experimenter", omeName=name)
        if user is None:
            raise BadUse(f"No such experimenter: {name}")
        return self._people(call, [user])[0]

    def lookupExperimenters(self, call: Call) -> list[Any]:
        return self._people(call, list(self.graph.all("Experimenter")))

    def containedExperimenters(self, call: Call, group: int) -> list[Any]:
        return self._people(call, [one["child"] for one in self._members(self._group(group))])

    def getGroup(self, call: Call, id: int) -> Any:
        return self._groups(call, [self._group(id)])[0]

    def lookupGroup(self, call: Call, name: str) -> Any:
        group = self.graph.one("ExperimenterGroup", name=name)
        if group is None:
            raise BadUse(f"No such group: {name}")
        return self._groups(call, [group])[0]

    def lookupGroups(self, call: Call) -> list[Any]:
        return self._groups(call, list(self.graph.all("ExperimenterGroup")))

    def containedGroups(self, call: Call, user: int) -> list[Any]:
        return self._groups(call, [one["parent"] for one in self.server.people.memberships(self._user(user))])

    def getDefaultGroup(self, call: Call, user: int) -> Any:
        return Wire(call).root(self.server.people.default_group(self._user(user)))

    def getMemberOfGroupIds(self, call: Call, user: Any) -> list[int]:
        return [one["parent"].id for one in self.server.people.memberships(self._user(user._id.val))]

    def getLeaderOfGroupIds(self, call: Call, user: Any) -> list[int]:
        return [one["parent"].id for one in self.server.people.memberships(self._user(user._id.val)) if one["owner"]]

    def getCurrentAdminPrivileges(self, call: Call) -> list[Any]:
        return self._privileges(call, call.user)

    def getAdminPrivileges(self, call: Call, user: Any) -> list[Any]:
        return self._privileges(call, self._user(user._id.val))

    def _privileges(self, call: Call, user: Row) -> list[Any]:
        held = self.server.people.caller(user, None)
        names = sorted(held.privileges) if held.is_admin else []
        return Wire(call).roots([self.server.enumeration("AdminPrivilege", name) for name in names])

    def _user(self, id: int) -> Row:
        user = self.graph.find("Experimenter", id)
        if user is None:
            raise BadUse(f"No such experimenter: {id}")
        return user

    def _group(self, id: int) -> Row:
        group = self.graph.find("ExperimenterGroup", id)
        if group is None:
            raise BadUse(f"No such group: {id}")
        return group

    def _members(self, group: Row) -> list[Row]:
        return self.graph.collection(group, "groupExperimenterMap")

    def _people(self, call: Call, users: list[Row]) -> list[Any]:
        loaded = Loaded()
        for user in users:
            self._load(loaded, user, self.server.people.memberships(user), "parent")
        return Wire(call, loaded).roots(users)

    def _groups(self, call: Call, groups: list[Row]) -> list[Any]:
        loaded = Loaded()
        for group in groups:
            self._load(loaded, group, self._members(group), "child")
        return Wire(call, loaded).roots(groups)

    def _load(self, loaded: Loaded, root: Row, memberships: list[Row], end: str) -> None:
        loaded.collections.add((self.graph.key(root), "groupExperimenterMap"))
        for one in memberships:
            loaded.rows |= {self.graph.key(one), self.graph.key(one[end])}


def event_context(call: Call) -> Any:
    """Who calls, in what group, and what that lets through."""
    session, caller = call.session, call.caller
    group = call.group or session.group
    sudoer = session.sudoer
    return omero.sys.EventContext(
        shareId=-1,
        sessionId=session.row.id,
        sessionUuid=session.uuid,
        userId=session.user.id,
        userName=session.user["omeName"],
        sudoerId=None if sudoer is None else rlong(sudoer.id),
        sudoerName=None if sudoer is None else rstring(sudoer["omeName"]),
        groupId=group.id,
        groupName=group["name"],
        isAdmin=caller.is_admin,
        adminPrivileges=sorted(caller.privileges) if caller.is_admin else [],
        eventId=-1,
        eventType="User",
        memberOfGroups=sorted(caller.member_of),
        leaderOfGroups=sorted(caller.leader_of),
        groupPermissions=omero.model.PermissionsI(group.permissions or PRIVATE),
    )
