"""What a table of the settings is made of, and how far its numbers go (pure)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# Every number ends somewhere: TOML can write inf and nan, with which nothing can be reckoned, and a slip of the
# keyboard makes a million threads. The bounds lie far beyond whatever is of use.
YEAR_S = 366 * 86_400
CENTURY_DAYS = 36_525
EXBIBYTE_GIB = 2**30
TEBIBYTE = 2**40

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
"""Things that are kept."""
Times = Annotated[int, Meta(ge=1, le=100_000)]
"""How often something is done."""
AtOnce = Annotated[int, Meta(ge=1, le=1_024)]
"""What goes on at the same time."""
Seconds = Annotated[float, Meta(gt=0, le=YEAR_S)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=YEAR_S)]
Days = Annotated[float, Meta(gt=0, le=CENTURY_DAYS)]
Gibibytes = Annotated[float, Meta(ge=0, le=EXBIBYTE_GIB)]
MebibytesPerSecond = Annotated[float, Meta(ge=0, le=TEBIBYTE // 2**20)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the settings file."""
