"""One call: who makes it, about which group, and what that lets through."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omero_server import permissions
from omero_server.graph import Graph, NoSuchRow, Row
from omero_server.permissions import Caller, Owned, Rights
from omero_server.refusals import Denied
from omero_server.sessions import Session

if TYPE_CHECKING:
    from omero_server.server import Server

ALL_GROUPS = -1


class Call:
    """What a servant is handed beside its arguments."""

    def __init__(self, server: Server, session: Session, current: Any) -> None:
        self.server = server
        self.session = session
        self.current = current
        self._event: Row | None = None

    @property
    def graph(self) -> Graph:
        return self.server.graph

    @functools.cached_property
    def group(self) -> Row | None:
        """The group that the call is about; None for all of the user's.

        Raises:
            Denied: the user does not belong to it.
        """
        said = self.current.ctx.get("omero.group", "")
        if not said:
            return self.session.group
        if int(said) == ALL_GROUPS:
            return None
        group = self.graph.find("ExperimenterGroup", int(said))
        caller = self.server.people.caller(self.session.user, None)
        if group is None or not (caller.is_admin or group.id in caller.member_of):
            raise Denied(f"User {self.session.user.id} is not a member of group {said}")
        return group

    def must_belong(self) -> None:
        """Nothing, if the user belongs to the group that the call is about.

        Raises:
            Denied: it is not one of the user's.
        """
        _ = self.group

    @functools.cached_property
    def caller(self) -> Caller:
        group = self.group
        caller = self.server.people.caller(self.session.user, None if group is None else group.id)
        sudoer = self.session.sudoer
        if sudoer is None:
            return caller
        # Becoming somebody else gives nobody more privileges than before.
        return replace(caller, privileges=caller.privileges & self.server.people.caller(sudoer, None).privileges)

    @functools.cached_property
    def user(self) -> Row:
        """To whom what the call makes belongs.

        Raises:
            Denied: another than the caller was named, by somebody who is no administrator.
        """
        said = self.current.ctx.get("omero.user", "")
        if not said or int(said) in {ALL_GROUPS, self.session.user.id}:
            return self.session.user
        if not self.caller.may("Sudo"):
            raise Denied(f"User {self.session.user.id} may not act as user {said}")
        return self.server.people.user(int(said))

    @property
    def event(self) -> Row:
        """The one event of all that the call writes."""
        if self._event is None:
            self._event = self.graph.add(
                "Event",
                time=self.server.now_ms(),
                experimenter=self.session.user,
                experimenterGroup=self.group or self.session.group,
                type=self.server.enumeration("EventType", "User"),
                session=self.session.row,
            )
        return self._event

    @property
    def writing_group(self) -> Row:
        """The group to which new objects belong.

        Raises:
            Denied: the call is about all groups at once.
        """
        if self.group is None:
            raise Denied("omero.group=-1: new objects need a group of their own")
        return self.group

    def owned(self, row: Row) -> Owned | None:
        """Whose it is, or None for what belongs to the system."""
        if row.group is None or row.owner is None:
            return None
        kind = "Owned"
        if row.of == "OriginalFile":
            kind = "ManagedRepo" if row["repo"] == self.server.uuid else "File"
        return Owned(row.owner.id, row.group.id, row.group.permissions or permissions.PRIVATE, kind)

    def may_read(self, row: Row) -> bool:
        """Whether the object is there for the caller."""
        if row.of in {"Session", "Share"}:  # a uuid is as good as a password
            mine = (self.session.sudoer or self.session.user) is (row["sudoer"] or row["owner"])
            return mine or self.caller.may("ReadSession")
        owned = self.owned(row)
        return owned is None or permissions.may_read(self.caller, owned)

    def rights(self, row: Row) -> Rights:
        """What the caller may do with it."""
        owned = self.owned(row)
        if owned is None:
            return permissions.system_rights(self.caller, row.of)
        return permissions.rights(self.caller, owned)

    def find(self, of: str, id: int) -> Row | None:
        """The object, if it is there for the caller."""
        row = self.graph.find(of, id)
        return row if row is not None and self.may_read(row) else None

    def get(self, of: str, id: int) -> Row:
        """The object.

        Raises:
            NoSuchRow: there is none for this caller.
        """
        row = self.find(of, id)
        if row is None:
            raise NoSuchRow(f"The requested object ({of},{id}) is not available.")
        return row

    def may(self, right: str, row: Row) -> None:
        """Nothing, if the caller may ``edit``, ``delete``, ``annotate``, ``link`` it.

        Raises:
            Denied: not this caller.
        """
        if not getattr(self.rights(row), right):
            raise Denied(f"Cannot {right} {row}: it belongs to {row.owner['omeName'] if row.owner else 'the system'}")

    def make(self, of: str, **values: Any) -> Row:
        """A new object of the caller's; inside a change."""
        row = self.graph.add(of, **values)
        self.own(row)
        return row

    def own(self, row: Row) -> None:
        """Have a new object belong to the caller."""
        if self.graph.schema.of(row.of).is_global:
            return
        event = self.event
        self.graph.describe(row, owner=self.user, group=self.writing_group, created=event, updated=event)
