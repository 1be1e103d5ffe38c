"""What a function accepts beside its inputs: names, types, bounds and legal values (pure)."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from .errors import BadFunction

Value: TypeAlias = bool | int | float | str | None
"""What a pipeline may say about a parameter: literals only."""

LARGEST_INT = 2**53
LONGEST_TEXT = 1000
REQUIRED: Any = object()
"""Stands where a parameter has no default."""


@dataclass(frozen=True)
class Between:
    """Bounds of a number, both included."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class ColumnOf:
    """Marks a text parameter that names a column of the table given as this input."""

    table: str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a registered function, as read from its signature."""

    name: str
    types: tuple[type, ...]
    choices: tuple[Value, ...] = ()
    bounds: Between | None = None
    column_of: str | None = None
    default: Any = REQUIRED

    def accept(self, value: object) -> Value:
        """Return the value in its canonical type: a whole number becomes a float where a float is wanted.

        Raises:
            ValueError: the value has the wrong type, lies outside the bounds, or is none of the legal ones.
        """
        if isinstance(value, (str, bool, int, type(None))) and any(
            value == choice and type(value) is type(choice) for choice in self.choices
        ):
            return value
        for wanted in self.types:
            if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
                return self._bounded(float(value) if abs(value) <= LARGEST_INT else value)
            if type(value) is wanted and isinstance(value, (bool, int, str, type(None))):
                return self._bounded(value)
        near = suggestion(value, self.choices) if isinstance(value, str) else ""
        raise ValueError(f"{self.name} must be {self.legal()}, not {shown(value)}{near}")

    def legal(self) -> str:
        """Say in words what is accepted."""
        words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
        parts = [words[one] for one in self.types] + [repr(choice) for choice in self.choices]
        text = " or ".join(parts)
        return f"{text} {self.bounds}" if self.bounds is not None else text

    def _bounded(self, value: Value) -> Value:
        if isinstance(value, str):
            if not value or len(value) > LONGEST_TEXT or not value.isprintable():
                raise ValueError(f"{self.name} must be 1 to {LONGEST_TEXT} printable characters, not {shown(value)}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if not math.isfinite(value) or abs(value) > LARGEST_INT:
                raise ValueError(f"{self.name} must be a number below 2**53, not {shown(value)}")
            if self.bounds is not None and not self.bounds.low <= value <= self.bounds.high:
                raise ValueError(f"{self.name} must be {self.bounds}, not {value}")
            if value == 0:
                return type(value)(0)  # -0.0 would be written back as another text
        return value


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Read one parameter's declaration.

    Raises:
        BadFunction: the annotation is not made of bool, int, float, str, None and Literal.
    """
    marks: list[Any] = []
    alternatives = list(_alternatives(annotation, marks))
    bounds = next((mark for mark in marks if isinstance(mark, Between)), None)
    column_of = next((mark.table for mark in marks if isinstance(mark, ColumnOf)), None)
    wanted: list[type] = []
    choices: list[Value] = []
    for alternative in alternatives:
        if get_origin(alternative) is Literal:
            choices.extend(get_args(alternative))
        elif alternative in (bool, int, float, str, type(None), None):
            wanted.append(type(None) if alternative is None else alternative)
        else:
            raise BadFunction(
                f"parameter {name} is declared as {annotation!r}",
                hint="use bool, int, float, str, None, Literal and Annotated[..., Between(low, high)]",
            )
    declared = Parameter(name, tuple(wanted), tuple(choices), bounds, column_of)
    if default is REQUIRED:
        return declared
    try:
        return Parameter(name, tuple(wanted), tuple(choices), bounds, column_of, declared.accept(default))
    except ValueError as wrong:
        raise BadFunction(f"the default of parameter {name} is not legal: {wrong}") from wrong


def _alternatives(annotation: Any, marks: list[Any]) -> Iterator[Any]:
    """Yield what a declaration allows, gathering the marks around it."""
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        marks.extend(more)
    if get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _alternatives(one, marks)
    else:
        yield annotation


def shown(value: object) -> str:
    """Write a value short enough for one line."""
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        return "a whole number beyond 2**53"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(name: object, known: Iterable[object]) -> str:
    """Return the known name that was probably meant, or nothing."""
    by_folded = {str(one).casefold(): str(one) for one in known}
    near = get_close_matches(str(name)[:100].casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[near[0]] if near else ""


def suggestion(name: object, known: Iterable[object]) -> str:
    """Return ': did you mean "x"?' when a known name is near, else nothing."""
    meant = nearest(name, known)
    return f': did you mean "{meant}"?' if meant else ""
