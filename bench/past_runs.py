"""What the last whole runs gave: how far each line swings on this machine, which one run does not tell."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rows import Row

PAST_RUNS = Path(__file__).with_name("past_runs.json")
MOST = 8


class PastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The ratios of one whole run by the names of their rows, and when and where it was."""

    date: str
    machine: str
    ratios: dict[str, float]


def past_runs() -> list[PastRun]:
    """Those that are kept, the oldest first."""
    return msgspec.json.decode(PAST_RUNS.read_bytes(), type=list[PastRun]) if PAST_RUNS.exists() else []


def keep(run: PastRun) -> None:
    """Keep one more, and the newest ``MOST`` of them."""
    kept = [*past_runs(), run][-MOST:]
    PAST_RUNS.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


def swings(rows: Sequence[Row], runs: Sequence[PastRun]) -> list[str]:
    """From the best to the worst what each row gave that missed its target in one of the runs."""
    if len(runs) < 2:
        return []
    lines = []
    for row in rows:
        ratios = [run.ratios[row.name] for run in runs if row.name in run.ratios]
        if row.unmeasured or len(ratios) < 2 or all(missed_by(row, ratio) <= 1 for ratio in ratios):
            continue
        best, worst = sorted(ratios, key=lambda ratio: missed_by(row, ratio))[:: len(ratios) - 1]
        bound = "≥" if row.higher_is_better else "≤"
        lines.append(f"- {row.name}: {best:.2f} to {worst:.2f} ({bound} {row.target:g}).")
    if not lines:
        return []
    n_machines = len({run.machine for run in runs})
    where = "one kind of machine" if n_machines == 1 else f"{n_machines} kinds of machines"
    span = f"the last {len(runs)} whole runs, {runs[0].date} to {runs[-1].date}, on {where}"
    return ["", f"Over {span}, lines that missed in one of them came out from best to worst:", "", *lines]


def missed_by(row: Row, ratio: float) -> float:
    """How far a ratio is from the row's target: above 1 it misses."""
    if not row.higher_is_better:
        return ratio / row.target
    return row.target / ratio if ratio else float("inf")
