"""Planes in shared memory: written once, read in place."""

from .allocator import Lease, SlotAllocator
from .errors import BadPlane, PlaneTooLarge, RingError, RingFull, StaleAcknowledgement, StaleFrame
from .files import default_folder
from .layout import PlaneRef
from .reader import PlaneReader
from .ring import Reservation, Ring, RingStatistics

__all__ = [
    "BadPlane",
    "Lease",
    "PlaneReader",
    "PlaneRef",
    "PlaneTooLarge",
    "Reservation",
    "Ring",
    "RingError",
    "RingFull",
    "RingStatistics",
    "SlotAllocator",
    "StaleAcknowledgement",
    "StaleFrame",
    "default_folder",
]
