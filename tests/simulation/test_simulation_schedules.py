"""Thousands of short schedules of faults: every invariant holds, and each planted bug is found."""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from planted_bugs import PLANTED, planted
from simulate import SCENARIOS, first_violation, player
from virtual_world import run_schedule

N_SCHEDULES = 100
"""Of each scenario in ``make test``; ``make test-all`` and ``make simulate`` play thousands."""
N_TO_FIND = 600
"""Schedules within which every planted bug must be found."""
N_SLOW = 6000

# Beside others on two cores; alone the whole file takes half a minute.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def nobody_else() -> Iterator[None]:
    """A log that says nothing of thousands of planned failures, and no garbage but the schedules' own."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_invariant_holds_under_every_schedule(scenario: str) -> None:
    n, found = first_violation(range(N_SCHEDULES), scenario=scenario)
    assert found is None, f"make simulate SEED={found.seed} ARGS='--scenario {scenario}': {found.violation}"
    assert n == N_SCHEDULES


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, tell: Callable[[str], None]) -> None:
    fault = PLANTED[bug]
    with planted(fault):
        n, found = first_violation(range(N_TO_FIND), scenario=fault.scenario, saying=fault.must_say)
    assert found is not None, f"{n} schedules did not find it"
    tell(f"simulation: {bug}: found by schedule {n}: {found.violation[:100]}")


def test_the_page_lists_the_planted_bugs_and_the_schedules_they_may_take(checkout: Path) -> None:
    page = (checkout / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.partition("| Planted bug |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE) == list(PLANTED)
    assert f"within {N_TO_FIND} schedules" in page


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_seed_replays_its_schedule_exactly(scenario: str) -> None:
    once, again = (run_schedule(7, player(scenario)) for _ in range(2))
    assert once.diary == again.diary
    assert once.digest == again.digest


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_invariant_holds_under_thousands_of_schedules(scenario: str, tell: Callable[[str], None]) -> None:
    n, found = first_violation(range(N_SCHEDULES, N_SLOW), scenario=scenario)
    assert found is None, f"make simulate SEED={found.seed} ARGS='--scenario {scenario}': {found.violation}"
    tell(f"simulation: {n} schedules of {scenario}, every invariant held")
