"""Expressions of HQL as functions over the rows of a query; names and types are settled before the first row (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from omero_server.graph import Graph, Row
from omero_server.hql_functions import AGGREGATES, aggregate, binary, function
from omero_server.hql_tokens import HqlError
from omero_server.hql_tree import (
    Binary,
    Call,
    Case,
    Exists,
    Expression,
    In,
    IsEmpty,
    IsNull,
    Literal,
    Not,
    Parameter,
    Path,
    Query,
    Subquery,
    parts,
)
from omero_server.hql_types import ANY, BOOL, CLASS_NAME, DOUBLE, INT, LONG, STRING, Type, class_named, step

if TYPE_CHECKING:
    from omero_server.hql_evaluation import Evaluation

Env = dict[str, Any]
"""What each alias stands for in one row of the query."""
Value = Callable[[Env], Any]
CASTS = {"int": INT, "integer": INT, "long": LONG, "string": STRING, "double": DOUBLE, "float": DOUBLE}


class Scope:
    """The aliases that an expression may name, with their types; an inner query sees the outer ones too."""

    def __init__(self, graph: Graph, parameters: Mapping[str, Any], outer: Scope | None = None) -> None:
        self.graph = graph
        self.parameters = parameters
        self.types: dict[str, Type] = dict(outer.types) if outer else {}
        self.ordered: set[str] = set(outer.ordered) if outer else set()
        """The aliases that stand for elements of an ordered collection."""
        self.roots: list[str] = []
        """The aliases that stand for all objects of a class."""
        self.joined: list[Value] = []
        """The ends of joins that a path implies: a row where one is null is no row."""

    def path(self, path: Path) -> tuple[Type, Value]:
        """What a path stands for.

        Raises:
            HqlError: it begins or goes on with a name that means nothing.
        """
        first, rest = path.steps[0], path.steps[1:]
        if first not in self.types:
            if (only := self._only_root_with(first)) is not None:
                first, rest = only, path.steps
            elif (name := class_named(self.graph.schema, str(path))) is not None:
                return CLASS_NAME, lambda env: name
            else:
                raise HqlError(f"Unable to resolve path [{path}], unexpected token [{first}]")
        kind = self.types[first]
        value: Value = lambda env: env.get(first)  # noqa: E731
        for at, name in enumerate(rest):
            if kind.kind == "object" and at and name != "id":
                self.joined.append(value)
            kind, take = step(self.graph, kind, name)
            value = _then(value, take)
        return kind, value

    def _only_root_with(self, name: str) -> str | None:
        """The alias of the query's one root, if a bare name can be a field of it."""
        if len(self.roots) != 1:
            return None
        of = self.types[self.roots[0]].name
        known = name in {"id", "class", "details"} or self.graph.schema.field(of, name) is not None
        return self.roots[0] if known else None


def _then(value: Value, take: Callable[[Any], Any]) -> Value:
    def taken(env: Env) -> Any:
        start = value(env)
        return None if start is None else take(start)

    return taken


def is_aggregate(expression: Expression) -> bool:
    """Whether it is about many rows at once."""
    if isinstance(expression, Call) and expression.name in AGGREGATES:
        return True
    return any(is_aggregate(part) for part in parts(expression))


class Meaning:
    """Compiles the expressions of one query."""

    def __init__(self, scope: Scope, evaluation: Evaluation) -> None:
        self._scope = scope
        self._evaluation = evaluation

    def value(self, expression: Expression) -> tuple[Type, Value]:
        """What the expression is in one row.

        Raises:
            HqlError: it says what is not known.
        """
        match expression:
            case Literal(value):
                return _literal_type(value), lambda env: value
            case Parameter(name):
                return self._parameter(name)
            case Path():
                return self._scope.path(expression)
            case Binary():
                return self._binary(expression)
            case Not() | IsNull() | IsEmpty() | In() | Exists():
                return BOOL, self._truth(expression)
            case Subquery(query):
                return self._subquery(query)
            case Case():
                return self._case(expression)
            case Call():
                return self._call(expression)

    def _truth(self, expression: Not | IsNull | IsEmpty | In | Exists) -> Value:
        match expression:
            case Not(of):
                inner = self.value(of)[1]
                return lambda env: None if (said := inner(env)) is None else not said
            case IsNull(of):
                inner = self.value(of)[1]
                return lambda env: inner(env) is None
            case IsEmpty(of):
                inner = self._collection(of)
                return lambda env: not inner(env)
            case In(of, items):
                return self._in(of, items)
            case Exists(query):
                rows = self._evaluation.inner(query, self._scope)
                return lambda env: bool(rows.rows(env))

    def over_rows(self, expression: Expression) -> tuple[Type, Callable[[list[Env]], Any]]:
        """What the expression is over a group of rows."""
        if isinstance(expression, Call) and expression.name in AGGREGATES:
            return self._aggregate(expression)
        if isinstance(expression, Binary) and is_aggregate(expression):
            left_type, left = self.over_rows(expression.left)
            right_type, right = self.over_rows(expression.right)
            kind, combine = binary(expression.operator, left_type, right_type)
            return kind, lambda rows: combine(left(rows), right(rows))
        if is_aggregate(expression):
            raise HqlError(f"an aggregate inside of {type(expression).__name__.lower()} is not known")
        kind, value = self.value(expression)
        return kind, lambda rows: value(rows[0]) if rows else None

    def _parameter(self, name: str) -> tuple[Type, Value]:
        if name not in self._scope.parameters:
            raise HqlError(f"Not all named parameters have been set: [{name}]")
        bound = self._scope.parameters[name]
        return _literal_type(bound), lambda env: bound

    def _binary(self, of: Binary) -> tuple[Type, Value]:
        left_type, left = self.value(of.left)
        right_type, right = self.value(of.right)
        kind, combine = binary(of.operator, left_type, right_type)
        if of.operator == "and":
            return kind, lambda env: False if (said := left(env)) is False else combine(said, right(env))
        if of.operator == "or":
            return kind, lambda env: True if (said := left(env)) is True else combine(said, right(env))
        return kind, lambda env: combine(left(env), right(env))

    def _collection(self, path: Path) -> Value:
        kind, value = self._scope.path(path)
        if kind.kind not in {"objects", "structures"}:
            raise HqlError(f"{path} is no collection")
        return value

    def _in(self, of: Expression, items: tuple[Expression, ...] | Query) -> Value:
        left = self.value(of)[1]
        if isinstance(items, Query):
            rows = self._evaluation.inner(items, self._scope)
            return lambda env: None if (one := bare(left(env))) is None else one in rows.first_values(env)
        values = [self.value(item)[1] for item in items]
        for item in items:
            if isinstance(item, Parameter) and self._scope.parameters[item.name] == []:
                raise HqlError(f"unexpected end of subtree: the list :{item.name} is empty")

        def found(env: Env) -> bool | None:
            one = bare(left(env))
            if one is None:
                return None
            for value in values:
                among = value(env)
                if one in among if isinstance(among, (list, frozenset)) else bare(among) == one:
                    return True
            return False

        return found

    def _subquery(self, query: Query) -> tuple[Type, Value]:
        rows = self._evaluation.inner(query, self._scope)

        def single(env: Env) -> Any:
            found = rows.columns(env)
            if len(found) > 1:
                raise HqlError("more than one row returned by a subquery used as an expression")
            return found[0][0] if found else None

        return rows.types()[0], single

    def _case(self, of: Case) -> tuple[Type, Value]:
        whens = [(self.value(condition)[1], *self.value(value)) for condition, value in of.whens]
        otherwise_type, otherwise = self.value(of.otherwise)
        kind = next((kind for _, kind, _ in whens if kind is not ANY), otherwise_type)

        def chosen(env: Env) -> Any:
            for condition, _, value in whens:
                if condition(env) is True:
                    return value(env)
            return otherwise(env)

        return kind, chosen

    def _call(self, of: Call) -> tuple[Type, Value]:
        if of.name in AGGREGATES:
            raise HqlError(f"{of.name}() stands where one row is looked at")
        if of.name == "index":
            return INT, self._index(of)
        if of.name == "size":
            inner = self._collection(_only_path(of))
            return INT, lambda env: len(inner(env) or ())
        if of.name == "cast":
            to = of.arguments[1]
            assert isinstance(to, Literal)
            if to.value not in CASTS:
                raise HqlError(f"a cast to {to.value} is not known")
            return function(f"cast {CASTS[str(to.value)].name}", [self.value(of.arguments[0])])
        return function(of.name, [self.value(one) for one in of.arguments])

    def _index(self, of: Call) -> Value:
        alias = str(_only_path(of))
        if alias not in self._scope.ordered:
            raise HqlError(f"index({alias}): {alias} is not joined from an ordered collection")

        def position(env: Env) -> int | None:
            row: Row | None = env.get(alias)
            return None if row is None else row.position

        return position

    def _aggregate(self, of: Call) -> tuple[Type, Callable[[list[Env]], Any]]:
        if of.name in {"minindex", "maxindex"}:
            kind, value = INT, self._index(of)
        elif not of.arguments:
            return LONG, len
        elif len(of.arguments) == 1:
            kind, value = self.value(of.arguments[0])
        else:
            raise HqlError(f"{of.name}() takes one expression")
        result, over = aggregate(of.name, kind)

        def of_rows(rows: list[Env]) -> Any:
            values = [bare(one) for one in map(value, rows) if one is not None]
            return over(list(dict.fromkeys(values)) if of.distinct else values)

        return result, of_rows


def _only_path(of: Call) -> Path:
    if len(of.arguments) != 1 or not isinstance(of.arguments[0], Path):
        raise HqlError(f"{of.name}() takes one path")
    return of.arguments[0]


def _literal_type(value: Any) -> Type:
    for kind, type_ in ((bool, BOOL), (int, INT), (float, DOUBLE), (str, STRING)):
        if isinstance(value, kind):
            return type_
    return ANY


def bare(value: Any) -> Any:
    """An object as its id, which is how it is compared."""
    return value.id if isinstance(value, Row) else value
