"""What must survive is written before it is done."""

from .disk import DISK, Disk, Hand
from .errors import (
    CheckpointSuperseded,
    JournalClosed,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalInUse,
    JournalPoisoned,
    NetworkFileSystem,
    RecordRefused,
    RecordTooLarge,
)
from .inspect import check, show
from .journal import SEGMENT_BYTES, Journal, JournalStatistics
from .recovery import Recovery, TornTail

__all__ = [
    "DISK",
    "SEGMENT_BYTES",
    "CheckpointSuperseded",
    "Disk",
    "Hand",
    "Journal",
    "JournalClosed",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalInUse",
    "JournalPoisoned",
    "JournalStatistics",
    "NetworkFileSystem",
    "RecordRefused",
    "RecordTooLarge",
    "Recovery",
    "TornTail",
    "check",
    "show",
]
