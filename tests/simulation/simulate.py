"""Plays schedules, or one again: python tests/simulation/simulate.py [--seed N] [--schedules N] [--planted NAME].

Without --first or --planted they are others every time; the first line says where they begin. They are shared out among
as many processes as there are cores, so that --first and --schedules play the same ones on every computer.

Always in a process of its own, with hashes that are the same every time: in which order the names of a set come is part
of a schedule.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import importlib
import itertools
import json
import logging
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parent))

from planted_bugs import PLANTED, planted
from virtual_world import Outcome, World, run_schedule

SCENARIOS = ("tills", "analysis", "streaming", "hosts")
LONGEST_S = 120.0
"""Of real time, for one schedule: most take a tenth of a second."""
MOST_BYTES = 4 * 2**30
"""Of address space: a schedule that grows without end is not the end of the computer."""
HASH_SEED = "0"
MOST_SEED = 10**9


def scenario_of(seed: int) -> str:
    """The scenario that a seed stands for."""
    return SCENARIOS[seed % len(SCENARIOS)]


def player(scenario: str) -> Callable[[World], None]:
    """What plays one schedule of a scenario."""
    play: Callable[[World], None] = importlib.import_module(scenario).play
    return play


class Played(NamedTuple):
    """How many schedules were played, the one that failed, and what happened in the last one, with a digest of it."""

    n: int
    found: Outcome | None
    digest: int
    diary: tuple[str, ...]


def first_violation(seeds: range, *, scenario: str = "", saying: str = "") -> Played:
    """Play until something is violated that matches ``saying``."""
    n = digest = 0
    diary: tuple[str, ...] = ()
    for seed in seeds:
        with _watched(seed):
            outcome = run_schedule(seed, player(scenario or scenario_of(seed)))
        n += 1
        digest, diary = outcome.digest, outcome.diary
        if outcome.violation and re.search(saying, outcome.violation):
            return Played(n, outcome, digest, diary)
    return Played(n, None, digest, diary)


@contextmanager
def _watched(seed: int) -> Iterator[None]:
    """End the process, and show where it was, if a schedule takes too long: from a tight loop no error gets out."""

    def give_up(number: int, frame: object) -> None:
        print(f"schedule {seed} is not over after {LONGEST_S:.0f} s:", file=sys.stderr, flush=True)
        faulthandler.dump_traceback()
        os._exit(3)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> int:
    """Say what was found; 1 when something was, 3 when a schedule does not end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this schedule alone, and show what happened in it")
    parser.add_argument("--schedules", type=int, default=6000)
    parser.add_argument("--first", type=int, help="the seed to begin with; any, if none is given")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--scenario", default="", choices=("", *SCENARIOS))
    parser.add_argument("--planted", default="", help="have this fault in the code: " + ", ".join(PLANTED))
    parser.add_argument("--each-planted", action="store_true", help="one fault after the other, a line for each")
    parser.add_argument("--json", action="store_true", help="say what was found as one line for programs")
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": HASH_SEED})
    alone = asked.json or asked.planted or asked.each_planted or asked.seed is not None
    if asked.first is None:
        asked.first = 0 if alone else secrets.randbelow(MOST_SEED)
    if not alone and asked.processes > 1:
        return _shared_out(asked.first, asked.schedules, asked.processes, asked.scenario)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    if asked.each_planted:
        return _each_planted(asked.scenario, range(asked.schedules))
    bug = PLANTED[asked.planted] if asked.planted else None
    scenario = asked.scenario or (bug.scenario if bug else "")
    seeds = range(asked.first, asked.first + asked.schedules)
    if asked.seed is not None:
        seeds = range(asked.seed, asked.seed + 1)
    began, began_cpu = time.perf_counter(), time.process_time()
    with planted(bug) if bug else nullcontext():
        n, found, digest, diary = first_violation(seeds, scenario=scenario, saying=bug.must_say if bug else "")
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    if asked.json:
        print(_as_json(Played(n, found, digest, diary)))
        return int(found is not None)
    print(f"{n} schedules in {took_s:.1f} s ({60 * n / cpu_s:.0f} a minute of one core)")
    if found is None:
        if asked.seed is not None:
            print("\n".join(diary))
        print("every invariant held")
        return 0
    print("\n".join(diary))
    print(found.traceback)
    again = f" --scenario {scenario}" if scenario else ""
    again += f' --planted "{asked.planted}"' if asked.planted else ""
    print(f"violated by seed {found.seed} after {n} schedules: {found.violation}")
    print(f"to see it again: make simulate SEED={found.seed}" + (f" ARGS='{again.strip()}'" if again else ""))
    return 1


def _shared_out(first: int, n_schedules: int, n_processes: int, scenario: str) -> int:
    """Play an equal share in each process, and say what each found."""
    print(f"{n_schedules} schedules from seed {first}, in {n_processes} processes", flush=True)
    bounds = [first + n_schedules * n // n_processes for n in range(n_processes + 1)]
    command = [sys.executable, __file__, "--processes", "1", "--scenario", scenario]
    players = [
        subprocess.Popen([*command, "--first", str(start), "--schedules", str(end - start)])
        for start, end in itertools.pairwise(bounds)
    ]
    return max(player.wait() for player in players)


def _each_planted(scenario: str, seeds: range) -> int:
    for name, bug in PLANTED.items():
        if scenario in ("", bug.scenario):
            with planted(bug):
                played = first_violation(seeds, scenario=bug.scenario, saying=bug.must_say)
            print(_as_json(played, planted=name), flush=True)
    return 0


def _as_json(played: Played, **more: str) -> str:
    seed, violation = (played.found.seed, played.found.violation) if played.found else (None, "")
    return json.dumps({"n": played.n, "seed": seed, "violation": violation, "digest": played.digest, **more})


if __name__ == "__main__":
    sys.exit(main())
