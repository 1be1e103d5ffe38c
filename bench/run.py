"""Measures everything and writes docs/performance.md: ``python bench/run.py [ROOM ...]``."""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from past_runs import PastRun, keep, missed_by, past_runs, swings
from profiles import profiled
from rows import LONG_ROWS, LongRows, Row

HERE = Path(__file__).parent
ROOMS = (
    "ask",
    "tell",
    "peers",
    "scale",
    "planes",
    "publisher",
    "remote_planes",
    "slow_cable",
    "journal",
    "imports",
    "many_files",
    "agent_transfer",
    "guest",
    "watches",
    "submissions",
    "job_history",
    "index",
    "plates_in_omero",
    "results_in_omero",
    "omero_import",
    "pipeline",
    "plate_run",
)
ONE_ROOM = """
import importlib, sys, msgspec
sys.path.insert(0, sys.argv[1])
sys.stdout.write("\\n" + msgspec.json.encode(importlib.import_module(sys.argv[2]).measure()).decode())
"""
ASK = "ask, two processes, p50: raw DEALER/ROUTER, at its best"
STREAM = "planes: publisher to follower / warm memcpy"
BLOCK = "ring alone: to another process / block per image, at its best"
RING = "ring alone: to another process / warm memcpy"
SPREAD = "1,000 actors: asks to all in turn / one alone"
QUEUES = "1,000 actors: asks to all in turn / 1,000 queues"
MEMCPY = "ring alone: put, one copy / warm memcpy"
REMOTE = "planes: to another host, CURVE / raw ZMQ with CURVE"
SMALL = "import, 10,000 small files, transferring alone: cp -r and sync"
LIBRARIES = ("hcs-mesh", "pyzmq", "msgspec", "uvloop", "numpy", "opencv-python-headless", "scipy", "scikit-image")


def measure(room: str) -> tuple[list[Row], str]:
    """The rows of one room, measured in a process of its own; or why there are none."""
    if not (HERE / f"{room}.py").exists():
        return [], "not written yet"
    # In its own process, so that no room inherits another's threads, cores or memory.
    done = subprocess.run(
        [sys.executable, "-c", ONE_ROOM, str(HERE), room], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        return [], told((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Row]), ""


def told(reason: str) -> str:
    """A reason as the page says it: it speaks of the project, not of where it lay."""
    for place, name in ((sys.executable, "python"), (f"{HERE.parent}/", ""), (str(Path.home()), "~"), ("|", "/")):
        reason = reason.replace(place, name)
    return reason


def verdict(row: Row) -> str:
    """Whether the target is met, missed by 15 % or less, missed within a factor of two, or missed."""
    if row.met:
        return "met"
    factor = missed_by(row, row.ratio)
    if factor <= 1.15:
        return "within 15 %"
    return "within two" if factor <= 2 else "missed"


def machine() -> str:
    """The machine in words: nothing that names it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores of {cpu}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def report(rows: list[Row], unmeasured: dict[str, str], elapsed_s: float, load: float) -> str:
    """The page of docs/performance.md."""
    lines = [
        "# Performance",
        "",
        "Written by `python bench/run.py`. Every line is a ratio to a reference measured in the same run, in turns;",
        "numbers are medians over the rounds, with deadlines and statistics switched on. A line is *met* when the",
        "ratio reaches its target; *within 15 %* and *within two* say by how much it misses. Sender and receiver are",
        "pinned to two cores, the peers' as ours; the peers run in an environment of their own, started anew in each",
        "round, ray and dask in one. A machine that shares its cores with others swings, which no load average shows:",
        "how far is told below the table.",
        "",
        f"Machine: {machine()}.",
        f"Load average before the run: {load:.1f}; above a few tenths others were running, and waits are long.",
        f"The run took {elapsed_s:.0f} s.",
        "",
        *table(rows),
        *seldom(),
        *swings(rows, past_runs()),
    ]
    missed = {row.name: profiled(row.name) for row in rows if not row.met}
    if any(missed.values()):
        lines += [
            "",
            "Where the time goes in lines that miss, by the profiler, which makes small functions dearer;",
            "of planes what the loop's thread does, beside libzmq's, which encrypts:",
            "",
        ]
        lines += [f"- {name}: {told(', '.join(where))}." for name, where in missed.items() if where]
    made_of = [f"- {row.name.partition(':')[0]}: {row.parts}." for row in rows if row.parts and row.name != QUEUES]
    if made_of:
        lines += ["", "Of the phases of whole imports, as the mesh tells them, medians:", "", *made_of]
    by_name = {row.name: row for row in rows}
    lines += explained(by_name)
    if unmeasured:
        lines += ["", "Not measured in this run:", ""]
        lines += [f"- `bench/{room}.py`: {reason}" for room, reason in unmeasured.items()]
    lines += ["", "Libraries: " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES) + ".", ""]
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> list[str]:
    """Rows as the page shows them."""
    lines = [
        "| What: the reference | Reference | hcs-mesh | Unit | Ratio | Target | |",
        "|---|---:|---:|---|---:|---:|---|",
    ]
    for row in rows:
        if row.unmeasured:
            lines.append(f"| {row.name} | | | | | | not measured: {told(row.unmeasured)} |")
            continue
        bound = "≥" if row.higher_is_better else "≤"
        lines.append(
            f"| {row.name} | {shown(row.reference)} | {shown(row.ours)} | {row.unit} | {row.ratio:.2f} "
            f"| {bound} {row.target:g} | {verdict(row)} |"
        )
    return lines


def seldom() -> list[str]:
    """The lines that are not of this run: who measures them writes them down."""
    if not LONG_ROWS.exists():
        return []
    long = msgspec.json.decode(LONG_ROWS.read_bytes(), type=LongRows)
    where = f"{long.machine}, in {long.took_s:.0f} s"
    return [
        "",
        f"Measured apart, on {long.date}, by `python bench/many_files.py --long`, on {where},",
        f"begun under a load of {long.load:.1f}. Each size is taken once: what others do may hit one side alone.",
        "",
        *table(long.rows),
        "",
        *(f"- {row.name.partition(':')[0]}: {row.parts}." for row in long.rows if row.parts),
    ]


def explained(rows: dict[str, Row]) -> list[str]:
    """Where the time goes in lines that miss, as far as their own numbers tell it."""
    lines = []
    asked, streamed = rows.get(ASK), rows.get(STREAM)
    if asked and asked.reference and not asked.met:
        lines += [
            "",
            f"Of *{ASK}*: the bare socket answers from within its read.",
            f"The {asked.ours - asked.reference:.0f} us that ours takes beyond it go into many small parts at both",
            "ends: an envelope around each message, the deadline, the mailbox, the actor's task that is woken, and the",
            "answer's way back through the link.",
        ]
    if streamed and streamed.reference and not streamed.met:
        copy_us, there_us = (8e6 / speed for speed in (streamed.reference, streamed.ours))
        lines += [
            "",
            f"Of *{STREAM}*: of a plane's {there_us:.0f} us {copy_us:.0f} would be",
            "a warm copy. One plane is read at a time, in a thread, into a slot that is in no cache; in the rest it is",
            "handed to that thread and back, and publisher, bridge and link take their turns on the same core.",
        ]
    spread, queues = rows.get(SPREAD), rows.get(QUEUES)
    if spread and queues and not (spread.met and queues.met):
        lines += [
            "",
            f"Of *{SPREAD}*: what a message passes through is the same, but each actor's",
            "part of it is in no near cache when its turn comes. So it is with bare queues:",
            f"{queues.parts}.",
        ]
    ring, block, memcpy = rows.get(RING), rows.get(BLOCK), rows.get(MEMCPY)
    if ring and memcpy and ring.reference and not ring.met:
        copy_us, put_us, there_us = (8e6 / speed for speed in (memcpy.reference, memcpy.ours, ring.ours))
        lines += [
            "",
            f"Of *{RING}*: of a plane's {there_us:.0f} us {copy_us:.0f} are the copy",
            f"and {max(0, put_us - copy_us):.0f} the ring; {max(0, there_us - put_us):.0f} pass until the consumer has",
            "woken up on the other core, looked and answered, however small the plane is.",
        ]
    if block and memcpy and not block.met and block.reference:
        most = memcpy.reference / block.reference
        copy_us, put_us, there_us = (8e6 / speed for speed in (memcpy.reference, memcpy.ours, block.ours))
        lines += [
            "",
            f"Of *{BLOCK}*: one copy at the speed of memcpy itself would reach {most:.1f} on this machine.",
            f"Of a plane's {there_us:.0f} us {copy_us:.0f} are the copy and {max(0, put_us - copy_us):.0f} the ring;",
            f"{max(0, there_us - put_us):.0f} pass until the consumer has woken up, looked and answered. To wait for",
            "that is cheaper than to fill another slot meanwhile, which is in no cache.",
        ]
    remote = rows.get(REMOTE)
    if remote and memcpy and remote.reference and not remote.met:
        raw_us, ours_us, copy_us = (8e6 / speed for speed in (remote.reference, remote.ours, memcpy.reference))
        lines += [
            "",
            f"Of *{REMOTE}*: of a plane's {ours_us:.0f} us {raw_us:.0f} would be the bare",
            "socket's, which encrypts what nobody changes meanwhile. A copy out of the slot comes first, which takes",
            f"{copy_us:.0f} us where it is warm (docs/decisions/0028); here it shares one core with the encryption.",
        ]
    small = rows.get(SMALL)
    if small and not small.met:
        file_us, copied_us = (1e6 * took_s / 10_000 for took_s in (small.ours, small.reference))
        lines += [
            "",
            f"Of *{SMALL}*: of a file's {file_us:.0f} us {copied_us:.0f} would be a copy that",
            "nobody could vouch for. Ours is a held link that is opened, read, looked at before and after, hashed,",
            "written with its time, and given its name once its batch is durable: as many calls of the system as a",
            "copy takes, but from Python, and the disk is waited for twice, for the bytes and for the names.",
        ]
    return lines


def shown(value: float) -> str:
    """A number with as many digits as it is good for."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def version(name: str) -> str:
    """The version of a library, where it is installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "from the checkout"


def main() -> int:
    """Measure the rooms that are asked for; write the page when it was all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []], help="only these; the page is written for all")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    wanted = parser.parse_args()
    load, start = os.getloadavg()[0], time.perf_counter()
    rows: list[Row] = []
    unmeasured: dict[str, str] = {}
    for room in wanted.rooms or ROOMS:
        found, reason = measure(room)
        for row in found:
            print(row, flush=True)
        if reason:
            unmeasured[room] = reason
            print(f"{room}: not measured: {reason}", flush=True)
        rows += found
    if not wanted.rooms:
        ratios = {row.name: row.ratio for row in rows if not row.unmeasured}
        keep(PastRun(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine(), ratios=ratios))
        wanted.out.parent.mkdir(exist_ok=True)
        wanted.out.write_text(report(rows, unmeasured, time.perf_counter() - start, load))
        print(f"written: {wanted.out.name}")
    return 1 if unmeasured else 0


if __name__ == "__main__":
    sys.exit(main())
