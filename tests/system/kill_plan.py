"""Which process dies when: every kind at both sides of every record and in the middle of what follows it."""

from __future__ import annotations

import random

from mesh_that_dies import Kill

from hcs_mesh.messages.imports import IMPORT_PHASES

KINDS = ("hub", "inspector", "executor", "recorder")
SIDES = ("before", "after", "during")

IMPORT_POINTS = (
    "import.accepted",
    "import.entered.settling",
    "import.settled",
    *(f"import.entered.{phase}" for phase in IMPORT_PHASES[2:5]),
    "import.stored",
    *(f"import.entered.{phase}" for phase in IMPORT_PHASES[5:8]),
    "import.finished",
)
JOB_POINTS = ("job.submitted", "job.attempted", "job.kept", "job.ended")
POINTS = (*IMPORT_POINTS, *JOB_POINTS)

LONGEST_DELAY_S = 0.03
"""About as long as a phase of the small plate takes, or a well."""


def plan(seed: int, *, n_sweeps: int = 1, n_pairs: int = 6) -> list[Kill]:
    """Every point, side and kind ``n_sweeps`` times in an order of the seed's, then pairs that die together."""
    chance = random.Random(seed)
    places = [(point, side) for point in POINTS for side in SIDES]
    combinations = [(point, side, (kind,)) for _ in range(n_sweeps) for point, side in places for kind in KINDS]
    # An executor that dies over a well is what makes this record.
    combinations += [("job.attempted", "during", ("executor",)) for _ in range(4 * n_sweeps)]
    combinations += [
        ("job.faulted", side, (kind,)) for _ in range(n_sweeps) for side in ("before", "after") for kind in KINDS[:3]
    ]
    chance.shuffle(combinations)
    for _ in range(n_pairs * n_sweeps):
        point, side = chance.choice(places)
        first, second = chance.sample(KINDS, 2)
        combinations.append((point, side, (first, second)))
    return [
        Kill(number, point, side, kinds, chance.uniform(0.0, LONGEST_DELAY_S) if side == "during" else 0.0)
        for number, (point, side, kinds) in enumerate(combinations)
    ]


def plan_at_omero(seed: int) -> list[Kill]:
    """The server dies once at every point, on one side after the other, and at every third the hub with it."""
    chance = random.Random(seed)
    kills = [
        (point, SIDES[number % len(SIDES)], ("server",) if number % 3 else ("server", "hub"))
        for number, point in enumerate(POINTS)
    ]
    chance.shuffle(kills)
    return [
        Kill(number, point, side, kinds, chance.uniform(0.0, LONGEST_DELAY_S) if side == "during" else 0.0)
        for number, (point, side, kinds) in enumerate(kills)
    ]
