"""The users and groups: those that a server always has, and those that setup.json names."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from omero_server.graph import Graph, Row
from omero_server.permissions import (
    GUEST,
    GUEST_GROUP,
    PRIVATE,
    PRIVILEGES,
    READ_ONLY,
    ROOT,
    SYSTEM_GROUP,
    USER_GROUP,
    Caller,
    is_permissions,
)

DEFAULT_SETUP = {
    "groups": [{"name": "lab", "permissions": PRIVATE}],
    "users": [{"name": "user", "password": "pw", "groups": ["lab"]}],
}
KNOWN_SETTINGS = frozenset({
    "root_password", "session_timeout_s", "session_lifetime_s", "max_session_timeout_s", "managed_template", "groups",
    "users", "config", "lists_imports", "has_tables", "bioformats_jar", "message_kb",
})  # fmt: skip
SYSTEM_GROUPS = ((SYSTEM_GROUP, "system", PRIVATE), (USER_GROUP, "user", READ_ONLY), (GUEST_GROUP, "guest", PRIVATE))


class BadSetup(ValueError):
    """setup.json says something that nobody can obey."""


def read_setup(folder: Path) -> dict[str, Any]:
    """What setup.json says, or the default where there is none.

    Raises:
        BadSetup: it has a key that means nothing.
    """
    path = folder / "setup.json"
    setup: dict[str, Any] = json.loads(path.read_text()) if path.exists() else DEFAULT_SETUP
    if unknown := set(setup) - KNOWN_SETTINGS:
        raise BadSetup(f"setup.json: unknown {', '.join(sorted(unknown))}")
    return setup


class People:
    """Who there is, who belongs where, and with what password."""

    def __init__(self, graph: Graph, setup: dict[str, Any]) -> None:
        self._graph = graph
        self._passwords: dict[int, bytes] = {}
        self._privileges: dict[int, frozenset[str]] = {}
        with graph.changing():
            self._always(setup.get("root_password", "omero"))
            for group in setup.get("groups", []):
                self._group(**group)
            for user in setup.get("users", []):
                self._user(**user)

    def log_in(self, name: str, password: str) -> Row | None:
        """The user, if that is the password."""
        user = self._graph.one("Experimenter", omeName=name)
        if user is None or user.id not in self._passwords:
            return None
        if user.id == GUEST:  # anybody is a guest
            return user
        return user if hmac.compare_digest(self._passwords[user.id], _hashed(password)) else None

    def set_password(self, user: Row, password: str) -> None:
        self._passwords[user.id] = _hashed(password)

    def user(self, id: int) -> Row:
        return self._graph.get("Experimenter", id)

    def group(self, id: int) -> Row:
        return self._graph.get("ExperimenterGroup", id)

    def group_named(self, name: str) -> Row:
        """The group of that name, or of that id written out.

        Raises:
            LookupError: there is none.
        """
        group = self._graph.one("ExperimenterGroup", name=name)
        if group is None:
            raise LookupError(f"no group {name!r}")
        return group

    def memberships(self, user: Row) -> list[Row]:
        """Where the user belongs; the first is the default group."""
        return self._graph.collection(user, "groupExperimenterMap")

    def default_group(self, user: Row) -> Row:
        """The group in which the user works unless told otherwise."""
        groups: list[Row] = [one["parent"] for one in self.memberships(user)]
        return next((group for group in groups if group.id != USER_GROUP), groups[0])

    def caller(self, user: Row, group: int | None) -> Caller:
        """The user as the rules of permission see it."""
        memberships = self.memberships(user)
        return Caller(
            user=user.id,
            group=group,
            member_of=frozenset(one["parent"].id for one in memberships),
            leader_of=frozenset(one["parent"].id for one in memberships if one["owner"]),
            privileges=self._privileges.get(user.id, frozenset()),
        )

    def set_permissions(self, group: str, permissions: str) -> None:
        """Have the members of a group see each other as these permissions say.

        Raises:
            BadSetup: there are no such permissions.
            LookupError: no such group.
        """
        if not is_permissions(permissions):
            raise BadSetup(f"no group can have the permissions {permissions!r}")
        with self._graph.changing():
            self._graph.describe(self.group_named(group), permissions=permissions)

    def _always(self, root_password: str) -> None:
        for id, name, permissions in SYSTEM_GROUPS:
            if self._graph.find("ExperimenterGroup", id) is None:
                group = self._graph.add("ExperimenterGroup", id=id, name=name, ldap=False)
                self._graph.describe(group, permissions=permissions)
        for id, name in ((ROOT, "root"), (GUEST, "guest")):
            if self._graph.find("Experimenter", id) is None:
                self._graph.add("Experimenter", id=id, omeName=name, firstName=name, lastName=name, ldap=False)
        self._belong(self.user(ROOT), ["system", "user"], leads=[])
        self._belong(self.user(GUEST), ["guest"], leads=[])
        self.set_password(self.user(ROOT), root_password)
        self.set_password(self.user(GUEST), "guest")
        self._privileges[ROOT] = PRIVILEGES

    def _group(self, name: str, permissions: str = PRIVATE, description: str | None = None) -> None:
        if self._graph.one("ExperimenterGroup", name=name) is None:
            self._graph.add("ExperimenterGroup", name=name, ldap=False, description=description)
        self.set_permissions(name, permissions)

    def _user(
        self,
        name: str,
        password: str,
        groups: list[str],
        leads: list[str] | None = None,
        privileges: list[str] | None = None,
        first_name: str = "",
        last_name: str = "",
        email: str | None = None,
    ) -> None:
        if unknown := set(privileges or ()) - PRIVILEGES:
            raise BadSetup(f"no privilege {', '.join(sorted(unknown))}")
        user = self._graph.one("Experimenter", omeName=name) or self._graph.add("Experimenter", omeName=name)
        named = {"firstName": first_name or name, "lastName": last_name or name, "email": email, "ldap": False}
        for field, value in named.items():
            self._graph.put(user, field, value)
        self._belong(user, [*groups, "user"], leads or [])
        self.set_password(user, password)
        if "system" in groups:
            self._privileges[user.id] = PRIVILEGES if privileges is None else frozenset(privileges)

    def _belong(self, user: Row, groups: list[str], leads: list[str]) -> None:
        held = {one["parent"].id: one for one in self.memberships(user)}
        wanted = [self.group_named(name) for name in dict.fromkeys(groups)]
        for id, one in held.items():
            if id not in {group.id for group in wanted}:
                self._graph.remove(one)
        for position, group in enumerate(wanted):
            one = held.get(group.id) or self._graph.add("GroupExperimenterMap", parent=group, child=user)
            self._graph.put(one, "owner", group["name"] in leads)
            self._graph.describe(one, position=position)


def _hashed(password: str) -> bytes:
    return hashlib.sha256(password.encode()).digest()
