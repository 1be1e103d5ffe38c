"""A pattern of names, matched in time that grows with the path and the pattern, whatever stands in both (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

MAX_CHARACTERS = 1_000
"""Of a pattern."""

_Ends = list[int]
"""For each place in a text, where what begins there ends; -1 where it does not fit with what comes behind."""


class NamePattern:
    """Pieces that a path is made of from a folder's start on: (name, "") or ("", literal).

    Where several ways fit, the first name has its way: words are short, numbers and wells long.
    """

    def __init__(self, pieces: Sequence[tuple[str, str]]) -> None:
        """Match these pieces; the names are those in ``NAMES``."""
        self._pieces = tuple(pieces)
        self._n_folders = sum(literal.count("/") for _, literal in pieces)
        self._last = pieces[-1][1] if pieces else ""

    def match(self, path: str) -> dict[str, str] | None:
        """What each name stands for in this path; None if it does not match."""
        if not path.endswith(self._last):
            return None
        # No name holds a '/': so many of them as the pattern has are the tail that it is about.
        start = len(path)
        for _ in range(self._n_folders + 1):
            if start < 0:
                return None
            start = path.rfind("/", 0, start)
        if "\n" in path[: start + 1]:
            return None
        text = path[start + 1 :]
        # From behind: each piece knows then what may follow, and nothing is tried twice. A regular expression would
        # try every length of every '{_}' with every length of the others.
        fits: _Ends = [-1] * len(text) + [len(text)]
        ends: list[_Ends] = []
        for name, literal in reversed(self._pieces):
            fits = NAMES[name](text, fits) if name else _literal(literal, text, fits)
            ends.append(fits)
        return self._found(text, ends[::-1])

    def _found(self, text: str, ends: Sequence[_Ends]) -> dict[str, str] | None:
        found: dict[str, str] = {}
        at = 0
        for (name, _), end in zip(self._pieces, ends, strict=True):
            begins, at = at, end[at]
            if at < 0:
                return None
            if name and name != "_":
                found[name] = text[begins:at]
        return found


def _literal(literal: str, text: str, fits: _Ends) -> _Ends:
    ends = [-1] * len(fits)
    at = text.find(literal)
    while at >= 0:
        if fits[at + len(literal)] >= 0:
            ends[at] = at + len(literal)
        at = text.find(literal, at + 1)
    return ends


def _anything(text: str, fits: _Ends) -> _Ends:
    """As short as can be, down to nothing."""
    ends = [-1] * len(fits)
    nearest = -1
    for at in range(len(text), -1, -1):
        if fits[at] >= 0:
            nearest = at
        elif at < len(text) and text[at] == "/":
            nearest = -1
        ends[at] = nearest
    return ends


def _word(text: str, fits: _Ends) -> _Ends:
    """As short as can be, and not nothing."""
    behind = _anything(text, fits)
    return [behind[at + 1] if one != "/" else -1 for at, one in enumerate(text)] + [-1]


def _number(text: str, fits: _Ends) -> _Ends:
    """As long as can be."""
    ends = [-1] * len(fits)
    farthest = -1
    for at in range(len(text) - 1, -1, -1):
        if text[at] not in "0123456789":
            farthest = -1
            continue
        if farthest < 0 and fits[at + 1] >= 0:
            farthest = at + 1
        ends[at] = farthest
    return ends


def _one_of(*shapes: str) -> Callable[[str, _Ends], _Ends]:
    """The first of these shapes that fits."""
    compiled = [re.compile(shape, re.ASCII) for shape in shapes]

    def ends_of(text: str, fits: _Ends) -> _Ends:
        ends = [-1] * len(fits)
        for at in range(len(text)):
            for shape in compiled:
                found = shape.match(text, at)
                if found is not None and fits[found.end()] >= 0:
                    ends[at] = found.end()
                    break
        return ends

    return ends_of


NAMES: dict[str, Callable[[str, _Ends], _Ends]] = {
    "well": _one_of(r"[A-Za-z]{2}\d\d", r"[A-Za-z]{2}\d", r"[A-Za-z]\d\d", r"[A-Za-z]\d"),
    "row": _one_of(r"[A-Za-z]{2}", r"[A-Za-z]", r"\d\d", r"\d"),
    "column": _one_of(r"\d\d", r"\d"),
    "field": _number,
    "channel": _word,
    "z": _number,
    "t": _number,
    "plate": _word,
    "_": _anything,
}
"""What a pattern may name."""
