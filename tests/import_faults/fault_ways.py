"""The ways on which an import comes in, and which faults can hit each of them where."""

from __future__ import annotations

import random
from typing import NamedTuple

KINDS = ("kill", "stop", "fill", "unmount", "corrupt", "replace", "truncate", "overwrite", "reboot")
AT_AGENT = ("kill agent", "stop agent", "cut link")
WRITE_ON = "write on"
"""Somebody goes on writing to the source, as an acquisition that had only paused."""
CHANGES = ("replace", "truncate", "overwrite")
SIDES = ("before", "after")
DURING = "during"

RECORDS = (
    "import.accepted",
    "import.entered.settling",
    "import.settled",
    "import.entered.held",
    "import.held",
    "import.entered.registered",
    "import.entered.transferring",
    "import.stored",
    "import.entered.verifying",
    "import.verified",
    "import.entered.importing",
    "import.entered.annotating",
    "import.certified",
    "import.finished",
    "notice.posted",
    "import.told",
    "notice.delivered",
)
"""The journal records of an import that goes well; every phase boundary is one."""

TROUBLE = ("import.returned", "import.failed", "import.stumbled", "import.retried")
"""Those that only a fault leads to: a second one may hit there."""

BYTES = ("transfer byte", "verify byte")
"""Random bytes: between two reads of a source, or of what was stored."""

N_BYTES = 2
"""Each kind of fault hits as many random bytes of each in a round."""

WRITTEN_ON = tuple(
    record for record in RECORDS[1 : RECORDS.index("import.certified")] if record != "import.entered.held"
)
"""Where that begins of its own; by chance it does anywhere."""

STORED = RECORDS.index("import.stored")
CERTIFIED = RECORDS.index("import.certified")

DELETED = "import.source_deleted"
BETWEEN_DELETIONS = "deleted file"
WATCHED = ("watch.handing over", "watch.handed over")

UPLOAD, IN_PLACE, DELETING, AGENT, WATCH = WAYS = ("upload", "in place", "delete source", "agent", "watch")

TURNS = (UPLOAD, AGENT, UPLOAD, IN_PLACE, UPLOAD, WATCH, UPLOAD, DELETING)
"""Whose turn it is: what each of them has of its own is beside that."""


class Combination(NamedTuple):
    """A kind of fault at a place; ``way`` where the place or the kind is found on no other."""

    kind: str
    point: str
    side: str
    way: str = ""


def is_possible(way: str, kind: str, point: str) -> bool:
    """Whether a way has such a place, and there is something there that the fault could hit."""
    if point in RECORDS:
        n = RECORDS.index(point)
        if way == IN_PLACE and point == "import.held":
            return False
        if kind == "corrupt":
            # Only what is stored can be corrupted, and of what stays in place nothing is.
            return way != IN_PLACE and n >= STORED
        # What has been deleted cannot be changed.
        return not (way == DELETING and kind in CHANGES and n > CERTIFIED)
    return not (way == IN_PLACE and kind == "corrupt")


def combinations() -> list[Combination]:
    """Every kind of fault at both sides of every record and at bytes, and what each way has of its own beside that."""
    places = [(point, side) for point in RECORDS for side in SIDES] + [(point, DURING) for point in BYTES] * N_BYTES
    found = [
        Combination(kind, point, side) for kind in KINDS for point, side in places if is_possible(UPLOAD, kind, point)
    ]
    # Of these each has a third of the places, so that a round is not longer than it must be; the others come by chance.
    for n, point in enumerate((*RECORDS, "transfer byte", "transfer byte")):
        side = SIDES[n // 2 % 2] if point in RECORDS else DURING
        found += [Combination(kind, point, side, AGENT) for k, kind in enumerate(AT_AGENT) if n % 3 == k]
        found += [Combination("touch", point, side, WATCH)] if n % 3 == 1 else []
    found += [Combination(WRITE_ON, point, SIDES[n % 2], UPLOAD) for n, point in enumerate(WRITTEN_ON)]
    found += [Combination(WRITE_ON, point, DURING, UPLOAD) for point in BYTES]
    for side in SIDES:
        found += [Combination(kind, DELETED, side, DELETING) for kind in KINDS if (kind not in CHANGES)]
        for point in WATCHED:
            found += [Combination(kind, point, side, WATCH) for kind in ("kill", "fill", "unmount", "truncate")]
    deleted = ("kill", "fill", "unmount", "reboot", "replace", "overwrite")
    found += [Combination(kind, BETWEEN_DELETIONS, DURING, DELETING) for kind in deleted]
    # Any stretch of seeds is to hold a bit of everything.
    random.Random(1).shuffle(found)
    return found


COMBINATIONS = combinations()


def kinds_of(way: str) -> tuple[str, ...]:
    """What may befall an import on this way."""
    return KINDS + {UPLOAD: (WRITE_ON,), AGENT: AT_AGENT, WATCH: ("touch",)}.get(way, ())


def records_of(way: str) -> tuple[str, ...]:
    """The records of an import that goes well on this way."""
    return RECORDS + {DELETING: (DELETED,), WATCH: WATCHED}.get(way, ())


def way_of(seed: int) -> str:
    """On which way the import of a schedule comes: after as many rounds as there are turns each was at each place."""
    n_round, n = divmod(seed, len(COMBINATIONS))
    kind, point, _, way = COMBINATIONS[n]
    if way:
        return way
    way = TURNS[(n + n_round) % len(TURNS)]
    return way if is_possible(way, kind, point) else UPLOAD
