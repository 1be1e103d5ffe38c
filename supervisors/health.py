"""Tells a busy process from a hung one by its heartbeats (pure)."""

from enum import StrEnum

from msgspec import Struct


class Health(StrEnum):
    """What the heartbeats say."""

    ALIVE = "alive"
    BUSY = "busy"
    """The main loop answers, though its work has been long."""
    HUNG = "hung"
    """The main loop has been silent for longer than the limit."""


class HealthLimits(Struct, frozen=True):
    """When silence is hanging, and when work counts as long."""

    silence_s: float = 10.0
    busy_after_s: float = 1.0
    look_every_s: float = 1.0


class HeartWatch:
    """Judges one process; the clock is an argument throughout."""

    def __init__(self, limits: HealthLimits, now_s: float) -> None:
        self._limits = limits
        self._beat_s = now_s
        self._look_s = now_s
        self._forgiven_s = 0.0
        self._state = ""
        self._state_since_s = now_s

    def beat(self, now_s: float, state: str) -> None:
        """Take a heartbeat; ``state`` is "idle" or names the work at hand."""
        if state != self._state:
            self._state, self._state_since_s = state, now_s
        self._beat_s = max(self._beat_s, now_s)
        self._forgiven_s = 0.0

    def look(self, now_s: float) -> Health:
        """Say how the process is, given that we look every ``look_every_s``.

        Time in which we ourselves did not get to look (a suspended machine, a blocked loop) is
        forgiven: beats may have come and lie unread, so it is no evidence of silence.
        """
        self._forgiven_s += max(0.0, now_s - self._look_s - 2 * self._limits.look_every_s)
        self._look_s = now_s
        if now_s - self._beat_s - self._forgiven_s > self._limits.silence_s:
            return Health.HUNG
        if self.is_working and now_s - self._state_since_s > self._limits.busy_after_s:
            return Health.BUSY
        return Health.ALIVE

    @property
    def is_working(self) -> bool:
        """Whether the last beat spoke of work."""
        return self._state not in ("", "idle")

    def silence_s(self, now_s: float) -> float:
        """Return the time since the last beat."""
        return now_s - self._beat_s
