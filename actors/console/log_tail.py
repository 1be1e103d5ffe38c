"""The ends of logs and journals, as whoever looks inside wants to read them."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

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
    """The last lines of an actor's own log, with what others say of it in between; after ``since``, of its own alone.

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
    """The last lines of a log that concern ``picked``, or all of them; after byte ``since``, if that is not negative.

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
    before: tuple[LogLine, ...] = ()
    with file.open("rb") as log:
        end = log.seek(0, 2)
        if since > end:
            # The file was turned over meanwhile: the rest of the one before, then what is in the new one.
            before = read_log(turned_over(file), picked, n_lines=n_lines, since=since).lines
            since = 0
        look = PIECE_BYTES
        while True:
            start = since if since >= 0 else max(0, end - look)
            log.seek(start)
            text = log.read(end - start)
            whole = text[: text.rfind(b"\n") + 1]
            lines = whole.splitlines()[1 if since < 0 and start else 0 :]
            kept = deque((told for one in lines if (told := _told(one, picked)) is not None), n_lines)
            if len(kept) >= n_lines or not start or since >= 0 or look >= LONGEST_LOOK_BYTES:
                if since < 0 and not start and len(kept) < n_lines and file.suffix != TURNED_OVER:
                    before = read_log(turned_over(file), picked, n_lines=n_lines - len(kept)).lines
                return LogTail(lines=(*before, *kept)[-n_lines:], end=start + len(whole))
            look *= 4


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
