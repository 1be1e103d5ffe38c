"""What a command prints: JSON for machines on standard output, text and progress for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from .screen import Screen

WIDE = 160
"""Columns where nobody's screen says how many: a log or a pipe is not folded at 80."""


def print_json(value: object) -> None:
    """Print one JSON value, readable where a person looks at it."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json_text(value, indent=indent) + "\n")
    sys.stdout.flush()


def json_text(value: object, *, indent: int | None = None) -> str:
    """One JSON value as text; what no encoding can write, such as a path that is no text, is escaped."""
    told = json.dumps(value, ensure_ascii=False, indent=indent)
    if told.isascii():
        return told
    from ..config.written_out import shown

    return told if shown(told, lines=True) == told else json.dumps(value, indent=indent)


def console(*, stderr: bool = False) -> Screen:
    """The terminal, or whatever stands for it; colours and folding only where it is one; it obeys no name."""
    from .screen import Screen

    stream = sys.stderr if stderr else sys.stdout
    return Screen(file=stream, highlight=False, width=None if stream.isatty() else WIDE)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """An empty table with these columns; those in ``right`` hold numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    numbers = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def row(target: Table, *cells: object) -> None:
    """Add a line; text that somebody chose is never read as markup."""
    from rich.text import Text

    from ..config.written_out import shown

    target.add_row(*(cell if isinstance(cell, Text) else Text(shown(str(cell))) for cell in cells))


def state_text(state: str) -> Any:
    """A state in the colour of its meaning."""
    from rich.text import Text

    good, bad = ("done", "running", "up"), ("failed", "quarantined", "dead", "missing")
    style = "green" if state in good else "red" if state in bad else "yellow"
    return Text(state, style=style)


def counted(n: int, what: str) -> str:
    """So many of something: 1 file, 2 files."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def named_of(n_named: int, n: int) -> str:
    """How many of ``n`` things a list names: all of them, or so many."""
    return "them all" if n_named >= n else f"{n_named} of them"


def bytes_text(n_bytes: int) -> str:
    """A number of bytes as people say it."""
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def moment_text(unix_s: float) -> str:
    """A moment in the time of this computer; empty where there is none."""
    from datetime import datetime

    return datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M:%S") if unix_s else ""
