"""The ends of logs and journals, as whoever looks inside wants to read them."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

from ...config.written_out import shown
from ...messages.console import JournalLine, LogLine, LogTail
from ...supervisors.journal import show
from .errors import LogUnreadable

PIECE_BYTES = 256 << 10
LONGEST_LOOK_BYTES = 8 << 20
"""How far back a log is searched for the lines of one actor."""
MAX_LINES = 2_000
MAX_TEXT = 4_000
TURNED_OVER = ".1"
_NOT_FIELDS = ("event", "timestamp", "level", "logger", "actor", "exception")


def read_logs(logs: tuple[tuple[Path, str], ...], *, n_lines: int, since: int = -1) -> LogTail:
    """The last lines of an actor's own log, with what others say of it between; after ``since`` the first of its own.

    Raises:
        LogUnreadable: a file cannot be read.
    """
    own = read_log(*logs[0], n_lines=n_lines, since=since)
    if since >= 0:
        return own
    others = [line for file, picked in logs[1:] for line in read_log(file, picked, n_lines=n_lines).lines]
    lines = sorted((*own.lines, *others), key=lambda line: line.at) if others else own.lines
    return LogTail(lines=tuple(lines[-n_lines:]), end=own.end)


def read_log(file: Path, picked: str, *, n_lines: int, since: int = -1) -> LogTail:
    """The last lines of a log that concern ``picked``, or all of them; the first ones after byte ``since``, if given.

    ``end`` of what is returned is the byte behind the last line that was looked at, to go on from.

    Raises:
        LogUnreadable: the file cannot be read.
    """
    n_lines = max(1, min(n_lines, MAX_LINES))
    try:
        return _read_end(file, picked, n_lines, since)
    except FileNotFoundError:
        return LogTail(lines=(), end=0)
    except OSError as error:
        raise LogUnreadable(f"cannot read the log {file}: {error.strerror}", hint="who owns it?") from error


def turned_over(file: Path) -> Path:
    """Where the lines before those of a log are, since it was turned over."""
    return file.with_name(file.name + TURNED_OVER)


def _read_end(file: Path, picked: str, n_lines: int, since: int) -> LogTail:
    with file.open("rb") as log:
        end = log.seek(0, 2)
        if since > end:
            # The file was turned over meanwhile: the rest of the one before, then what is in the new one.
            before = read_log(turned_over(file), picked, n_lines=n_lines, since=since)
            if len(before.lines) == n_lines:
                return before
            after = _read_on(log, picked, n_lines - len(before.lines), 0, end)
            return LogTail(lines=(*before.lines, *after.lines), end=after.end)
        if since >= 0:
            return _read_on(log, picked, n_lines, since, end)
        look = PIECE_BYTES
        while True:
            start = max(0, end - look)
            whole = _whole_lines(log, start, end)
            lines = whole.splitlines()[1 if start else 0 :]
            kept = deque((told for one in lines if (told := _told(one, picked)) is not None), n_lines)
            if len(kept) >= n_lines or not start or look >= LONGEST_LOOK_BYTES:
                earlier: tuple[LogLine, ...] = ()
                if not start and len(kept) < n_lines and file.suffix != TURNED_OVER:
                    earlier = read_log(turned_over(file), picked, n_lines=n_lines - len(kept)).lines
                return LogTail(lines=(*earlier, *kept), end=start + len(whole))
            look *= 4


def _read_on(log: BinaryIO, picked: str, n_lines: int, since: int, end: int) -> LogTail:
    """The first lines behind a byte: who follows and stood still comes back for the rest, and misses none."""
    told: list[LogLine] = []
    for line in _whole_lines(log, since, min(end, since + LONGEST_LOOK_BYTES)).splitlines(keepends=True):
        if len(told) == n_lines:
            break
        since += len(line)
        if (one := _told(line, picked)) is not None:
            told.append(one)
    return LogTail(lines=tuple(told), end=since)


def _whole_lines(log: BinaryIO, start: int, end: int) -> bytes:
    log.seek(start)
    text = log.read(end - start)
    return text[: text.rfind(b"\n") + 1]


def read_journal(folder: Path, *, n_records: int) -> tuple[JournalLine, ...]:
    """The last records of a journal.

    Raises:
        JournalDamaged: something that was durable is missing or changed.
    """
    last: deque[dict[str, Any]] = deque(show(folder), max(1, min(n_records, MAX_LINES)))
    return tuple(
        JournalLine(
            sequence=entry["sequence"],
            tag=entry["tag"],
            text=json.dumps(entry["record"], ensure_ascii=False, default=_bytes_told)[:MAX_TEXT],
        )
        for entry in last
    )


def _told(line: bytes, picked: str) -> LogLine | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None if picked else LogLine(text=line.decode("utf-8", "replace")[:MAX_TEXT])
    if not isinstance(entry, dict):
        return None
    if picked and picked not in (entry.get("actor"), entry.get("child"), entry.get("supervisor")):
        return None
    fields = " ".join(shown(f"{name}={value}") for name, value in entry.items() if name not in _NOT_FIELDS)
    text = f"{entry.get('event', '')}  {fields}".rstrip()
    if "exception" in entry:
        text += f"\n{entry['exception']}"
    return LogLine(
        at=str(entry.get("timestamp", "")),
        level=str(entry.get("level", "")),
        source=str(entry.get("actor") or entry.get("logger", "")),
        text=text[:MAX_TEXT],
    )


def _bytes_told(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
