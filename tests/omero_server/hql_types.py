"""What an expression of HQL can be, and the steps that a path may take from it (pure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omero_server.graph import Graph, Row
from omero_server.hql_tokens import HqlError
from omero_server.schema import Schema

DETAILS = {
    "owner": ("owner", "Experimenter"),
    "group": ("group", "ExperimenterGroup"),
    "creationEvent": ("created", "Event"),
    "updateEvent": ("updated", "Event"),
    "externalInfo": ("external", "ExternalInfo"),
}
STRUCTURES = {
    "NamedValue": {"name": "RString", "value": "RString"},
    "Quantity": {"value": "RDouble", "unit": "RString"},
}


@dataclass(frozen=True)
class Type:
    """``value`` of an rtype, ``object`` of a class, ``objects`` in a collection, ``structure``, ``class``, ``any``."""

    kind: str
    name: str = ""


ANY, BOOL, LONG, INT, DOUBLE, STRING = (
    Type("any"), Type("value", "RBool"), Type("value", "RLong"), Type("value", "RInt"), Type("value", "RDouble"),
    Type("value", "RString"),
)  # fmt: skip
CLASS_NAME = Type("class")
WHOSE = Type("details")
PERMISSIONS = Type("value", "permissions")

Step = Callable[[Any], Any]


def step(graph: Graph, of: Type, name: str) -> tuple[Type, Step]:
    """One step of a path: what it gives, and how to take it from a value that is not null.

    Raises:
        HqlError: there is no such step.
    """
    if of.kind == "object":
        return _of_object(graph, of.name, name)
    if of.kind == "details":
        if name == "permissions":
            return PERMISSIONS, lambda row: row
        if name not in DETAILS:
            raise HqlError(f"could not resolve property: {name} of: ome.model.internal.Details")
        attribute, what = DETAILS[name]
        return Type("object", what), lambda row: getattr(row, attribute)
    if of.kind == "structure" and name in STRUCTURES.get(of.name, {}):
        return Type("value", STRUCTURES[of.name][name]), _in_structure(of.name, name)
    if of.kind in {"objects", "structures"}:
        raise HqlError(f"illegal attempt to dereference collection with element property reference [{name}]")
    raise HqlError(f"could not resolve property: {name} of a {of.name or of.kind}")


def _of_object(graph: Graph, of: str, name: str) -> tuple[Type, Step]:
    if name == "id":
        return LONG, lambda row: row.id
    if name == "class":
        return CLASS_NAME, lambda row: row.of
    if name == "details":
        return WHOSE, lambda row: row
    field = graph.schema.field(of, name)
    if field is None:
        raise HqlError(f"could not resolve property: {name} of: ome.model.{of}")
    if field.kind == "collection":
        return Type("objects", field.type), _collection(graph, name)
    if field.kind == "plain":
        return _plain(field.type), lambda row: row.values.get(name)
    kind = "object" if field.kind == "reference" else "value"
    return Type(kind, field.type), lambda row: row.values.get(name)


def _collection(graph: Graph, name: str) -> Step:
    def elements(row: Row) -> list[Row]:
        # A subclass's collection, asked of an object that is none of it, is empty.
        return graph.collection(row, name) if name in graph.schema.fields(row.of) else []

    return elements


def _plain(type_: str) -> Type:
    if type_ == "NamedValueList":
        return Type("structures", "NamedValue")
    if type_ in {"ByteSeq", "StringArray"}:
        return Type("value", type_)
    return Type("structure", "Quantity")


def _in_structure(kind: str, name: str) -> Step:
    if kind == "NamedValue":
        return lambda pair: pair[0] if name == "name" else pair[1]
    return lambda quantity: quantity[name]


def class_named(schema: Schema, name: str) -> str | None:
    """The class that a path may stand for, as in ``a.class = ome.model.annotations.TagAnnotation``."""
    short = name.rsplit(".", 1)[-1]
    return short if short in schema else None
