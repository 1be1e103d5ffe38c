"""Text that somebody chose, safe to show: what a terminal or a mail would obey is written out (pure)."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"


def shown(text: str, *, lines: bool = False) -> str:
    """Text that somebody chose, in one line and with what would not show written out; ``lines`` keeps line ends.

    Written out is what moves a cursor, changes colours, begins a line or turns the writing round, what is invisible,
    and the bytes of a path that are no text. Spaces of every width and the joiners that some scripts need stay.
    """
    if text.isprintable():
        return text
    return "".join(one if _shows(one) or (lines and one == "\n") else _written_out(one) for one in text)


def plain(text: str) -> str:
    """Text that another program chose, such as a server's answer of many lines, as one line that obeys nobody."""
    return " ".join("".join(one if _shows(one) else " " for one in text).split())


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _written_out(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
