"""Rows as the client gets them: loaded where the query fetched them, bare ids elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import omero
from omero.rtypes import rbool, rdouble, rfloat, rint, rlong, robject, rstring, rtime, wrap

from omero_server.call import Call
from omero_server.graph import Key, Row
from omero_server.permissions import Owned
from omero_server.schema import Field

RTYPES = {
    "RString": rstring, "RInt": rint, "RLong": rlong, "RDouble": rdouble, "RFloat": rfloat, "RBool": rbool,
    "RTime": rtime,
}  # fmt: skip


class UnknownShape(Exception):
    """A field holds what nobody has learnt to carry."""


@dataclass
class Loaded:
    """What of the graph the client gets to see: these objects, and these collections of them."""

    rows: set[Key] = field(default_factory=set)
    collections: set[tuple[Key, str]] = field(default_factory=set)


class Wire:
    """Turns rows into the model objects of omero-py, each row into one object."""

    def __init__(self, call: Call, loaded: Loaded | None = None) -> None:
        self._call = call
        self._graph = call.graph
        self._loaded = loaded or Loaded()
        self._done: dict[Key, Any] = {}
        self._permissions: dict[Owned | str, Any] = {}

    def roots(self, rows: list[Row]) -> list[Any]:
        """These objects, loaded, and with them what ``loaded`` names."""
        self._loaded.rows.update(self._graph.key(row) for row in rows)
        return [self.object(row) for row in rows]

    def root(self, row: Row | None) -> Any:
        """The object, loaded; None for None."""
        return None if row is None else self.roots([row])[0]

    def object(self, row: Row) -> Any:
        """The object, loaded only if the query fetched it."""
        key = self._graph.key(row)
        if key in self._done:
            return self._done[key]
        kind = getattr(omero.model, f"{row.of}I")
        if key not in self._loaded.rows:
            bare = self._done[key] = kind(rlong(row.id), False)
            return bare
        made = self._done[key] = kind()
        made._id = rlong(row.id)
        for name, said in self._graph.schema.fields(row.of).items():
            self._fill(made, row, key, name, said)
        self._describe(made, row)
        return made

    def _fill(self, made: Any, row: Row, key: Key, name: str, field: Field) -> None:
        if field.kind == "collection":
            is_loaded = (key, name) in self._loaded.collections
            elements = self._graph.collection(row, name) if is_loaded else []
            setattr(made, f"_{name}Seq", [self.object(one) for one in elements if self._call.may_read(one)])
            setattr(made, f"_{name}Loaded", is_loaded)
            return
        value = row.values.get(name)
        if value is None:
            setattr(made, f"_{name}", [] if field.type in {"NamedValueList", "StringArray"} else None)
        elif field.kind == "value":
            setattr(made, f"_{name}", RTYPES[field.type](value))
        elif field.kind == "reference":
            setattr(made, f"_{name}", self.object(value))
        else:
            setattr(made, f"_{name}", structure(field, value))

    def _describe(self, made: Any, row: Row) -> None:
        details = made._details = omero.model.DetailsI()
        ends = (
            ("_owner", row.owner), ("_group", row.group), ("_creationEvent", row.created),
            ("_updateEvent", row.updated), ("_externalInfo", row.external),
        )  # fmt: skip
        for name, end in ends:
            setattr(details, name, None if end is None else self.object(end))
        details._permissions = self._allowed(row)

    def _allowed(self, row: Row) -> Any:
        if row.of == "ExperimenterGroup":
            return permissions(row.permissions or "rw----", self._call.rights(row).restrictions)
        owned = self._call.owned(row)
        alike = owned or row.of
        if alike not in self._permissions:
            rights = self._call.rights(row)
            self._permissions[alike] = permissions(owned.permissions if owned else "rwrwrw", rights.restrictions)
        return self._permissions[alike]


def permissions(text: str, restrictions: list[bool]) -> Any:
    """What a group allows, and what of it is refused to this caller."""
    made = omero.model.PermissionsI(text)
    made._restrictions = restrictions
    return made


def structure(field: Field, value: Any) -> Any:
    """A value that is neither simple nor an object: named values, bytes, a quantity with its unit.

    Raises:
        UnknownShape: none of these.
    """
    if field.type == "NamedValueList":
        return [omero.model.NamedValue(name, said) for name, said in value]
    if field.type in {"ByteSeq", "StringArray"}:
        return value
    if isinstance(value, dict):
        units = getattr(omero.model.enums, f"Units{field.type}")
        return getattr(omero.model, f"{field.type}I")(value["value"], getattr(units, value["unit"]))
    raise UnknownShape(f"{field.name} of type {field.type}")


def plain(field: Field, sent: Any) -> Any:
    """The other way: what is kept of a structure that came from the client."""
    if sent is None:
        return None
    if field.type == "NamedValueList":
        return [[one.name, one.value] for one in sent if one is not None]
    if field.type == "ByteSeq":
        return bytes(sent)
    if field.type == "StringArray":
        return list(sent)
    return {"value": sent._value, "unit": str(sent._unit)}


def as_rtype(value: Any, rtype: str | None, objects: Wire) -> Any:
    """One value of a projection, as the type that the expression has."""
    if value is None:
        return None
    if isinstance(value, Row):
        return robject(objects.object(value))
    if rtype in RTYPES:
        return RTYPES[rtype](value)
    return wrap(value)
