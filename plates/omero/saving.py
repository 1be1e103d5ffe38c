"""Objects saved at OMERO: linked to what they describe, found again by their key, and taken away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .connection import Connection
from .result_keys import Pairs, ResultKey, parse_noted

KEYED = """
select a.id, a.description from Annotation a
where a.ns = :ns and a.name = :key and a.details.owner.omeName = :owner order by a.id
"""


class Target(NamedTuple):
    """An object that something is attached to, by its class in OMERO: Plate, Well, Image..."""

    kind: str
    id: int
    group_id: int


class Keyed(NamedTuple):
    """An annotation that was saved with a key, and what was noted in its description."""

    id: int
    noted: Mapping[str, str]


def owner_of(connection: Connection, key: ResultKey) -> str:
    """Whose things are meant by a key: what others have saved under it is neither believed nor touched.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    return key.owner or connection.user


def find_keyed(connection: Connection, namespace: str, key: ResultKey, *, group_id: int) -> list[Keyed]:
    """The owner's annotations with this key, the first one first; more than one only where two were saved at one time.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    rows = connection.rows(KEYED, group=str(group_id), ns=namespace, key=key.text, owner=owner_of(connection, key))
    return [Keyed(number, parse_noted(description)) for number, description in rows]


def save(connection: Connection, sent: Iterable[Any], *, group_id: int) -> list[int]:
    """Save objects with all that hangs on them, either all or none, and return their ids.

    Raises:
        OmeroNotPermitted: the session's user may not write this, or not here.
        OmeroError: the server refuses or cannot be reached.
    """
    with connection.calling():
        update = connection.service("UpdateService")
        return [int(number) for number in update.saveAndReturnIds(list(sent), in_group(group_id))]


def describe(
    connection: Connection, annotation_id: int, description: str, *, group_id: int, pairs: Pairs | None = None
) -> None:
    """Give a map annotation that is there another description, and other pairs where they are given.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    library = connection.library
    with connection.calling():
        # What is saved is what was read: anything else would take away the links that it is silent about.
        held = connection.service("QueryService").get("MapAnnotation", annotation_id, in_group(group_id))
        held.setDescription(library.rtypes.rstring(description))
        if pairs is not None:
            held.setMapValue([library.omero.model.NamedValue(name, value) for name, value in pairs])
    save(connection, [held], group_id=group_id)


def delete(connection: Connection, kind: str, ids: Iterable[int], *, group_id: int) -> None:
    """Take objects away with what is theirs alone; nothing where there are no ids.

    Raises:
        OmeroNotPermitted: the session's user may not delete one of them.
        OmeroError: the server refuses or cannot be reached.
    """
    going = list(ids)
    if going:
        request = connection.library.omero.cmd.Delete2(targetObjects={kind: going})
        connection.carry_out(request, group=str(group_id))


def in_group(group_id: int) -> dict[str, str]:
    """The context of a call that writes: what it makes belongs to this group."""
    return {"omero.group": str(group_id)}


def map_annotation(connection: Connection, namespace: str, key: str, pairs: Pairs, *, description: str = "") -> Any:
    """Key-value pairs, not saved yet."""
    library = connection.library
    made = library.omero.model.MapAnnotationI()
    made.setNs(library.rtypes.rstring(namespace))
    made.setName(library.rtypes.rstring(key))
    made.setMapValue([library.omero.model.NamedValue(name, value) for name, value in pairs])
    if description:
        made.setDescription(library.rtypes.rstring(description))
    return made


def unloaded(connection: Connection, kind: str, number: int) -> Any:
    """An object by its id alone, to be referred to."""
    return getattr(connection.library.omero.model, f"{kind}I")(number, False)  # noqa: FBT003 - as OMERO has it


def link(connection: Connection, to: Target, annotation: Any) -> Any:
    """The link that attaches an annotation, new or unloaded, to an object that is there; not saved yet."""
    made = getattr(connection.library.omero.model, f"{_link_kind(to.kind)}I")()
    made.setParent(unloaded(connection, to.kind, to.id))
    made.setChild(annotation)
    return made


def _link_kind(kind: str) -> str:
    return "AnnotationAnnotationLink" if kind.endswith("Annotation") else f"{kind}AnnotationLink"
