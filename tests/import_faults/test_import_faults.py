"""Kills, stops, full disks, lost mounts and changing files at every step of an import, and what holds afterwards."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from fault_bugs import PLANTED
from fault_schedules import Outcome
from fault_session import Players, again, as_lines, unhit
from fault_ways import COMBINATIONS

N_SCHEDULES = len(COMBINATIONS)
"""In ``make test``: each kind of fault at both sides of every record, and at random bytes."""
N_SLOW = 5_000
N_TO_FIND = 40
"""Schedules within which every planted bug must be found."""

N_MORE_ROUNDS = 4

pytestmark = pytest.mark.needs("root")


def bad(outcomes: list[Outcome]) -> list[str]:
    """How to see each schedule again that violated something."""
    return [f"{again(one)}: {one.faults}: {'; '.join(one.violations)}" for one in outcomes if one.violations]


async def played(seeds: range) -> list[Outcome]:
    async with Players() as players:
        outcomes = await players.play_all(seeds)
        for _ in range(N_MORE_ROUNDS):
            outcomes += await players.play_all(unhit(outcomes))
        return outcomes


@pytest.mark.timeout(1800)
def test_an_import_is_complete_or_failed_with_a_reason_whatever_hits_it_where(tell: Callable[[str], None]) -> None:
    outcomes = asyncio.run(played(range(N_SCHEDULES)))
    for line in as_lines(outcomes):
        tell(line)
    assert not bad(outcomes)
    assert len(outcomes) >= 300
    assert not unhit(outcomes)


@pytest.mark.timeout(900)
def test_every_planted_bug_is_found(tell: Callable[[str], None]) -> None:
    async def look() -> dict[str, tuple[int, Outcome | None]]:
        async with Players() as players:
            searches = [players.find(bug, PLANTED[bug].seeds(N_TO_FIND)) for bug in PLANTED]
            return dict(zip(PLANTED, await asyncio.gather(*searches), strict=True))

    found = asyncio.run(look())
    for bug, (n, outcome) in found.items():
        if outcome is not None:
            tell(f"import faults: {bug}: found by schedule {n}: {outcome.violations[0][:100]}")
    assert not [bug for bug, (_, outcome) in found.items() if outcome is None]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_an_import_outlives_thousands_of_schedules(tell: Callable[[str], None]) -> None:
    first = secrets.randbelow(1 << 31)
    tell(f"import faults: seeds from {first}")
    outcomes = asyncio.run(played(range(first, first + N_SLOW)))
    for line in as_lines(outcomes):
        tell(line)
    assert not bad(outcomes)
    assert len(outcomes) >= N_SLOW
