"""One table on disk: a line of JSON per write, so that a kill loses at most the one that nobody was told of."""

from __future__ import annotations

import ast
import base64
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Invert: operator.invert, ast.USub: operator.neg,
}  # fmt: skip


class BadCondition(Exception):
    """The condition is none that the stand-in understands."""


class BadTable(Exception):
    """The table cannot be used so: not initialized, initialized twice, out of range, columns that do not fit."""


@dataclass
class Column:
    """One column: the class that it has on the wire, and its values by the names that this class gives them."""

    kind: str
    name: str
    description: str = ""
    size: int | None = None
    values: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        return max((len(one) for one in self.values.values()), default=0)


class TableFile:
    """Columns with their rows, and metadata; all of it in memory, all writes on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.columns: list[Column] = []
        self.metadata: dict[str, Any] = {}
        self.n_writes = 0
        if path.exists():
            self._replay()

    @property
    def n_rows(self) -> int:
        return self.columns[0].n_rows if self.columns else 0

    def initialize(self, columns: list[Column]) -> None:
        """Have these columns, without a row yet.

        Raises:
            BadTable: it has columns, or one of these has no name, or one that is reserved.
        """
        if self.columns:
            raise BadTable("Already initialized.")
        if not columns:
            raise BadTable("No columns provided")
        if not all(one.name for one in columns) or len({one.name for one in columns}) < len(columns):
            raise BadTable("Column unnamed, or two of one name")
        # As omero.hdfstorageV2 has it: there such names are attributes of the file.
        if reserved := [one.name for one in columns if one.name.startswith("__")]:
            raise BadTable(f"Reserved column name: {reserved[0]}")
        self._write({"columns": [[one.kind, one.name, one.description, one.size, list(one.values)] for one in columns]})

    def add(self, columns: list[Column]) -> None:
        """Rows behind the last one.

        Raises:
            BadTable: these are not the table's columns, or not of one length, or a text is too long.
        """
        self._must_fit(columns)
        self._write({"add": [one.values for one in columns]})

    def update(self, columns: list[Column], rows: list[int]) -> None:
        """Other values in these rows of some columns.

        Raises:
            BadTable: there are no such rows or columns.
        """
        self._within(rows)
        by_name = {one.name: number for number, one in enumerate(self.columns)}
        if unknown := [one.name for one in columns if one.name not in by_name]:
            raise BadTable(f"no columns {unknown}")
        self._write({"update": [[by_name[one.name], one.values] for one in columns], "rows": rows})

    def set_metadata(self, values: dict[str, Any]) -> None:
        self._write({"metadata": values})

    def cut(self, numbers: list[int], rows: list[int]) -> list[Column]:
        """Some rows of some columns.

        Raises:
            BadTable: there are no such rows or columns.
        """
        self._must_be_ready()
        if not numbers or max(numbers) >= len(self.columns) or min(numbers) < 0:
            raise BadTable(f"Column overflow: {numbers} of {len(self.columns)}")
        self._within(rows)
        return [
            Column(
                one.kind,
                one.name,
                one.description,
                one.size,
                {k: [v[row] for row in rows] for k, v in one.values.items()},
            )
            for one in (self.columns[number] for number in numbers)
        ]

    def where(self, condition: str, variables: dict[str, Any], start: int, stop: int | None, step: int) -> list[int]:
        """The rows for which a condition holds.

        Raises:
            BadCondition: it says what is not known.
        """
        self._must_be_ready()
        names: dict[str, Any] = {
            one.name: np.array(one.values["values"]) for one in self.columns if list(one.values) == ["values"]
        }
        found = evaluate(condition, names | variables)
        if not isinstance(found, np.ndarray) or found.dtype != bool or found.shape != (self.n_rows,):
            raise BadCondition(f"Bad condition: {condition} is no condition on a column")
        return [row for row in range(self.n_rows)[start:stop:step] if found[row]]

    def _must_be_ready(self) -> None:
        if not self.columns:
            raise BadTable("Not yet initialized")

    def _must_fit(self, columns: list[Column]) -> None:
        self._must_be_ready()
        if [(one.kind, one.name) for one in columns] != [(one.kind, one.name) for one in self.columns]:
            raise BadTable("the columns are not those of the table")
        if len({len(values) for one in columns for values in one.values.values()}) != 1:
            raise BadTable("columns of different lengths")
        for held, one in zip(self.columns, columns, strict=True):
            if held.kind == "StringColumn" and held.size is not None:
                longest = max((len(text.encode()) for text in one.values["values"]), default=0)
                if longest > held.size:
                    raise BadTable(
                        f"Maximum string (byte) length in column {held.name} was exceeded ({longest} > {held.size})"
                    )

    def _within(self, rows: list[int]) -> None:
        if rows and (max(rows) >= self.n_rows or min(rows) < 0):
            raise BadTable(f"Row overflow: {max(rows)} >= {self.n_rows}")

    def _write(self, said: dict[str, Any]) -> None:
        line = json.dumps(said, default=_bytes_as_json).encode() + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
        self._apply(json.loads(line, object_hook=_bytes_from_json))
        self.n_writes += 1

    def _replay(self) -> None:
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # cut off while it was written: nobody was told of it
            with self._path.open("r+b") as file:
                file.truncate(whole)
        for line in data[:whole].splitlines():
            self._apply(json.loads(line, object_hook=_bytes_from_json))
            self.n_writes += 1

    def _apply(self, said: dict[str, Any]) -> None:
        if "columns" in said:
            self.columns = [
                Column(kind, name, about, size, {one: [] for one in values})
                for kind, name, about, size, values in said["columns"]
            ]
        elif "add" in said:
            for column, values in zip(self.columns, said["add"], strict=True):
                for name, more in values.items():
                    column.values[name] += more
        elif "update" in said:
            for number, values in said["update"]:
                for name, others in values.items():
                    for row, value in zip(said["rows"], others, strict=True):
                        self.columns[number].values[name][row] = value
        else:
            self.metadata.update(said["metadata"])


def evaluate(condition: str, names: dict[str, Any]) -> Any:
    """A condition of PyTables over columns: comparisons and arithmetic, joined by ``&``, ``|`` and ``~``.

    Raises:
        BadCondition: it says anything else.
    """
    try:
        return _value(ast.parse(condition.strip(), mode="eval").body, names)
    except (SyntaxError, TypeError, ValueError) as wrong:
        raise BadCondition(f"Bad condition: {condition}, {wrong}") from None


def _value(node: ast.AST, names: dict[str, Any]) -> NDArray[Any] | Any:
    match node:
        case ast.Constant(value):
            return value.decode() if isinstance(value, bytes) else value
        case ast.Name(name):
            if name not in names:
                raise BadCondition(f"Bad condition: name '{name}' is not defined")
            return names[name]
        case ast.BinOp(left, sign, right) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(left, names), _value(right, names))
        case ast.Compare(left, [sign], [right]) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(left, names), _value(right, names))
        case ast.UnaryOp(sign, of) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(of, names))
    raise BadCondition(f"Bad condition: {ast.unparse(node)} is not known")


def _bytes_as_json(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{value!r} cannot be kept in a table")


def _bytes_from_json(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["bytes"]) if set(value) == {"bytes"} else value
