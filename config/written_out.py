"""Text that somebody chose, safe to show: what a terminal would obey is written out (pure)."""

from __future__ import annotations

import re

# What moves the cursor, changes colours or turns the writing round, and bytes of a path that are no text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str, *, lines: bool = False) -> str:
    """Text that somebody chose, with what a terminal would obey written out; ``lines`` keeps line ends."""
    return _UNPRINTABLE.sub(lambda found: "\n" if lines and found[0] == "\n" else _written_out(found[0]), text)


def _written_out(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
