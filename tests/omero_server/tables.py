"""OMERO.tables: columns of measurements in a file of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.grid
from omero.rtypes import unwrap, wrap

from omero_server.call import Call
from omero_server.deletion import delete, remove_files
from omero_server.graph import Row
from omero_server.raw_files import path_of
from omero_server.refusals import NotKnown, Stale
from omero_server.service_factory import Stateful
from omero_server.sessions import Session
from omero_server.table_file import Column, TableFile
from omero_server.wire import Wire

if TYPE_CHECKING:
    from omero_server.server import Server

MIMETYPE = "OMERO.tables"
NOT_VALUES = frozenset({"name", "description", "size"})


def new_table_file(call: Call, path: str) -> Row:
    """An OriginalFile for a table that has no columns yet; what it is called is its name and its path."""
    with call.graph.changing():
        return call.make("OriginalFile", name=path, path=path, mimetype=MIMETYPE, size=0, version=0)


class Table(Stateful):
    """One client's hold on a table; all who hold it see the same rows."""

    interface = omero.grid.Table
    proxy = omero.grid.TablePrx

    def __init__(self, server: Server, session: Session, file: Row) -> None:
        super().__init__(server, session)
        self._file = file
        self._table = server.tables.setdefault(file.id, TableFile(path_of(server, file)))
        self._n_seen = self._table.n_writes

    def getOriginalFile(self, call: Call) -> Any:
        return Wire(call).root(self._file)

    def getHeaders(self, call: Call) -> list[Any]:
        return [_header(one) for one in self._table.columns]

    def getNumberOfRows(self, call: Call) -> int:
        return self._table.n_rows

    def getMetadata(self, call: Call, name: str) -> Any:
        return wrap(self._table.metadata.get(name))

    def getAllMetadata(self, call: Call) -> dict[str, Any]:
        return {name: wrap(value) for name, value in self._table.metadata.items()}

    def setMetadata(self, call: Call, name: str, value: Any) -> None:
        self._may_write(call)
        self._table.set_metadata({name: unwrap(value)})

    def setAllMetadata(self, call: Call, values: dict[str, Any]) -> None:
        self._may_write(call)
        self._table.set_metadata({name: unwrap(value) for name, value in values.items()})

    def initialize(self, call: Call, columns: list[Any]) -> None:
        self._may_write(call)
        self._table.initialize([_column(one) for one in columns or []])
        self._wrote(call)

    def addColumn(self, call: Call, column: Any) -> None:
        raise NotKnown("Table.addColumn, which no server has either")

    def addData(self, call: Call, columns: list[Any]) -> None:
        self._may_write(call)
        self._table.add([_column(one) for one in columns])
        self._wrote(call)

    def update(self, call: Call, data: Any) -> None:
        self._may_write(call)
        if self._table.n_writes != self._n_seen:
            raise Stale("Resource modified by another thread")
        self._table.update([_column(one) for one in data.columns], list(data.rowNumbers))
        self._wrote(call)

    def read(self, call: Call, numbers: list[int], start: int, stop: int) -> Any:
        rows = range(start, stop if (start, stop) != (0, 0) else self._table.n_rows)
        return self._data(numbers, list(rows))

    def readCoordinates(self, call: Call, rows: list[int]) -> Any:
        return self._data(list(range(len(self._table.columns))), list(rows))

    def slice(self, call: Call, numbers: list[int] | None, rows: list[int] | None) -> Any:
        every = list(range(len(self._table.columns)))
        return self._data(list(numbers or every), list(rows or range(self._table.n_rows)))

    def getWhereList(
        self, call: Call, condition: str, variables: dict[str, Any] | None, start: int, stop: int, step: int
    ) -> list[int]:
        known = {name: unwrap(value) for name, value in (variables or {}).items()}
        return self._table.where(condition, known, start, stop or None, step or 1)

    def delete(self, call: Call) -> None:
        self._may_write(call)
        with self.graph.changing():
            gone = delete(call, [self._file])
        remove_files(call, gone)
        self.server.tables.pop(self._file.id, None)
        self.close(call)

    def _data(self, numbers: list[int], rows: list[int]) -> Any:
        cut = self._table.cut(numbers, rows)
        self._n_seen = self._table.n_writes
        return omero.grid.Data(self.server.now_ms(), rows, [_filled(one) for one in cut])

    def _may_write(self, call: Call) -> None:
        call.may("edit", self._file)

    def _wrote(self, call: Call) -> None:
        self._n_seen = self._table.n_writes
        with self.graph.changing():
            self.graph.put(self._file, "size", path_of(self.server, self._file).stat().st_size)


def _column(sent: Any) -> Column:
    kind = type(sent).ice_staticId().rsplit("::", 1)[-1]
    values = {
        name: list(value or []) for name, value in vars(sent).items() if name not in NOT_VALUES and name[0] != "_"
    }
    values = {name: value for name, value in values.items() if name in _names(kind)}
    return Column(kind, sent.name, sent.description or "", getattr(sent, "size", None), values)


def _names(kind: str) -> set[str]:
    return {name for name in vars(getattr(omero.grid, kind)()) if name not in NOT_VALUES}


def _header(column: Column) -> Any:
    made = getattr(omero.grid, column.kind)(column.name, column.description)
    for name in column.values:
        setattr(made, name, [])
    if column.size is not None:
        made.size = column.size
    return made


def _filled(column: Column) -> Any:
    made = _header(column)
    for name, values in column.values.items():
        setattr(made, name, values)
    return made
