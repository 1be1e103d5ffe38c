"""Held sources: what the person at the microscope may do to a folder while it is imported."""

from .errors import NotHeld, StagingFailed, StagingNotOurs
from .guarantees import GUARANTEES, Guarantee, HeldFile, HeldSpace, Hold, Relief, Swept, pressure, weakest
from .hold import hold, release
from .own_name import homes_of, is_of_the_original, staging_of
from .reader import HeldReader
from .since_held import NeedsReading, changed_since_held, look_only
from .space import held_bytes, held_space, let_go, n_unwritten_only, unwritten_only
from .staging import Staging, check_home, choose_staging, sweep

__all__ = [
    "GUARANTEES",
    "Guarantee",
    "HeldFile",
    "HeldReader",
    "HeldSpace",
    "Hold",
    "NeedsReading",
    "NotHeld",
    "Relief",
    "Staging",
    "StagingFailed",
    "StagingNotOurs",
    "Swept",
    "changed_since_held",
    "check_home",
    "choose_staging",
    "held_bytes",
    "held_space",
    "hold",
    "homes_of",
    "is_of_the_original",
    "let_go",
    "look_only",
    "n_unwritten_only",
    "pressure",
    "release",
    "staging_of",
    "sweep",
    "unwritten_only",
    "weakest",
]
