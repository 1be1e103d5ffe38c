"""What one number stands for: a small plate, who hands it over, and which faults hit its import where."""

from __future__ import annotations

import random
from typing import Any

import msgspec

KINDS = ("kill", "stop", "fill", "unmount", "corrupt", "replace", "truncate", "overwrite", "reboot")
SIDES = ("before", "after")

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

N_BYTES = 3
"""Each kind of fault hits as many random bytes of each in a round."""

PROVEN = RECORDS.index("import.verified")
STORED = RECORDS.index("import.stored")
DURING = "during"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: what happens at which point, where on the disk, and for how many points it lasts."""

    kind: str
    point: str
    side: str
    seed: int
    lasts: int = 0


class FaultSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the import branch with everything that befalls it."""

    seed: int
    sizes: tuple[int, ...]
    faults: tuple[Fault, ...]
    twice: bool = False
    """Whether the same folder is handed over a second time, by somebody else."""
    retry: bool = True
    """Whether a person takes up again what failed, once the faults are over."""

    def as_text(self) -> str:
        """Its faults, in a line."""
        told = ", ".join(f"{one.kind} {one.side} {one.point}" for one in self.faults)
        return f"{told}{'; handed over twice' if self.twice else ''}"


def combinations() -> list[tuple[str, str, str]]:
    """Every kind of fault at both sides of every record and at bytes; only what is stored can be corrupted."""
    places = [(point, side) for point in RECORDS for side in SIDES] + [(point, DURING) for point in BYTES] * N_BYTES
    found = [
        (kind, point, side)
        for kind in KINDS
        for point, side in places
        if kind != "corrupt" or point in BYTES or RECORDS.index(point) >= STORED
    ]
    # Any stretch of seeds is to hold a bit of everything.
    random.Random(1).shuffle(found)
    return found


COMBINATIONS = combinations()


def schedule(seed: int) -> FaultSchedule:
    """The schedule that a number stands for; as many in a row as there are combinations hit each of them."""
    chance = random.Random(seed)
    kind, point, side = COMBINATIONS[seed % len(COMBINATIONS)]
    faults = [_fault(chance, kind, point, side)]
    while len(faults) < 4 and chance.random() < 0.3:
        faults.append(_another(chance, faults[0]))
    sizes = [chance.randrange(9_000, 40_000) for _ in range(chance.randrange(1, 6))]
    sizes.insert(chance.randrange(len(sizes) + 1), chance.randrange(2 << 20, 3 << 20))
    return FaultSchedule(
        seed=seed, sizes=tuple(sizes), faults=tuple(faults), twice=chance.random() < 0.2, retry=chance.random() < 0.6
    )


def _another(chance: random.Random, first: Fault) -> Fault:
    """One more fault: at the very place of the first as often as at any other."""
    kind = chance.choice(KINDS)
    point, side = first.point, first.side
    if chance.random() < 0.5 or (kind == "corrupt" and point in RECORDS[:STORED]):
        point = chance.choice((*BYTES, *RECORDS[STORED if kind == "corrupt" else 0 :], *TROUBLE))
        side = DURING if point in BYTES else chance.choice(SIDES)
    return _fault(chance, kind, point, side)


def _fault(chance: random.Random, kind: str, point: str, side: str) -> Fault:
    return Fault(kind=kind, point=point, side=side, seed=chance.randrange(1 << 32), lasts=chance.randrange(1, 7))


class Going(msgspec.Struct, kw_only=True):
    """What a life of the import branch is told at its start."""

    data: str
    scope: str
    plate: str
    mail_port: int
    ada: str
    administrator: str
    keys: tuple[str, ...]
    """One order for each; asked again in each life."""
    transfer_byte: int = -1
    verify_byte: int = -1
    bug: str = ""


class Report(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a life says to the world around it, and then waits for the answer."""

    point: str
    side: str = ""
    of: str = ""
    facts: dict[str, Any] = {}


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a schedule."""

    seed: int
    faults: str
    hit: list[tuple[str, str, str]] = []
    missed: list[str] = []
    violations: list[str] = []
    ends: dict[str, str] = {}
    """How each import ended: state and reason."""
    mails: list[tuple[str, str]] = []
    """Every mail that must have come: Message-ID and address."""
    n_open_kills: int = 0
    """Deaths in the middle of a delivery: for each of them one mail may have come twice."""
    n_certified: int = 0
    n_lives: int = 0
    took_s: float = 0.0
    diary: list[str] = []
