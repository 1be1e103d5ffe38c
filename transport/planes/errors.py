"""What can go wrong with planes in shared memory."""

from ...config.errors import MeshError


class RingError(MeshError, OSError):
    """The ring cannot be made or opened."""


class RingFull(RingError, BlockingIOError):
    """Every slot is held: a consumer must acknowledge or be gone before the next plane can be placed."""


class PlaneTooLarge(RingError, ValueError):
    """The plane does not fit a slot, or is larger than its viewer takes."""


class BadPlane(RingError, ValueError):
    """The array or the reference is not a plane that a ring can hold."""


class StaleFrame(RingError, LookupError):
    """The slot holds another plane by now: what was read must not be used."""


class StaleAcknowledgement(RingError, LookupError):
    """Who acknowledges does not hold that plane: it was acknowledged before, or the slot was used again."""
