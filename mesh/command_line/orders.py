"""Orders for imports as people write them: the options of the command line, and lists with a line for each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..config.errors import MeshError
from ..config.mail_address import is_address
from ..config.written_out import shown
from ..messages.import_orders import check_order
from ..messages.imports import ImportOrder
from .errors import CommandFailed

TEXTS = ("name", "pattern", "screen", "project", "dataset", "group", "description", "comment")
FLAGS = {"as-files": "as_files", "ended": "ended", "force": "forced", "delete-source": "delete_source"}
COLUMNS = (
    *("path", "plate", *TEXTS, "tag", "key-value", "mail", "mode", "priority", "depth", "exclude"),
    *FLAGS,
    *("agent", "for"),
)
MODES = ("upload", "in-place")
PRIORITIES = ("low", "normal", "high")
YES = ("yes", "true", "1", "x")
NO = ("no", "false", "0")
MAX_SHOWN = 20
"""Errors of a list that are told at once."""


class WrongOrder(ValueError):
    """An option that cannot be meant, in words for its line or its command."""


class Wish(NamedTuple):
    """An order, and whom the import is for; ``place`` is where it was written."""

    order: ImportOrder
    on_behalf_of: str = ""
    place: str = ""


def checked_mail(text: str) -> str:
    """A mail address.

    Raises:
        WrongOrder: it is none.
    """
    if text and not is_address(text):
        raise WrongOrder(f"'{shown(text)}' is no mail address, such as ada@example.org")
    return text


def key_values_of(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of ``K=V`` each.

    Raises:
        WrongOrder: one is no pair.
    """
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise WrongOrder(f"'{shown(text)}' is no key and value, such as cells=HeLa")
        pairs.append((key.strip(), value.strip()))
    return tuple(pairs)


def single_name(name: str, plate: str) -> str:
    """The name that ``--name`` or ``--plate`` gives, which mean the same.

    Raises:
        WrongOrder: they differ.
    """
    if name and plate and name != plate:
        raise WrongOrder(f"name and plate mean the same, and are '{shown(name)}' and '{shown(plate)}'")
    return name or plate


def placed(order: ImportOrder, path: str, folder: Path) -> ImportOrder:
    """The order for a path, which is taken from ``folder`` on; on a workstation it means what it means there.

    Raises:
        WrongOrder: there is no path.
    """
    if not path:
        raise WrongOrder("it names no path")
    # No disk is asked, and no link followed: the mesh may see another disk than this host does.
    return msgspec.structs.replace(order, path=path if order.agent else str((folder / path).absolute()))


def unseen(order: ImportOrder) -> str:
    """Nothing: nobody has looked whether there is anything at an order's path."""
    return ""


def read_list(file: Path, usual: Wish, *, absence: Callable[[ImportOrder], str] = unseen) -> tuple[Wish, ...]:
    """The orders of a list: columns apart by tabs, named in its first line; ``usual`` fills what a line leaves empty.

    ``absence`` says of an order that there is nothing at its path, if so.

    Raises:
        CommandFailed: the list cannot be read, or a line cannot be meant; every such line is named.
    """
    try:
        # As spreadsheets write it: with a mark at the beginning, and quotes around what holds a tab.
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"{file} is not text in UTF-8: {error.reason} at byte {error.start}",
            hint="save the list as text in UTF-8, with tabs between the columns",
        ) from error
    except OSError as error:
        raise CommandFailed(
            f"the list {file} cannot be read: {error.strerror}", hint="name a list that exists and that you may read"
        ) from error
    wishes: list[Wish] = []
    wrong: list[str] = []
    first: dict[tuple[str, str], str] = {}
    for place, cells in _lines(file, text):
        try:
            wish = _wish(cells, usual, file.absolute().parent, place, absence)
        except WrongOrder as error:
            wrong.append(f"{place}: {error}")
            continue
        source = wish.order.agent, wish.order.path
        if source in first and not wish.order.forced:
            wrong.append(f"{place}: {shown(wish.order.path)} is in {first[source]} already")
        first.setdefault(source, place)
        wishes.append(wish)
    if wrong:
        more = [f"... and {len(wrong) - MAX_SHOWN} more"] if len(wrong) > MAX_SHOWN else []
        raise CommandFailed(
            "\n".join([*wrong[:MAX_SHOWN], *more]),
            hint="nothing was handed over; mend these lines and give the list again",
        )
    if not wishes:
        raise CommandFailed(
            f"the list {file} names no path", hint=f"its first line names the columns: {', '.join(COLUMNS)}"
        )
    return tuple(wishes)


def _lines(file: Path, text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each line that holds something, by its columns, with its place.

    Raises:
        CommandFailed: the columns are wrong, or the quotes of a line do not end.
    """
    reader = csv.reader(text.splitlines(keepends=True), dialect="excel-tab", strict=True)
    columns: list[str] = []
    try:
        for line in reader:
            place = f"{file.name} line {reader.line_num}"
            cells = [cell.strip() for cell in line]
            if not any(cells):
                continue
            if not columns:
                columns = _columns(cells, place)
                continue
            if len(cells) > len(columns) and any(cells[len(columns) :]):
                raise CommandFailed(
                    f"{place} has {len(cells)} columns, and {len(columns)} are named",
                    hint="the first line names the columns; they are apart by one tab each",
                )
            yield place, {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    except csv.Error as error:
        raise CommandFailed(
            f"{file.name} line {reader.line_num}: {error}", hint="a quote that is opened must be closed"
        ) from error


def _columns(cells: list[str], place: str) -> list[str]:
    names = [cell.lower().removeprefix("--").replace("_", "-") for cell in cells]
    unknown = [shown(name) for name in names if name not in COLUMNS]
    twice = sorted({name for name in names if names.count(name) > 1})
    problem = (
        f"no column may be called {', '.join(map(repr, unknown))}"
        if unknown
        else f"the column {', '.join(twice)} is there twice"
        if twice
        else "" if "path" in names else "no column is called path"
    )  # fmt: skip
    if problem:
        raise CommandFailed(f"{place}: {problem}", hint=f"columns are apart by tabs, and are: {', '.join(COLUMNS)}")
    return names


def _wish(
    cells: Mapping[str, str], usual: Wish, folder: Path, place: str, absence: Callable[[ImportOrder], str]
) -> Wish:
    changes: dict[str, object] = {}
    wrong: list[str] = []
    for column, cell in cells.items():
        try:
            changes |= _change(column, cell, cells)
        except WrongOrder as error:
            wrong.append(str(error))
    order = msgspec.structs.replace(usual.order, **changes)
    try:
        order = placed(order, cells.get("path", ""), folder)
    except WrongOrder as error:
        wrong.append(str(error))
    else:
        # Where the cell that names a workstation is wrong, the path is none of this host's.
        absent = "" if "agent" in cells and "agent" not in changes else absence(order)
        wrong += [absent] if absent else []
    try:
        check_order(order)
    except MeshError as error:
        wrong.append(shown(str(error)))
    if wrong:
        # All of them: who mends one after the other hands the list over as often.
        raise WrongOrder("; ".join(wrong))
    return Wish(order, cells.get("for", usual.on_behalf_of), place)


def _change(column: str, cell: str, cells: Mapping[str, str]) -> dict[str, object]:
    """What a cell changes in an order."""
    if shown(cell) != cell:
        raise WrongOrder(f"{column} holds control characters: '{shown(cell)}'")
    if column == "plate":
        return {"name": single_name(cells.get("name", ""), cell)}
    if column in READ:
        name, read = READ[column]
        return {name: read(cell)}
    if column in FLAGS:
        return {FLAGS[column]: _yes(column, cell)}
    return {column: cell} if column in (*TEXTS, "agent") else {}


def _several(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _depth(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit()):
        raise WrongOrder(f"depth is '{shown(cell)}', and must be a number of folders, or 0 for all")
    return int(cell)


def _yes(column: str, cell: str) -> bool:
    return _one_of(column, cell.lower(), (*YES, *NO)) in YES


def _one_of(column: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise WrongOrder(f"{column} is '{shown(value)}', and must be one of {', '.join(allowed)}")
    return value


READ: dict[str, tuple[str, Callable[[str], object]]] = {
    "tag": ("tags", _several),
    "exclude": ("exclude", _several),
    "key-value": ("key_values", lambda cell: key_values_of(_several(cell))),
    "mail": ("mail", checked_mail),
    "mode": ("mode", lambda cell: _one_of("mode", cell, MODES)),
    "priority": ("priority", lambda cell: _one_of("priority", cell, PRIORITIES)),
    "depth": ("depth", _depth),
}
"""The columns that hold more than text: what of an order each is, and how a cell is read."""
