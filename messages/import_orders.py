"""What an order of an import must keep to, whoever gives it and before anybody looks at its source (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from ..config.errors import MeshError
from ..config.mail_address import check_address
from ..config.written_out import shown
from ..plates.exclusion import Exclusion
from ..plates.planners.pattern import compile_pattern
from .imports import ImportOrder

LONGEST_NAME = 255
"""Characters of a plate's, screen's, project's or dataset's name: OMERO keeps no longer ones."""
LONGEST_WORD = 1_000
"""Characters of a tag or a key."""
LONGEST_TEXT = 20_000
"""Characters of a description, a comment or a value."""
LONGEST_NAMES = 10_000_000
"""Characters of the names of files, where not all of a folder is to be imported: hundreds of thousands of files."""
LONGEST_SOURCE = 32_767
"""Characters of a path: Windows has the longest ones."""
MOST_WORDS = 1_000
"""Tags, and pairs of a key and a value."""
DEEPEST = 1_000
"""Folders below each other: no path is long enough for more."""
_SHOWN = 60


class BadOrder(MeshError, ValueError):
    """An order of an import that cannot be meant."""


def check_order(order: ImportOrder) -> None:
    """Refuse an order that can come to no good end.

    Raises:
        BadOrder: a text is too long, empty or would not show, the depth is none, what it names cannot be the path or
            the name of anything, or wishes exclude each other.
        PatternError: its pattern is not well formed, or what it excludes is nothing that could be.
        NoAddress: mail cannot be sent to where it asks for.
    """
    check_address(order.mail)
    Exclusion(order.exclude)
    _refuse_opposites(order)
    if order.pattern:
        compile_pattern(order.pattern)
    if not 0 <= order.depth <= DEEPEST:
        raise BadOrder(f"the depth is {order.depth}", hint="1 looks into the path alone, 0 into all that is below it")
    if len(order.path) > LONGEST_SOURCE:
        raise BadOrder(f"the path has {len(order.path)} characters, and none has more than {LONGEST_SOURCE}")
    if "\0" in order.path:
        raise BadOrder(f"{order.path[:_SHOWN]!r} is no path: none holds a zero byte", hint="give a path that is one")
    for name in order.only:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise BadOrder(
                f"{name[:_SHOWN]!r} is not the name of a file",
                hint="'only' names files in the folder itself",
            )
    if (n_letters := sum(map(len, order.only))) > LONGEST_NAMES:
        raise BadOrder(
            f"the {len(order.only)} names have {n_letters} characters, and no more than {LONGEST_NAMES} are kept",
            hint="hand the folder over, or fewer of its files at once",
        )
    for what, number in (("tags", len(order.tags)), ("key-values", len(order.key_values))):
        if number > MOST_WORDS:
            raise BadOrder(f"{number} {what} are more than the {MOST_WORDS} that a plate may have")
    for what, text, longest, lines in _texts(order):
        _check_text(what, text, longest, lines=lines)


def _refuse_opposites(order: ImportOrder) -> None:
    if order.pattern and order.as_files:
        raise BadOrder(
            "what is stored as files is not read, so that a pattern of their names means nothing",
            hint="give the pattern or --as-files, not both",
        )
    if order.mode == "in-place" and order.agent:
        raise BadOrder(
            "what lies on a workstation cannot be imported in place: the mesh does not see its disk",
            hint="import by upload",
        )
    if order.mode == "in-place" and order.delete_source:
        raise BadOrder(
            "what is imported in place is not deleted: the repository has nothing but links to it",
            hint="import by upload, or leave --delete-source out",
        )


def _texts(order: ImportOrder) -> Iterator[tuple[str, str, int, bool]]:
    """What people write: what it is, the text, how long it may be, and whether it may have lines."""
    for what in ("name", "screen", "project", "dataset", "group", "agent"):
        yield f"the {what}", getattr(order, what), LONGEST_NAME, False
    for what in ("description", "comment"):
        yield f"the {what}", getattr(order, what), LONGEST_TEXT, True
    for words, what in ((order.tags, "a tag"), ([key for key, _ in order.key_values], "a key")):
        for word in words:
            if not word.strip():
                raise BadOrder(f"{what} is empty", hint="leave it out, or say what it is")
            yield what, word, LONGEST_WORD, False
    for key, value in order.key_values:
        yield f"the value of {key[:_SHOWN]!r}", value, LONGEST_TEXT, True


def _check_text(what: str, text: str, longest: int, *, lines: bool) -> None:
    if len(text) > longest:
        raise BadOrder(
            f"{what} has {len(text)} characters, and no more than {longest} are kept", hint="make it shorter"
        )
    written = shown(text, lines=lines)
    if written != text:
        raise BadOrder(
            f"{what} holds characters that would not show: '{written[:_SHOWN]}'", hint="write it without them"
        )
