"""Exclusion: which files of a source a person wants left out, by glob patterns on their relative paths (pure)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from .errors import PatternError

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
            PatternError: one is empty, absolute, or leads out of the source.
        """
        self._names: list[str] = []
        self._paths: list[tuple[str, ...]] = []
        for pattern in patterns:
            parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
            if not parts or pattern.startswith("/") or ".." in parts:
                raise PatternError(f"'{pattern}' excludes nothing of a source", hint=_HINT)
            if len(parts) == 1 and not pattern.startswith("./"):
                self._names.append(parts[0])
            else:
                # Two of them in a row mean no more than one, and cost a power more.
                self._paths.append(tuple(p for i, p in enumerate(parts) if p != "**" or parts[i - 1 : i] != ("**",)))

    def __contains__(self, path: object) -> bool:
        """Whether this file or folder is left out, itself or by a folder that it lies in."""
        if not isinstance(path, str) or not (self._names or self._paths):
            return False
        parts = path.split("/")
        if any(fnmatchcase(part, name) for name in self._names for part in parts):
            return True
        above = [parts[:n] for n in range(1, len(parts) + 1)] if self._paths else []
        return any(_matches(each, pattern) for pattern in self._paths for each in above)


def pattern_of(path: str) -> str:
    """The pattern that leaves out this path and nothing beside it; what a terminal would obey is a '?' in it."""
    escaped = re.sub(r"[*?[]", r"[\g<0>]", path)
    pattern = "".join(one if one.isprintable() else "?" for one in escaped)
    return pattern if "/" in pattern else f"./{pattern}"


def how_to_leave_out(path: str) -> str:
    """What to add to the command so that this path alone stays behind, as a hint."""
    return f"To import the rest without it, add --exclude {shlex.quote(pattern_of(path))}"


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
