"""The operators and functions of HQL, with SQL's three truths: true, false, unknown (pure)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from omero_server.graph import Row
from omero_server.hql_tokens import HqlError
from omero_server.hql_types import ANY, BOOL, CLASS_NAME, DOUBLE, INT, LONG, STRING, Type

AGGREGATES = frozenset({"count", "sum", "max", "min", "avg", "minindex", "maxindex"})
NUMBERS = ("RInt", "RLong", "RTime", "RFloat", "RDouble")
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left // right if isinstance(left, int) and isinstance(right, int) else left / right,
}
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}
BITS = {"RInt": 32, "RLong": 64}
_Environment = Any


class OutOfRange(Exception):
    """A number is larger than its type, in which PostgreSQL computes; it fails the query, whatever row it is in."""


def binary(sign: str, left: Type, right: Type) -> tuple[Type, Callable[[Any, Any], Any]]:
    """What an operator gives between two types, and how.

    Raises:
        HqlError: not between these.
    """
    if sign in {"and", "or"}:
        for side in (left, right):
            if side not in (BOOL, ANY):
                raise HqlError(f"{sign!r} stands between conditions, not a {side.name or side.kind}")
        return BOOL, _and if sign == "and" else _or
    if sign == "like":
        return BOOL, _known(lambda text, pattern: _like(str(text), pattern))
    if sign == "||":
        return STRING, _known(lambda one, other: f"{one}{other}")
    if sign in ARITHMETIC:
        kind = _wider(sign, left, right)
        return kind, _known(_in_range(ARITHMETIC[sign], kind))
    if sign in ORDERED:
        for side in (left, right):
            if side.kind in {"objects", "structures"}:
                raise HqlError(f"a collection cannot be compared with {sign!r}")
        return BOOL, _compared(ORDERED[sign])
    raise HqlError(f"the operator {sign!r} is not known")


def _wider(sign: str, left: Type, right: Type) -> Type:
    for side in (left, right):
        if side is not ANY and side.name not in NUMBERS:
            raise HqlError(f"{sign!r} stands between numbers, not a {side.name or side.kind}")
    ranks = [NUMBERS.index(side.name) for side in (left, right) if side is not ANY]
    return Type("value", NUMBERS[max(ranks)]) if ranks else ANY


def _in_range(combine: Callable[[Any, Any], Any], kind: Type) -> Callable[[Any, Any], Any]:
    bits = BITS.get(kind.name)
    if bits is None:
        return combine

    def bounded(left: Any, right: Any) -> Any:
        value = combine(left, right)
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise OutOfRange(f"{'integer' if bits == 32 else 'bigint'} out of range")
        return value

    return bounded


def _known(combine: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: None if left is None or right is None else combine(left, right)


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def compared(left: Any, right: Any) -> bool | None:
        left, right = _bare(left), _bare(right)
        if left is None or right is None:
            return None
        if isinstance(left, list) or isinstance(right, list):
            raise HqlError("a list is compared with 'in'")
        try:
            return compare(left, right)
        except TypeError:
            raise HqlError(f"{left!r} and {right!r} cannot be compared") from None

    return compared


def _bare(value: Any) -> Any:
    return value.id if isinstance(value, Row) else value


def _and(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def _like(text: str, pattern: str) -> bool:
    expression = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def aggregate(name: str, of: Type) -> tuple[Type, Callable[[list[Any]], Any]]:
    """What an aggregate gives over values that are not null, and how."""
    if name == "count":
        return LONG, len
    if name == "avg":
        return DOUBLE, lambda values: sum(values) / len(values) if values else None
    if name == "sum":
        kind = DOUBLE if of.name in {"RFloat", "RDouble"} else LONG
        return kind, lambda values: sum(values) if values else None
    pick: Callable[[list[Any]], Any] = min if name in {"min", "minindex"} else max
    return LONG if of.kind == "object" else of, lambda values: pick(values) if values else None


def function(
    name: str, of: list[tuple[Type, Callable[[_Environment], Any]]]
) -> tuple[Type, Callable[[_Environment], Any]]:
    """What a function gives of its arguments, and how.

    Raises:
        HqlError: it is not known, or not with so many arguments.
    """
    values = [value for _, value in of]
    if name == "coalesce":
        kind = next((kind for kind, _ in of if kind is not ANY), ANY)
        return kind, lambda env: next((one for value in values if (one := value(env)) is not None), None)
    if name == "concat":
        return STRING, _null_if_any(values, lambda *texts: "".join(map(str, texts)))
    if name == "nullif" and len(of) == 2:
        return of[0][0], lambda env: None if (one := values[0](env)) == values[1](env) else one
    if name == "substring" and len(of) in {2, 3}:
        return STRING, _null_if_any(values, lambda text, first, n=None: text[first - 1 :][:n])
    if name in ONE_ARGUMENT and len(of) == 1:
        kind, apply = ONE_ARGUMENT[name]
        return kind or of[0][0], _null_if_any(values, apply)
    raise HqlError(f"{name}() of {len(of)} arguments is not known")


def _null_if_any(values: list[Callable[[Any], Any]], apply: Callable[..., Any]) -> Callable[[Any], Any]:
    def applied(env: Any) -> Any:
        given = [value(env) for value in values]
        return None if any(one is None for one in given) else apply(*given)

    return applied


ONE_ARGUMENT: dict[str, tuple[Type | None, Callable[[Any], Any]]] = {
    "lower": (STRING, str.lower),
    "upper": (STRING, str.upper),
    "trim": (STRING, str.strip),
    "length": (INT, len),
    "abs": (None, abs),
    "str": (STRING, str),
    "type": (CLASS_NAME, lambda row: row.of),
    "cast RInt": (INT, int),
    "cast RLong": (LONG, int),
    "cast RDouble": (DOUBLE, float),
    "cast RString": (STRING, str),
}
