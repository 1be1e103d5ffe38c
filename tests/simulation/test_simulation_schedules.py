"""Thousands of short schedules of faults: every invariant holds, and each planted bug is found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from planted_bugs import PLANTED
from simulate import SCENARIOS

N_SCHEDULES = 100
"""Of each scenario in ``make test``; ``make test-all`` and ``make simulate`` play thousands."""
N_TO_FIND = 600
"""Schedules within which every planted bug must be found."""
N_SLOW = 6000
A_LOT_S = 1700.0

# Beside others on two cores; alone the whole file takes about a minute.
pytestmark = pytest.mark.timeout(300)


def simulation(*words: object, within_s: float | None = 280.0) -> subprocess.CompletedProcess[str]:
    """A simulation in a process that begins as every other does and owns no one else's threads."""
    command = [sys.executable, str(Path(__file__).with_name("simulate.py")), *map(str, words), "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=within_s)


def simulated(*words: object, within_s: float = 280.0) -> Any:
    """What a simulation found."""
    ended = simulation(*words, within_s=within_s)
    assert ended.returncode in (0, 1), ended.stderr
    return json.loads(ended.stdout)


@cache
def with_bugs(scenario: str) -> tuple[dict[str, Any], str]:
    """What became of each bug planted in a scenario, in one process, whose beginning takes longer than most finds."""
    ended = simulation("--each-planted", "--scenario", scenario, "--schedules", N_TO_FIND, within_s=None)
    told = map(json.loads, ended.stdout.splitlines())
    return {one["planted"]: one for one in told}, ended.stderr


def check_invariants(scenario: str, first: int, n_schedules: int, **named: float) -> int:
    told = simulated("--scenario", scenario, "--first", first, "--schedules", n_schedules, **named)
    assert not told["violation"], f"make simulate SEED={told['seed']} ARGS='--scenario {scenario}': {told['violation']}"
    return int(told["n"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_invariant_holds_under_every_schedule(scenario: str) -> None:
    assert check_invariants(scenario, 0, N_SCHEDULES) == N_SCHEDULES


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, tell: Callable[[str], None]) -> None:
    played, complaint = with_bugs(PLANTED[bug].scenario)
    assert bug in played, complaint
    told = played[bug]
    assert told["violation"], f"{told['n']} schedules did not find it"
    tell(f"simulation: {bug}: found by schedule {told['n']}: {told['violation'][:100]}")


def test_the_page_lists_the_planted_bugs_and_the_schedules_they_may_take(checkout: Path) -> None:
    page = (checkout / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.partition("| Planted bug |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE) == list(PLANTED)
    assert f"within {N_TO_FIND} schedules" in page


@pytest.mark.parametrize(
    ("scenario", "seed"), [*((scenario, 7) for scenario in SCENARIOS), ("tills", 3020), ("analysis", 3189)]
)
def test_a_seed_replays_its_schedule_exactly(scenario: str, seed: int) -> None:
    once, again = (simulated("--seed", seed, "--scenario", scenario)["digest"] for _ in range(2))
    assert once == again


def test_a_schedule_that_does_not_end_is_named_and_ended(tmp_path: Path) -> None:
    never = "import simulate; simulate.LONGEST_S = 0.5; simulate.run_schedule = lambda *_: [1 for _ in iter(int, 1)]"
    program = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); {never}; simulate.main()"
    (tmp_path / "never.py").write_text(program)
    command = [sys.executable, str(tmp_path / "never.py"), "--seed", "41"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})
    assert ended.returncode == 3
    assert "schedule 41 is not over" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_invariant_holds_under_thousands_of_schedules(scenario: str, tell: Callable[[str], None]) -> None:
    n = check_invariants(scenario, N_SCHEDULES, N_SLOW, within_s=A_LOT_S)
    tell(f"simulation: {n} schedules of {scenario}, every invariant held")
