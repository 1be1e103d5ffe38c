"""Settings written as TOML, so that what a mesh runs with can be read, kept and given back (pure)."""

from __future__ import annotations

import json

import msgspec

from .fields import flatten
from .section import Section
from .settings import LoadedSettings


def to_toml(loaded: LoadedSettings) -> str:
    """Write every setting with the place that decided it; the text loads to the same settings."""
    lines: list[str] = []
    section = ""
    values = flatten(loaded.settings)
    tables = {key: value for key, value in values.items() if isinstance(value, tuple) and _are_tables(value)}
    for key in tables:
        del values[key]
    # TOML gives every key after a table's header to that table: those that belong to none come first.
    for key in sorted(values, key=lambda key: "." in key):
        table, _, name = key.rpartition(".")
        if table != section:
            lines += ["", f"[{table}]"]
            section = table
        lines.append(f"{name} = {_literal(values[key])}  # {loaded.origins.get(key, '')}".rstrip(" #"))
    for key, value in tables.items():
        for one in value:
            lines += ["", f"[[{key}]]  # {loaded.origins.get(key, '')}".rstrip(" #")]
            lines += [f"{name} = {_literal(item)}" for name, item in msgspec.structs.asdict(one).items()]
    return "\n".join(lines) + "\n"


def _are_tables(value: tuple[object, ...]) -> bool:
    return bool(value) and all(isinstance(one, Section) for one in value)


def _literal(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    # JSON's text, numbers and booleans are TOML's as well, as long as no surrogate pairs are made.
    return json.dumps(value, ensure_ascii=False)
