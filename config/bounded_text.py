"""What is told of failures, no longer than stated whatever it repeats of what somebody said (pure)."""

from __future__ import annotations

import traceback

LONGEST_TOLD = 16_000
"""Characters of what a failure says, and of one value in a line of a log: every error of a long pipeline fits."""
LONGEST_TRACEBACK = 16_000
"""Characters of a traceback."""
LONGEST_KEPT = 4_000
"""Characters of what is kept of a failure: an actor's last error, what its supervisor tells of its end."""
_HOW_MUCH = 48
"""What it takes to say how much is left out."""


def cut(text: str, longest: int) -> str:
    """Of more than ``longest`` characters the beginning and the end."""
    if len(text) <= longest:
        return text
    tail = longest // 4
    head = longest - _HOW_MUCH - tail
    return f"{text[:head]}… ({len(text) - head - tail} characters left out) …{text[-tail:]}"


def bounded(text: str, longest: int) -> str:
    """The same, and it can travel."""
    text = cut(text, longest)
    try:
        text.encode()
    except UnicodeEncodeError:
        # The bytes of a path that are no text: written out they take more room, and may have to be cut again.
        return bounded(text.encode(errors="backslashreplace").decode(), longest)
    return text


def told(error: BaseException, longest: int = LONGEST_KEPT) -> str:
    """An exception in words, its kind first."""
    return bounded(f"{type(error).__name__}: {error}", longest)


def traced(error: BaseException) -> str:
    """An exception's traceback; what one of a chain repeats does not take the others' place."""
    lines = [bounded(line, LONGEST_KEPT) for line in traceback.format_exception(error)]
    return bounded("".join(lines), LONGEST_TRACEBACK)
