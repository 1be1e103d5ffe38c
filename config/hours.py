"""When a guest may come: hours of the day, and days on which they begin (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from .errors import ConfigError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_DAY_MINUTES = 24 * 60


class Span(NamedTuple):
    """From this minute of the day, for so many minutes: over midnight too."""

    start: int
    n_minutes: int


class Hours:
    """A weekly timetable in local time; of no spans, always open."""

    def __init__(self, spans: Sequence[Span] = (), weekdays: Sequence[str] = ()) -> None:
        self._spans = tuple(spans) or ((Span(0, _DAY_MINUTES),) if weekdays else ())
        self._days = frozenset(WEEKDAYS.index(day) for day in weekdays) or frozenset(range(7))

    @property
    def always_open(self) -> bool:
        """Whether there is no moment at which sources may not be read."""
        return not self._spans

    def is_open(self, now: datetime) -> bool:
        """Whether sources may be read now."""
        if not self._spans:
            return True
        return any(opens <= now < closes for opens, closes in self._openings(now))

    def opens_at(self, now: datetime) -> datetime:
        """The next moment from which sources may be read; now itself if they may."""
        if self.is_open(now):
            return now
        return min(opens for opens, _ in self._openings(now) if opens > now)

    def why(self, now: datetime) -> str:
        """Why an import waits, for people; empty when it need not."""
        if self.is_open(now):
            return ""
        opens = self.opens_at(now)
        day = "" if opens.date() == now.date() else f" on {WEEKDAYS[opens.weekday()].capitalize()}"
        return f"sources are read again from {opens:%H:%M}{day} on, as guest.hours says"

    def open_s(self, since: datetime, until: datetime) -> float:
        """For how many seconds of this time sources could be read."""
        if not self._spans:
            return max(0.0, (until - since).total_seconds())
        total_s, at = 0.0, since
        while at < until:
            at = self.opens_at(at)
            closes = max((closes for opens, closes in self._openings(at) if opens <= at < closes), default=until)
            if at < until:
                total_s += (min(closes, until) - at).total_seconds()
                at = closes
        return total_s

    def _openings(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """What opens from yesterday, which may reach into today, until a week from now."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        found: list[tuple[datetime, datetime]] = []
        for n in range(-1, 8):
            day = midnight + timedelta(days=n)
            if day.weekday() in self._days:
                for span in self._spans:
                    opens = day + timedelta(minutes=span.start)
                    found.append((opens, opens + timedelta(minutes=span.n_minutes)))
        return found


def _ends_in_a_day(hour: int, minute: int) -> bool:
    return (hour <= 23 and minute <= 59) or (hour, minute) == (24, 0)


def parse_hours(text: str, weekdays: Sequence[str] = ()) -> Hours:
    """Read "18:00-07:00, 12:00-13:00"; an end before the beginning is meant for the next day.

    Raises:
        ConfigError: it is not written so, or a day has no such name.
    """
    spans: list[Span] = []
    for part in text.split(",") if text.strip() else ():
        found = _SPAN.fullmatch(part)
        minutes = [int(number) for number in found.groups()] if found else []
        if not minutes or minutes[0] > 23 or minutes[1] > 59 or not _ends_in_a_day(*minutes[2:]):
            raise ConfigError(
                f"guest.hours: {part.strip()!r} is no span of hours.",
                hint='Write it as "18:00-07:00", more than one separated by commas.',
            )
        start, end = minutes[0] * 60 + minutes[1], minutes[2] * 60 + minutes[3]
        spans.append(Span(start, (end - start) % _DAY_MINUTES or _DAY_MINUTES))
    unknown = [day for day in weekdays if day not in WEEKDAYS]
    if unknown:
        raise ConfigError(f"guest.weekdays: {unknown[0]!r} is none of {', '.join(WEEKDAYS)}.")
    return Hours(spans, weekdays)
