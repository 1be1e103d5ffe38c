"""Rows of a query: from its sources, through its joins, to columns or objects (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from omero_server.graph import Graph, Row
from omero_server.hql_grammar import parse
from omero_server.hql_meaning import Env, Meaning, Scope, Value, bare, is_aggregate
from omero_server.hql_tokens import HqlError
from omero_server.hql_tree import (
    Binary,
    Exists,
    Expression,
    In,
    IsEmpty,
    Parameter,
    Path,
    Query,
    Selected,
    Source,
    Subquery,
    conjuncts,
    parts,
)
from omero_server.hql_types import ANY, BOOL, Type
from omero_server.schema import UnknownName

Columns = list[list[Any]]


class Evaluation:
    """One query with its parameters over what a caller may read of the graph."""

    def __init__(
        self,
        graph: Graph,
        query: Query | str,
        parameters: Mapping[str, Any],
        may_read: Callable[[Row], bool] = lambda row: True,
        outer: Scope | None = None,
    ) -> None:
        self.query = parse(query) if isinstance(query, str) else query
        self._graph = graph
        self._may_read = may_read
        self._scope = Scope(graph, parameters, outer)
        self._meaning = Meaning(self._scope, self)
        self._own: list[str] = []
        steps = [self._step(source) for source in self.query.sources]
        conditions = [self._condition(one) for one in conjuncts(self.query.where)]
        self._select = self.query.select or tuple(
            Selected(Path((source.alias,))) for source in self.query.sources if not source.is_join
        )
        self._order = [(self._column(one.expression), one.is_descending) for one in self.query.order]
        self._columns = [self._column(one.expression) for one in self._select]
        self._group = [self._meaning.value(one)[1] for one in self.query.group]
        self._having = self._meaning.over_rows(self.query.having)[1] if self.query.having else None
        self._plan = _plan(steps, conditions)

    @property
    def names(self) -> list[str]:
        """What the columns are called."""
        return [one.name or str(at) for at, one in enumerate(self._select)]

    @property
    def fetches(self) -> bool:
        return any(source.is_fetched for source in self.query.sources)

    def types(self) -> list[Type]:
        return [kind for kind, _ in self._columns]

    def inner(self, query: Query, scope: Scope) -> Evaluation:
        """A query inside of this one, which sees its aliases."""
        return Evaluation(self._graph, query, scope.parameters, self._may_read, scope)

    def rows(self, outer: Env | None = None) -> list[Env]:
        """What the sources and joins give, where the conditions hold."""
        rows: Iterable[Env] = [dict(outer or {})]
        for expand, conditions in self._plan:
            rows = expand(rows)
            for condition in conditions:
                rows = [row for row in rows if condition(row) is True]
        joined = self._scope.joined
        return [row for row in rows if all(end(row) is not None for end in joined)]

    def columns(self, outer: Env | None = None) -> Columns:
        """The answer: one list per row, ordered, without doubles if so asked."""
        return self._answer(self.rows(outer))

    def first_values(self, outer: Env) -> set[Any]:
        """What the first column holds, objects as their ids."""
        return {bare(row[0]) for row in self.columns(outer)}

    def objects(self) -> tuple[list[Row], list[Env]]:
        """The objects that the query selects, doubles included, and the rows that they came from.

        Raises:
            HqlError: it selects anything but objects.
        """
        if len(self._columns) != 1 or self._columns[0][0].kind != "object" or self.query.as_map:
            raise HqlError("this operation takes a query for objects; projection takes others")
        rows = self.rows()
        return [one for (one,) in self._answer(rows) if one is not None], rows

    def fetched(self, rows: list[Env]) -> tuple[set[tuple[str, int]], set[tuple[tuple[str, int], str]]]:
        """The keys of what ``join fetch`` loads, and of the collections that it fills."""
        loaded, filled = set(), set()
        for source in self.query.sources:
            if not source.is_fetched:
                continue
            holder, name = self._scope.path(Path(source.path.steps[:-1]))[1], source.path.steps[-1]
            for row in rows:
                if (one := row.get(source.alias)) is not None and isinstance(one, Row):
                    loaded.add(self._graph.key(one))
                start = holder(row)
                field = self._graph.schema.fields(start.of).get(name) if isinstance(start, Row) else None
                if field is not None and field.kind == "collection":
                    filled.add((self._graph.key(start), name))
        return loaded, filled

    # From clauses to steps

    def _column(self, expression: Expression) -> tuple[Type, Callable[[list[Env]], Any]]:
        return self._meaning.over_rows(expression)

    def _step(self, source: Source) -> tuple[str, Callable[[Iterable[Env]], Iterable[Env]], Source]:
        if source.alias in self._own:
            raise HqlError(f"Duplicate definition of alias '{source.alias}'")
        expand = self._join(source) if source.is_join else self._root(source)
        self._own.append(source.alias)
        return source.alias, expand, source

    def _root(self, source: Source) -> Callable[[Iterable[Env]], Iterable[Env]]:
        if len(source.path.steps) > 1 and source.path.steps[0] in self._scope.types:
            return self._join(source)  # "from Plate p, p.wells w" of an inner query
        try:
            of = self._graph.schema.of(str(source.path)).name
        except UnknownName as unknown:
            raise HqlError(str(unknown)) from None
        alias = source.alias
        self._scope.types[alias] = Type("object", of)
        self._scope.roots.append(alias)
        found = self._finder(alias, of)

        def expand(rows: Iterable[Env]) -> Iterable[Env]:
            for row in rows:
                for one in found(row):
                    if self._may_read(one):
                        yield {**row, alias: one}

        return expand

    def _join(self, source: Source) -> Callable[[Iterable[Env]], Iterable[Env]]:
        n_implied = len(self._scope.joined)
        kind, value = self._scope.path(source.path)
        if source.is_outer:
            del self._scope.joined[n_implied:]
        alias = source.alias
        one_of = {"objects": "object", "structures": "structure"}.get(kind.kind, kind.kind)
        if one_of not in {"object", "structure"}:
            raise HqlError(f"{source.path} cannot be joined: it is a {kind.name or kind.kind}")
        self._scope.types[alias] = Type(one_of, kind.name)
        holder = self._scope.path(Path(source.path.steps[:-1]))[0]
        field = self._graph.schema.field(holder.name, source.path.steps[-1]) if holder.kind == "object" else None
        if field is not None and field.ordered:
            self._scope.ordered.add(alias)
        condition = self._meaning.value(source.condition)[1] if source.condition else None

        def expand(rows: Iterable[Env]) -> Iterable[Env]:
            for row in rows:
                found = value(row)
                among = found if isinstance(found, list) and kind.kind in {"objects", "structures"} else [found]
                n_found = 0
                for one in among:
                    if one is None or (isinstance(one, Row) and not self._may_read(one)):
                        continue
                    joined = {**row, alias: one}
                    if condition is None or condition(joined) is True:
                        n_found += 1
                        yield joined
                if not n_found and source.is_outer:
                    yield {**row, alias: None}

        return expand

    def _finder(self, alias: str, of: str) -> Callable[[Env], Iterable[Row]]:
        """The objects of the class, or only those that a condition on an id or on a reference leaves."""
        for condition in conjuncts(self.query.where):
            for path, wanted in _equalities(condition):
                steps = path.steps[1:] if path.steps[0] == alias else (path.steps if alias == "this" else ())
                if not steps or (not isinstance(wanted, Parameter) and wanted.steps[0] not in self._scope.types):
                    continue
                if isinstance(wanted, Path) and wanted.steps[0] == alias:
                    continue
                value = self._meaning.value(wanted)[1]
                if steps == ("id",):
                    return lambda env, value=value: self._by_id(of, value(env))
                field = self._graph.schema.fields(of).get(steps[0])
                if field is not None and field.kind == "reference" and steps[1:] in ((), ("id",)):
                    return lambda env, value=value, field=field: self._by_reference(
                        of, field.name, field.type, value(env)
                    )
        return lambda env: self._graph.all(of)

    def _by_id(self, of: str, wanted: Any) -> list[Row]:
        found = (self._graph.find(of, id) for id in sorted(_ids(wanted)))
        return [one for one in found if one is not None]

    def _by_reference(self, of: str, name: str, to: str, wanted: Any) -> list[Row]:
        ends = self._by_id(to, wanted)
        rows = [row for end in ends for row in self._graph.referring(end, of, name)]
        return sorted(rows, key=lambda row: row.id)

    def _condition(self, expression: Expression) -> tuple[set[str], Value]:
        kind, value = self._meaning.value(expression)
        if kind not in (BOOL, ANY):
            raise HqlError(f"'where' takes a condition, not a {kind.name or kind.kind}")
        return _aliases(expression, self._own), value

    # From rows to the answer

    def _answer(self, rows: list[Env]) -> Columns:
        groups = self._groups(rows)
        if self._having is not None:
            groups = [group for group in groups if self._having(group) is True]
        for (_, value), is_descending in reversed(self._order):
            groups.sort(key=lambda group: _sort_key(value(group)), reverse=is_descending)
        answer = [[value(group) for _, value in self._columns] for group in groups]
        if self.query.distinct:
            kept: dict[Any, list[Any]] = {}
            for row in answer:
                kept.setdefault(tuple(_hashable(one) for one in row), row)
            answer = list(kept.values())
        return answer

    def _groups(self, rows: list[Env]) -> list[list[Env]]:
        if self._group:
            groups: dict[Any, list[Env]] = {}
            for row in rows:
                groups.setdefault(tuple(bare(value(row)) for value in self._group), []).append(row)
            return list(groups.values())
        if any(is_aggregate(one.expression) for one in self._select):
            return [rows]
        return [[row] for row in rows]


def _plan(
    steps: list[tuple[str, Callable[[Iterable[Env]], Iterable[Env]], Source]], conditions: list[tuple[set[str], Value]]
) -> list[tuple[Callable[[Iterable[Env]], Iterable[Env]], list[Value]]]:
    """Each step with the conditions that can be looked at from there on: rows fall out as early as they can."""
    plan, known, left = [], set(), list(conditions)
    for alias, expand, _ in steps:
        known.add(alias)
        now = [value for aliases, value in left if aliases <= known]
        left = [one for one in left if not one[0] <= known]
        plan.append((expand, now))
    return plan


def _aliases(expression: Expression, own: list[str]) -> set[str]:
    """The query's aliases that an expression names; all of them where a query is inside."""
    if isinstance(expression, (Exists, Subquery, IsEmpty)) or (
        isinstance(expression, In) and isinstance(expression.items, Query)
    ):
        return set(own)
    if isinstance(expression, Path):
        return {expression.steps[0]} & set(own) or ({"this"} & set(own))
    return {alias for part in parts(expression) for alias in _aliases(part, own)}


def _equalities(condition: Expression) -> list[tuple[Path, Path | Parameter]]:
    """The ways to read a condition as: this path has that value, or one of those."""
    match condition:
        case Binary("=", Path() as left, Path() as right):
            return [(left, right), (right, left)]
        case Binary("=", Path() as left, Parameter() as right):
            return [(left, right)]
        case Binary("=", Parameter() as left, Path() as right):
            return [(right, left)]
        case In(Path() as left, (Parameter() as right,)):
            return [(left, right)]
    return []


def _ids(wanted: Any) -> set[int]:
    if wanted is None:
        return set()
    many = wanted if isinstance(wanted, list) else [wanted]
    return {one for one in map(bare, many) if isinstance(one, int)}


def _sort_key(value: Any) -> tuple[bool, Any]:
    """Nulls last, as PostgreSQL has them when ascending."""
    value = bare(value)
    return value is None, 0 if value is None else value


def _hashable(value: Any) -> Any:
    if isinstance(value, Row):
        return value.of, value.id
    return repr(value) if isinstance(value, (list, dict)) else value
