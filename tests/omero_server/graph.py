"""Every object of the server by class and id, with the ways back from what refers to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from omero_server.schema import Schema

Key = tuple[str, int]


class NoSuchRow(LookupError):
    """No object of that class has that id."""


@dataclass(eq=False, slots=True)
class Row:
    """One object: its values, what it refers to, and whose it is."""

    of: str
    """The class itself, not its table."""
    id: int
    values: dict[str, Any] = field(default_factory=dict)
    owner: Row | None = None
    group: Row | None = None
    created: Row | None = None
    updated: Row | None = None
    external: Row | None = None
    permissions: str | None = None
    """Of a group only: what its members may do with each other's objects."""
    position: int | None = None
    """Where it stands in the ordered collection that holds it."""

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def __repr__(self) -> str:
        return f"{self.of}:{self.id}"


@dataclass
class Change:
    """What has been written since the change began, and how to take it back."""

    written: dict[Key, Row] = field(default_factory=dict)
    deleted: set[Key] = field(default_factory=set)
    undo: list[Callable[[], None]] = field(default_factory=list)


class Graph:
    """Rows by table and id; all writes happen inside one change, which is kept whole or taken back whole."""

    def __init__(
        self, schema: Schema, keep: Callable[[Change, dict[str, int]], None] = lambda change, last_ids: None
    ) -> None:
        self.schema = schema
        self.last_ids: dict[str, int] = {}
        self._rows: dict[str, dict[int, Row]] = {}
        self._back: dict[Key, dict[tuple[str, str], dict[int, Row]]] = {}
        self._keep = keep
        self._change: Change | None = None

    # Reading

    def find(self, of: str, id: int) -> Row | None:
        """The object, if there is one and it is of that class."""
        row = self._rows.get(self.schema.table(of), {}).get(id)
        return row if row is not None and self.schema.is_a(row.of, of) else None

    def get(self, of: str, id: int) -> Row:
        """The object of that class.

        Raises:
            NoSuchRow: there is none.
        """
        row = self.find(of, id)
        if row is None:
            raise NoSuchRow(f"no {of}:{id}")
        return row

    def all(self, of: str) -> Iterator[Row]:
        """Every object of the class and of those beneath it, by id."""
        below = self.schema.below(of)
        rows = self._rows.get(self.schema.table(of), {})
        return (rows[id] for id in sorted(rows) if rows[id].of in below)

    def one(self, of: str, **values: Any) -> Row | None:
        """The first object with these values."""
        return next((row for row in self.all(of) if all(row[name] == one for name, one in values.items())), None)

    def key(self, row: Row) -> Key:
        return self.schema.table(row.of), row.id

    def referring(self, row: Row, of: str, name: str) -> list[Row]:
        """The objects of class ``of`` whose reference ``name`` is this one, in order."""
        found = self._back.get(self.key(row), {}).get((self.schema.table(of), name), {})
        below = self.schema.below(of)
        rows = [one for one in found.values() if one.of in below]
        return sorted(rows, key=lambda one: (one.position if one.position is not None else one.id, one.id))

    def collection(self, row: Row, name: str) -> list[Row]:
        """The elements of a collection, in order."""
        field = self.schema.fields(row.of)[name]
        return [] if field.inverse is None else self.referring(row, field.type, field.inverse)

    def holders(self, row: Row) -> list[tuple[str, Row]]:
        """Everything that refers to the object, with the name of the reference."""
        back = self._back.get(self.key(row), {})
        return [(name, one) for (_, name), found in back.items() for one in found.values()]

    # Writing

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """All that is written inside is kept at the end, or, after an exception, as if it had never been."""
        if self._change is not None:
            yield self._change
            return
        change = self._change = Change()
        last_ids = dict(self.last_ids)
        try:
            yield change
            if change.written or change.deleted:
                self._keep(change, {table: one for table, one in self.last_ids.items() if last_ids.get(table) != one})
        except BaseException:
            for step in reversed(change.undo):
                step()
            raise
        finally:
            self._change = None

    def add(self, of: str, id: int | None = None, **values: Any) -> Row:
        """A new object with these values and references."""
        table = self.schema.table(of)
        if id is None:
            id = self.last_ids.get(table, 0) + 1
        self.last_ids[table] = max(id, self.last_ids.get(table, 0))
        row = Row(of, id)
        rows = self._rows.setdefault(table, {})
        rows[id] = row
        self._undo(lambda: rows.pop(id))
        self._written(row)
        for name, value in values.items():
            self.put(row, name, value)
        return row

    def put(self, row: Row, name: str, value: Any) -> None:
        """Give a field another value, or a reference another end."""
        field = self.schema.fields(row.of)[name]
        old = row.values.get(name)
        if old is value or (field.kind != "reference" and old == value and name in row.values):
            return
        row.values[name] = value
        self._undo(lambda: row.values.__setitem__(name, old))
        if field.kind == "reference":
            self._point(row, name, old, value)
            self._stand_last(row, name, value)
        self._written(row)

    def describe(self, row: Row, **details: Any) -> None:
        """Set whose it is: owner, group, created, updated, external, permissions, position."""
        for name, value in details.items():
            old = getattr(row, name)
            setattr(row, name, value)
            self._undo(lambda name=name, old=old: setattr(row, name, old))
        self._written(row)

    def remove(self, row: Row) -> None:
        """Take the object away; what it referred to forgets it."""
        for name, said in self.schema.fields(row.of).items():
            if said.kind == "reference":
                self.put(row, name, None)
        key = self.key(row)
        rows = self._rows[key[0]]
        del rows[row.id]
        self._undo(lambda: rows.__setitem__(row.id, row))
        change = self._changing()
        was = change.written.pop(key, None)
        change.deleted.add(key)
        change.undo.append(lambda: (change.deleted.discard(key), was is not None and change.written.update({key: was})))

    def take_in(self, row: Row) -> None:
        """Hold a row that was kept before; its references follow by ``tie``."""
        self._rows.setdefault(self.schema.table(row.of), {})[row.id] = row

    def tie(self, row: Row) -> None:
        """Make the ways back of a row that was taken in."""
        for name, value in row.values.items():
            if isinstance(value, Row):
                self._turn(row, name, None, value)

    def _changing(self) -> Change:
        assert self._change is not None, "written outside a change"
        return self._change

    def _undo(self, step: Callable[[], Any]) -> None:
        self._changing().undo.append(step)

    def _written(self, row: Row) -> None:
        self._changing().written[self.key(row)] = row

    def _point(self, row: Row, name: str, old: Row | None, new: Row | None) -> None:
        self._turn(row, name, old, new)
        self._undo(lambda: self._turn(row, name, new, old))

    def _stand_last(self, row: Row, name: str, holder: Row | None) -> None:
        if holder is None or row.position is not None or not self.schema.is_ordered(row.of, name):
            return
        beside = [one.position for one in self.referring(holder, row.of, name) if one.position is not None]
        row.position = 1 + max(beside, default=-1)

    def _turn(self, row: Row, name: str, old: Row | None, new: Row | None) -> None:
        way = self.schema.table(row.of), name
        if old is not None:
            self._back[self.key(old)][way].pop(row.id, None)
        if new is not None:
            self._back.setdefault(self.key(new), {}).setdefault(way, {})[row.id] = row
