"""Plays schedules of faults, or one again: make import-faults [SEED=N] [ARGS='--schedules N --planted NAME']."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from fault_bugs import PLANTED
from fault_schedules import Outcome, schedule
from fault_session import Players, again, as_lines
from fault_ways import COMBINATIONS

N_LAST = 12
"""Lines of what happened in a schedule that are shown when it violated something."""


def main() -> int:
    """Say what was found; 1 when something was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this schedule alone, and show what happened in it")
    parser.add_argument("--schedules", type=int, default=len(COMBINATIONS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--planted", default="", help="have this fault in the code: " + ", ".join(PLANTED))
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.schedules)
    if asked.seed is not None:
        seeds = range(asked.seed, asked.seed + 1)
    n_bad = n_seen = 0

    def seen(outcome: Outcome) -> None:
        nonlocal n_bad, n_seen
        n_seen += 1
        if n_seen % 500 == 0:
            print(f"{n_seen} schedules played", flush=True)
        if asked.seed is not None:
            print("\n".join(outcome.diary))
            print(f"{schedule(outcome.seed).as_text()}\n{outcome.ends}")
        if outcome.violations:
            n_bad += 1
            if asked.seed is None:
                # Which thread comes first is the machine's: played again, it may go well.
                print("\n".join(outcome.diary[-N_LAST:]))
            print(f"{again(outcome, asked.planted)}: {outcome.faults}: {'; '.join(outcome.violations)}", flush=True)

    async def played() -> list[Outcome]:
        async with Players(asked.processes) as players:
            if not asked.planted:
                return await players.play_all(seeds, seen)
            likely = PLANTED[asked.planted].seeds(asked.schedules) if asked.seed is None else seeds
            n, found = await players.find(asked.planted, likely)
            print(f"{n} schedules were played with {asked.planted!r} in the code")
            if found is None:
                return []
            seen(found)
            return [found]

    began = time.perf_counter()
    outcomes = asyncio.run(played())
    took_s = time.perf_counter() - began
    print("\n".join(as_lines(outcomes)))
    print(f"{len(outcomes)} schedules in {took_s:.0f} s, {n_bad} of them violated something")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
