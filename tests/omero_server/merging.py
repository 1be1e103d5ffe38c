"""What a client saves, taken into the graph: new rows, changed fields, and nothing that it may not write."""

from __future__ import annotations

from typing import Any

from omero_server import enumerations
from omero_server.call import Call
from omero_server.graph import Row
from omero_server.permissions import GUEST, USER_GROUP, system_rights
from omero_server.refusals import BadData, Denied, MixedGroups, Stale
from omero_server.schema import Field
from omero_server.wire import Loaded, plain

# Not the client's to say.
OWN_FIELDS = frozenset({"version"})


class Merge:
    """One saving: each object that was sent becomes one row, found by its id or made."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._graph = call.graph
        self._schema = call.graph.schema
        self._rows: dict[int, Row] = {}
        self._sent: list[Any] = []
        self.loaded = Loaded()
        """What the client gets back with the object: all that it sent."""

    def all(self, sent: list[Any]) -> list[Row]:
        """The rows of these objects, once everything beneath them is in.

        Raises:
            BadData: a field that must be there is not.
            Denied: the caller may not write one of them.
            NoSuchRow: an id that was sent means nothing.
            Stale: an object has been written since it was read.
        """
        rows = [self.object(one) for one in sent]
        for one in list(self._rows.values()):
            if self._graph.key(one) in self.loaded.rows:
                self._complete(one)
        return rows

    def object(self, sent: Any) -> Row:
        if sent is None:
            raise BadData("null cannot be saved")
        if id(sent) in self._rows:
            return self._rows[id(sent)]
        self._sent.append(sent)  # an id() is of use only while the object lives
        of = self._schema.of(sent.ice_id()).name
        known = None if sent._id is None else self._call.get(of, sent._id.val)
        if known is not None and not sent._loaded:
            self._rows[id(sent)] = known
            return known
        if known is None and not sent._loaded:
            raise BadData(f"{of}: an unloaded object needs an id")
        if known is None and of in enumerations.VALUES and sent._value is not None:
            # As the server does: an enumeration without an id is the one with its value.
            row = self._rows[id(sent)] = self._call.server.enumeration(of, sent._value.val)
            return row
        row = known or self._new(of, sent)
        self._rows[id(sent)] = row
        self.loaded.rows.add(self._graph.key(row))
        self._version(row, sent, is_new=known is None)
        self._fields(row, sent, is_new=known is None)
        self._collections(row, sent)
        return row

    def _new(self, of: str, sent: Any) -> Row:
        if self._schema.of(of).is_global and not system_rights(self._call.caller, of).edit:
            raise Denied(f"{of} is a System-type, and may be created only through privileged APIs.")
        if self._call.user.id == GUEST:
            raise Denied(f"guests make no {of}")
        row = self._graph.add(of)
        self._call.own(row)
        details = sent._details
        if details is not None and details._owner is not None and details._owner._id is not None:
            self._give(row, details._owner._id.val)
        if details is not None and details._externalInfo is not None:
            self._graph.describe(row, external=self.object(details._externalInfo))
        if self._schema.of(of).is_mutable:
            self._graph.put(row, "version", 0)
        return row

    def _give(self, row: Row, owner: int) -> None:
        if owner == self._call.user.id:
            return
        if not self._call.caller.may("WriteOwned"):
            raise Denied(f"User {self._call.user.id} cannot make a {row.of} that belongs to user {owner}")
        self._graph.describe(row, owner=self._call.server.people.user(owner))

    def _version(self, row: Row, sent: Any, *, is_new: bool) -> None:
        version = getattr(sent, "_version", None)
        if not is_new and version is not None and version.val != (row["version"] or 0):
            raise Stale(f"{row} is at version {row['version']}, not {version.val}")

    def _fields(self, row: Row, sent: Any, *, is_new: bool) -> None:
        changed = False
        for name, field in self._schema.fields(row.of).items():
            if field.kind == "collection" or name in OWN_FIELDS:
                continue
            value = self._value(field, getattr(sent, f"_{name}"))
            old = row.values.get(name)
            if value == old or (value == [] and old is None):
                continue
            if not is_new and not changed:
                self._call.may("edit", row)
            if isinstance(value, Row):
                self._may_refer(row, name, value)
            if row.of == "OriginalFile" and name == "repo":
                raise Denied(f"cannot set repo property of {row} via ORM")
            self._graph.put(row, name, value)
            changed = True
        if changed and not is_new:
            if self._schema.of(row.of).is_mutable:
                self._graph.put(row, "version", (row["version"] or 0) + 1)
            self._graph.describe(row, updated=self._call.event)

    def _value(self, field: Field, sent: Any) -> Any:
        if sent is None:
            return None
        if field.kind == "reference":
            return self.object(sent)
        return sent.val if field.kind == "value" else plain(field, sent)

    def _may_refer(self, row: Row, name: str, to: Row) -> None:
        if to.group is None or row.group is None:
            return
        if to.group is not row.group and USER_GROUP not in {to.group.id, row.group.id}:
            raise MixedGroups(f"{row} is in group {row.group['name']}, but its {name} {to} in {to.group['name']}")
        if to.owner is self._call.user:
            return
        annotates = self._schema.is_a(to.of, "Annotation") or (name == "parent" and row.of.endswith("AnnotationLink"))
        # To draw on an image takes no more than to annotate it.
        annotates = annotates or (row.of, to.of) == ("Roi", "Image")
        self._call.may("annotate" if annotates else "link", to)

    def _collections(self, row: Row, sent: Any) -> None:
        for name, field in self._schema.fields(row.of).items():
            if field.kind != "collection" or not getattr(sent, f"_{name}Loaded"):
                continue
            self.loaded.collections.add((self._graph.key(row), name))
            for one in getattr(sent, f"_{name}Seq"):
                if one is None:
                    continue
                element = self.object(one)
                if field.inverse is None:
                    raise BadData(f"{row.of}.{name} cannot be saved from this side")
                if element.values.get(field.inverse) is not row:
                    self._graph.put(element, field.inverse, row)

    def _complete(self, row: Row) -> None:
        for name, field in self._schema.fields(row.of).items():
            if not field.nullable and field.kind in {"value", "reference"} and row.values.get(name) is None:
                raise BadData(f"not-null property references a null or transient value: ome.model.{row.of}.{name}")
