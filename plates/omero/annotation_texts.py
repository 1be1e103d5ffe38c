"""Annotations of OMERO as the mesh tells of them, whatever program attached them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..labels import COMMENT, KEY_VALUE, TAG
from ..repository import Annotation
from ..wells import label_if_any
from .result_keys import RESULTS

FILE_NAME = "file"
"""What the value of an attached file is told by."""


class Row(NamedTuple):
    """One annotation of a plate or of one of its wells, without what it says."""

    id: int
    ns: str | None
    description: str | None
    author: str
    created_at_ms: int
    row: int | None = None
    column: int | None = None


class Said(NamedTuple):
    """What annotations say, by their ids; each is in one of these."""

    tags: Mapping[int, str]
    comments: Mapping[int, str]
    pairs: Mapping[int, Sequence[tuple[str, str]]]
    files: Mapping[int, str]


def annotations_of(plate_id: int, rows: Iterable[Row], said: Said) -> tuple[Annotation, ...]:
    """The annotations, oldest first, without what belongs to results; each key-value pair is one."""
    found = [
        Annotation(
            id=row.id,
            plate_id=plate_id,
            namespace=namespace,
            name=name,
            value=value,
            well=label_if_any(row.row, row.column),
            author=row.author,
            created_at_s=row.created_at_ms / 1000,
        )
        for row in rows
        if not is_of_a_result(row.ns)
        for namespace, name, value in _texts(row, said)
    ]
    return tuple(sorted(found, key=lambda one: (one.created_at_s, one.id)))


def is_of_a_result(namespace: str | None) -> bool:
    """Whether an annotation belongs to a job's result."""
    return namespace is not None and (namespace == RESULTS or namespace.startswith(f"{RESULTS}/"))


def _texts(row: Row, said: Said) -> Iterable[tuple[str, str, str]]:
    if row.id in said.tags:
        yield row.ns or TAG, "", said.tags[row.id]
    elif row.id in said.comments:
        yield row.ns or COMMENT, "", said.comments[row.id]
    elif row.id in said.files:
        yield row.ns or "", FILE_NAME, said.files[row.id]
    for name, value in said.pairs.get(row.id, ()):
        # A value that was too long for a pair stands whole in the description.
        whole = row.description if row.description and value.endswith("…") else value
        yield (row.ns if row.ns and row.ns.startswith("hcs-mesh/") else KEY_VALUE), name, whole


def pair_of(name: str, value: str, *, longest: int) -> tuple[tuple[str, str], str]:
    """A key-value pair as OMERO's database takes it, and the description that holds a longer value."""
    if len(value) <= longest:
        return (name[:longest], value), ""
    return (name[:longest], f"{value[: longest - 1]}…"), value


def grouped(rows: Iterable[Sequence[Any]]) -> dict[int, list[tuple[str, str]]]:
    """Rows of id, name and value as the pairs of each id."""
    pairs: dict[int, list[tuple[str, str]]] = {}
    for number, name, value in rows:
        pairs.setdefault(number, []).append((name, value))
    return pairs
