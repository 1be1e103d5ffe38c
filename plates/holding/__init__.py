"""Held sources: what the person at the microscope may do to a folder while it is imported."""

from .errors import NotHeld, StagingFailed, StagingNotOurs
from .guarantees import GUARANTEES, Guarantee, HeldFile, HeldSpace, Hold, Relief, pressure, weakest
from .hold import hold, release
from .reader import HeldReader
from .space import held_bytes, held_space, let_go
from .staging import Staging, check_home, choose_staging, staging_of, sweep

__all__ = [
    "GUARANTEES",
    "Guarantee",
    "HeldFile",
    "HeldReader",
    "HeldSpace",
    "Hold",
    "NotHeld",
    "Relief",
    "Staging",
    "StagingFailed",
    "StagingNotOurs",
    "check_home",
    "choose_staging",
    "held_bytes",
    "held_space",
    "hold",
    "let_go",
    "pressure",
    "release",
    "staging_of",
    "sweep",
    "weakest",
]
