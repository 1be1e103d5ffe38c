"""How long to wait before a restart (pure)."""

from msgspec import Struct

from .intensity import RestartIntensity


class Backoff(Struct, frozen=True):
    """Waits ``first_s``, then ``factor`` times as long for each further failure in a row."""

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5
    """The share of the delay that chance may take away, 0 to 1."""


def delay_s(backoff: Backoff, attempt: int, intensity: RestartIntensity, chance: float) -> float:
    """Return the wait before restart number ``attempt`` in a row; ``chance`` is from [0, 1).

    The wait is capped at half of the window's share of one restart. Without that cap a child that
    dies at once would, as its delays grow, fail too rarely for the window to notice, and would be
    restarted for ever. Whoever wants longer delays widens the window.
    """
    if attempt < 1:
        return 0.0
    longest_s = min(backoff.max_s, intensity.window_s / (2 * (intensity.max_restarts + 1)))
    # The exponent is bounded, since a float overflows beyond 2 ** 1023.
    full_s = min(longest_s, backoff.first_s * backoff.factor ** min(attempt - 1, 64))
    return full_s * (1.0 - backoff.jitter * chance)
