"""What one number stands for: a small plate, who hands it over, and which faults hit its import where."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from fault_ways import (
    AGENT,
    BYTES,
    COMBINATIONS,
    DELETING,
    DURING,
    SIDES,
    TROUBLE,
    UPLOAD,
    WATCH,
    is_possible,
    kinds_of,
    records_of,
    way_of,
)


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
    way: str = UPLOAD
    """On which way the import comes in."""
    twice: bool = False
    """Whether the same folder is handed over a second time, by somebody else."""
    retry: bool = True
    """Whether a person takes up again what failed, once the faults are over."""
    deletes: bool = False
    """Whether the source is to be deleted once it is certified."""
    may_delete: str = "always"
    """Whether it may be: "always", "never", or until the first death ("withdrawn")."""
    second: bool = False
    """Whether another plate comes into the watched folder, while nobody watches if there is a death."""
    sentinel: bool = False
    """Whether a file tells that the watched folder is mounted."""

    def as_text(self) -> str:
        """Its faults, in a line."""
        told = ", ".join(f"{one.kind} {one.side} {one.point}" for one in self.faults)
        notes = [self.way, *(["handed over twice"] if self.twice else []), *(["two plates"] if self.second else [])]
        if self.deletes and (self.way == AGENT or self.may_delete != "always"):
            notes.append(f"deletes its source, allowed: {self.may_delete}")
        return f"{told}; {', '.join(notes)}"


def schedule(seed: int) -> FaultSchedule:
    """The schedule that a number stands for; as many in a row as there are combinations hit each of them."""
    chance = random.Random(seed)
    kind, point, side, _ = COMBINATIONS[seed % len(COMBINATIONS)]
    way = way_of(seed)
    faults = [_fault(chance, kind, point, side)]
    while len(faults) < 4 and chance.random() < 0.3:
        faults.append(_another(chance, faults[0], way))
    sizes = [chance.randrange(9_000, 40_000) for _ in range(chance.randrange(1, 6))]
    sizes.insert(chance.randrange(len(sizes) + 1), chance.randrange(2 << 20, 3 << 20))
    twice, retry = chance.random() < 0.2, chance.random() < 0.6
    deletes = way == DELETING or (way == AGENT and chance.random() < 0.25)
    if deletes and not point.startswith(("import.source", "deleted")):
        may_delete = chance.choice(("always", "always", "always", "withdrawn", "withdrawn", "never"))
    else:
        may_delete = "always"
    return FaultSchedule(
        seed=seed,
        sizes=tuple(sizes),
        faults=tuple(faults),
        way=way,
        # Who watches hands over by himself, and nobody else does.
        twice=twice and way != WATCH,
        retry=retry,
        deletes=deletes,
        may_delete=may_delete,
        second=way == WATCH and chance.random() < 0.5,
        sentinel=way == WATCH and chance.random() < 0.5,
    )


def _another(chance: random.Random, first: Fault, way: str) -> Fault:
    """One more fault: at the very place of the first as often as at any other."""
    kind = chance.choice([kind for kind in kinds_of(way) if is_possible(way, kind, "")])
    point, side = first.point, first.side
    if chance.random() < 0.5 or not is_possible(way, kind, point):
        records = [record for record in records_of(way) if is_possible(way, kind, record)]
        point = chance.choice((*BYTES, *records, *TROUBLE))
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
    way: str = UPLOAD
    deletes: bool = False
    may_delete: bool = True
    """Whether the mesh may delete what is imported from here, in this life."""
    sentinel: str = ""
    front: str = ""
    """The folder of the sockets at which a workstation is heard."""
    ring: str = ""
    keys_of_mesh: tuple[str, str] = ("", "")
    transfer_byte: int = -1
    verify_byte: int = -1
    deleted_file: int = -1
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
    way: str = UPLOAD
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
