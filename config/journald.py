"""What systemd's journal wants of a log: a priority before each line, and no time, which it keeps itself."""

from __future__ import annotations

import logging
import os
from typing import TextIO

PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""The priorities of syslog from a level on; below all of them it is 7, debug."""


def is_journal(stream: TextIO) -> bool:
    """Whether a stream leads to the journal: JOURNAL_STREAM names it by its device and inode."""
    told = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        # A stream without a descriptor is none that systemd has opened.
        return False
    return told == f"{found.st_dev}:{found.st_ino}"


class JournalLines(logging.Formatter):
    """Puts the priority of an entry before each of its lines: a traceback's lines are as grave as its first."""

    def __init__(self, within: logging.Formatter) -> None:
        super().__init__()
        self._within = within

    def format(self, record: logging.LogRecord) -> str:
        """An entry as the journal takes it."""
        priority = next((number for level, number in PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in self._within.format(record).splitlines() if line)
