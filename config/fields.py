"""The settings one by one: their dotted keys, types, values, and what each expects in words (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

import msgspec

from .section import Section
from .settings import Settings


@cache
def field_types() -> Mapping[str, Any]:
    """The type of every setting under its dotted key, in the order in which they are written down."""
    types: dict[str, Any] = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        if isinstance(hint, type) and issubclass(hint, Section):
            types.update({f"{name}.{field}": kind for field, kind in get_type_hints(hint, include_extras=True).items()})
        else:
            types[name] = hint
    return MappingProxyType(types)


def flatten(settings: Settings) -> dict[str, object]:
    """Every setting's value under its dotted key."""
    flat: dict[str, object] = {}
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, Section):
            flat.update({f"{name}.{field}": getattr(value, field) for field in value.__struct_fields__})
        else:
            flat[name] = value
    return flat


def expectation(kind: Any) -> str:
    """A type in words: "a whole number from 1 to 64535", "one of "auto", "off"".

    Raises:
        TypeError: When a setting has a type for which there are no words here.
    """
    return _words(msgspec.inspect.type_info(kind))


def _words(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_words(member) for member in types)
        case msgspec.inspect.LiteralType(values=values):
            quoted = ", ".join(f'"{value}"' for value in values)
            return quoted if len(values) == 1 else f"one of {quoted}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.IntType(ge=low, le=high):
            return "a whole number" + _bounds(low, high, None)
        case msgspec.inspect.FloatType(ge=low, le=high, gt=above):
            return "a number" + _bounds(low, high, above)
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"a list, each {_words(item)}"
        case msgspec.inspect.StructType(fields=fields):
            return "a table of " + ", ".join(field.name for field in fields)
        case _:
            raise TypeError(f"no words for a setting of {info!r}")


def _bounds(low: float | None, high: float | None, above: float | None) -> str:
    if above is not None:
        return f" above {above:.12g}" + (f" and at most {high:.12g}" if high is not None else "")
    if low is not None and high is not None:
        return f" from {low:.12g} to {high:.12g}"
    if low is not None:
        return f" of at least {low:.12g}"
    return f" of at most {high:.12g}" if high is not None else ""
