"""Plays schedules, or one again: python tests/simulation/simulate.py [--seed N] [--schedules N] [--planted NAME]."""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from planted_bugs import PLANTED, planted
from virtual_world import Outcome, World, run_schedule

SCENARIOS = ("tills", "analysis", "streaming")


def scenario_of(seed: int) -> str:
    """The scenario that a seed stands for."""
    return SCENARIOS[seed % len(SCENARIOS)]


def player(scenario: str) -> Callable[[World], None]:
    """What plays one schedule of a scenario."""
    play: Callable[[World], None] = importlib.import_module(scenario).play
    return play


def first_violation(seeds: range, *, scenario: str = "", saying: str = "") -> tuple[int, Outcome | None]:
    """Play until something is violated that matches ``saying``; how many were played, and the one that failed."""
    n = 0
    for seed in seeds:
        outcome = run_schedule(seed, player(scenario or scenario_of(seed)))
        n += 1
        if outcome.violation and re.search(saying, outcome.violation):
            return n, outcome
    return n, None


def main() -> int:
    """Say what was found; 1 when something was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this schedule alone, and show what happened in it")
    parser.add_argument("--schedules", type=int, default=6000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--scenario", default="", choices=("", *SCENARIOS))
    parser.add_argument("--planted", default="", help="have this fault in the code: " + ", ".join(PLANTED))
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    scenario = asked.scenario or (PLANTED[asked.planted].scenario if asked.planted else "")
    seeds = range(asked.first, asked.first + asked.schedules)
    if asked.seed is not None:
        seeds = range(asked.seed, asked.seed + 1)
    began, began_cpu = time.perf_counter(), time.process_time()
    with planted(PLANTED[asked.planted]) if asked.planted else nullcontext():
        n, found = first_violation(seeds, scenario=scenario)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    print(f"{n} schedules in {took_s:.1f} s ({60 * n / cpu_s:.0f} a minute of one core)")
    if found is None:
        print("every invariant held")
        return 0
    print("\n".join(found.diary))
    print(found.traceback)
    again = f" --scenario {scenario}" if scenario else ""
    again += f' --planted "{asked.planted}"' if asked.planted else ""
    print(f"violated by seed {found.seed} after {n} schedules: {found.violation}")
    print(f"to see it again: make simulate SEED={found.seed}" + (f" ARGS='{again.strip()}'" if again else ""))
    return 1


if __name__ == "__main__":
    sys.exit(main())
