"""How many restarts a supervisor grants before it gives up, as OTP counts them (pure)."""

from collections import deque

from msgspec import Struct


class RestartIntensity(Struct, frozen=True):
    """More than ``max_restarts`` within ``window_s`` seconds is giving up."""

    max_restarts: int = 3
    window_s: float = 5.0


def grant(restarts_s: deque[float], intensity: RestartIntensity, now_s: float) -> bool:
    """Enter a restart wanted at ``now_s`` and say whether it is still within the intensity."""
    restarts_s.append(now_s)
    while now_s - restarts_s[0] > intensity.window_s:
        restarts_s.popleft()
    return len(restarts_s) <= intensity.max_restarts
