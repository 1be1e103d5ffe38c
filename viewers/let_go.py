"""Up to which number of its stream a viewer holds nothing any more (pure)."""

from __future__ import annotations

MOST_BEYOND = 10_000
"""So many numbers beyond a missing one: it does not come any more."""


class LetGo:
    """Numbers go in as they are let go of, in any order; out comes the one up to which all of them are."""

    def __init__(self) -> None:
        self.through = 0
        self._beyond: set[int] = set()

    @property
    def has_lost_one(self) -> bool:
        """Whether a number is missing for good, so that what comes after it can never be counted."""
        return len(self._beyond) > MOST_BEYOND

    def note(self, sequence: int) -> None:
        """Nothing of this number is held any more."""
        # What comes over the data channel may overtake what was sent before there was one: that is still to be held.
        self._beyond.add(sequence)
        while self.through + 1 in self._beyond:
            self.through += 1
            self._beyond.remove(self.through)
