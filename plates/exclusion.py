"""Exclusion: which files of a source a person wants left out, by glob patterns on their relative paths (pure)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from .errors import PatternError

MAX_CHARACTERS = 3 * 4_096
"""A pattern is no longer than the longest path, of which each character may stand in brackets."""

MAX_ANY_FOLDERS = 16
"""``**`` in one pattern."""

MAX_PATTERNS = 1_000
"""Patterns of one source: every one of its files is held against all of them."""

_HINT = "For example '*_thumb*', 'Evaluation1' or 'plate 7/**/*.csv'; '*' stays inside one folder's name."


class Exclusion:
    """Patterns of what is left out: without '/' a name at any depth, with it a path from the source's folder.

    A leading './' makes a path of a name: './Index.xml' is the one right in the source's folder.
    ``*``, ``?`` and ``[...]`` stand for what they do in a shell and stay inside one name; ``**`` stands for any
    folders. Whatever lies in a folder that matches is left out with it. Upper and lower case differ.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Read the patterns.

        Raises:
            PatternError: one is empty, absolute, too long, or leads out of the source; or there are too many.
        """
        patterns = tuple(patterns)
        if len(patterns) > MAX_PATTERNS:
            raise PatternError(f"{len(patterns)} patterns are more than the {MAX_PATTERNS} that exclude", hint=_HINT)
        self._names: list[str] = []
        self._paths: list[tuple[str, ...]] = []
        for pattern in patterns:
            if len(pattern) > MAX_CHARACTERS:
                raise PatternError(
                    f"'{pattern[:40]}...' has {len(pattern)} characters, and a pattern no more than {MAX_CHARACTERS}",
                    hint=_HINT,
                )
            parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
            if not parts or pattern.startswith("/") or ".." in parts:
                raise PatternError(f"'{pattern}' excludes nothing of a source", hint=_HINT)
            if parts.count("**") > MAX_ANY_FOLDERS:
                raise PatternError(
                    f"'{pattern[:40]}' has {parts.count('**')} '**', and a pattern no more than {MAX_ANY_FOLDERS}",
                    hint=_HINT,
                )
            if len(parts) == 1 and not pattern.startswith("./"):
                self._names.append(parts[0])
            else:
                # Two of them in a row mean no more than one.
                self._paths.append(tuple(p for i, p in enumerate(parts) if p != "**" or parts[i - 1 : i] != ("**",)))

    def __contains__(self, path: object) -> bool:
        """Whether this file or folder is left out, itself or by a folder that it lies in."""
        if not isinstance(path, str) or not (self._names or self._paths):
            return False
        parts = path.split("/")
        if any(fnmatchcase(part, name) for name in self._names for part in parts):
            return True
        return any(_leads_to(parts, pattern) for pattern in self._paths)


def pattern_of(path: str) -> str:
    """The pattern that leaves out this path and nothing beside it; what a terminal would obey is a '?' in it."""
    escaped = re.sub(r"[*?[]", r"[\g<0>]", path)
    pattern = "".join(one if one.isprintable() else "?" for one in escaped)
    return pattern if "/" in pattern else f"./{pattern}"


def how_to_leave_out(path: str) -> str:
    """What to add to the command so that this path alone stays behind, as a hint."""
    return f"To import the rest without it, add --exclude {shlex.quote(pattern_of(path))}"


def _leads_to(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the path, or a folder above it, is what a pattern says.

    All places in the pattern are followed at once: tried one after the other, each ``**`` would multiply the work.
    """
    places = _reached({0}, pattern) - {len(pattern)}
    for part in parts:
        stays = {at for at in places if pattern[at] == "**"}
        matching = {name for name in {pattern[at] for at in places - stays} if fnmatchcase(part, name)}
        steps = {at + 1 for at in places - stays if pattern[at] in matching}
        places = _reached(stays | steps, pattern)
        if len(pattern) in places:
            return True
        if not places:
            return False
    return False


def _reached(places: set[int], pattern: Sequence[str]) -> set[int]:
    """The places with those behind a ``**``, which stands for no folder as well."""
    return places | {at + 1 for at in places if at < len(pattern) and pattern[at] == "**"}
