"""One job of which nothing is left to do: its line of the list, and its status, packed (pure)."""

from __future__ import annotations

import zlib

import msgspec

from ...messages.compute import JobStatus, JobSummary
from .job_records import Summary

LEVEL = 1
"""How hard a status is packed: harder takes eight times as long, and 384 wells become hardly smaller."""


class EndedJob:
    """What is still told of a job: a plate of 384 wells is 1.3 MB as objects, and some 25 kB packed."""

    def __init__(self, summary: Summary) -> None:
        """Keep what ``summary`` holds."""
        if summary.listed is None:
            # Of a journal from before statuses were packed.
            summary = summed_up(msgspec.msgpack.decode(summary.status, type=JobStatus), summary.key, summary.at_unix_s)
        assert summary.listed is not None
        self.summary = summary
        self.listed: JobSummary = summary.listed

    @property
    def ended_at_unix_s(self) -> float:
        """When it ended."""
        return self.summary.at_unix_s

    def status(self) -> JobStatus:
        """How it ended, with its wells."""
        return msgspec.msgpack.decode(zlib.decompress(self.summary.packed), type=JobStatus)


def summed_up(status: JobStatus, key: str, at_unix_s: float) -> Summary:
    """An ended job as the book and the journal keep it."""
    packed = zlib.compress(msgspec.msgpack.encode(status), LEVEL)
    return Summary(job=status.job, at_unix_s=at_unix_s, key=key, packed=packed, listed=status.listed())
