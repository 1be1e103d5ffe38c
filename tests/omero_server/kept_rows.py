"""The graph on disk: what a change acknowledged is there after a kill."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

from omero_server.graph import Change, Graph, Row
from omero_server.schema import Schema

DETAILS = ("owner", "group", "created", "updated", "external")


class KeptRows:
    """One SQLite file that holds every row as JSON; a change is one transaction."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self._schema = schema
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # The stand-in has to survive its own death, not the machine's: the page cache is enough.
        self._file.execute("pragma journal_mode=wal")
        self._file.execute("pragma synchronous=off")
        self._file.execute("create table if not exists rows (held text, id integer, body text, primary key (held, id))")
        self._file.execute("create table if not exists last_ids (held text primary key, id integer)")

    def load(self) -> Graph:
        """The graph as the last change left it, which keeps its own changes here from now on."""
        graph = Graph(self._schema, self.keep)
        graph.last_ids.update(self._file.execute("select held, id from last_ids").fetchall())
        kept = [json.loads(body) for (body,) in self._file.execute("select body from rows")]
        rows = {}
        for body in kept:
            row = rows[self._schema.table(body["of"]), body["id"]] = Row(body["of"], body["id"])
            graph.take_in(row)
        for body in kept:
            row = rows[self._schema.table(body["of"]), body["id"]]
            row.values = {name: _from_json(value, rows) for name, value in body["values"].items()}
            row.permissions, row.position = body["permissions"], body["position"]
            for name in DETAILS:
                setattr(row, name, _from_json(body[name], rows))
            graph.tie(row)
        return graph

    def keep(self, change: Change, last_ids: dict[str, int]) -> None:
        """Write what a change wrote and take away what it removed, in one transaction."""
        self._file.execute("begin immediate")
        self._file.executemany("delete from rows where held = ? and id = ?", sorted(change.deleted))
        self._file.executemany(
            "insert or replace into rows values (?, ?, ?)",
            [(*key, self._body(row)) for key, row in change.written.items()],
        )
        self._file.executemany("insert or replace into last_ids values (?, ?)", last_ids.items())
        self._file.execute("commit")

    def close(self) -> None:
        self._file.close()

    def _body(self, row: Row) -> str:
        body: dict[str, Any] = {"of": row.of, "id": row.id, "permissions": row.permissions, "position": row.position}
        body["values"] = {name: self._json(value) for name, value in row.values.items()}
        for name in DETAILS:
            body[name] = self._json(getattr(row, name))
        return json.dumps(body)

    def _json(self, value: Any) -> Any:
        if isinstance(value, Row):
            return {"row": [self._schema.table(value.of), value.id]}
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        return value


def _from_json(value: Any, rows: dict[tuple[str, int], Row]) -> Any:
    if isinstance(value, dict) and "row" in value:
        held, id = value["row"]
        return rows[held, id]
    if isinstance(value, dict) and "bytes" in value:
        return base64.b64decode(value["bytes"])
    return value
