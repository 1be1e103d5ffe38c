"""What the console says of a snapshot, line by line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ...messages.compute import JobSummary
from ...messages.console import ActorDetail, Hop, JournalLine, LogLine
from ...messages.control import ActorRow
from ...messages.imports import ImportStatus

TREE_COLUMNS = ("name", "state", "at work on", "mailbox", "rate", "takes", "restarts", "lag", "memory", "last error")
IMPORT_COLUMNS = ("import", "state", "phase", "done", "plates", "by", "why", "source")
JOB_COLUMNS = ("job", "state", "plate", "pipeline", "wells", "at work on", "by", "why")
TRACE_COLUMNS = ("trace", "process", "actor", "message", "from", "took", "outcome")


LONGEST = 400
"""Characters of a record that a line may need."""


class Line(NamedTuple):
    """One line of a table: what it is about, its cells, and how serious it is."""

    key: str
    cells: tuple[str, ...]
    mood: str = ""


def tree_lines(rows: Sequence[ActorRow], before: Mapping[str, ActorRow], since_s: float) -> list[Line]:
    """The supervision tree, each name below its parent; rates are what was handled since the look before."""
    depths: dict[str, int] = {}
    lines = []
    for one in rows:
        depth = depths[one.name] = depths.get(one.parent, -1) + 1
        earlier = before.get(one.name)
        rate = (one.handled - earlier.handled) / since_s if earlier and since_s > 0 else 0.0
        lines.append(
            Line(
                one.name,
                (
                    "  " * depth + one.name,
                    one.state,
                    one.busy,
                    str(one.mailbox) if one.kind != "supervisor" else "",
                    f"{rate:.1f}/s" if rate > 0 else "",
                    seconds_text(one.handling_s),
                    str(one.restarts) if one.restarts else "",
                    seconds_text(one.loop_lag_s),
                    memory_text(one),
                    first_line(one.last_error),
                ),
                mood_of(one.state, troubled=bool(one.last_error)),
            )
        )
    return lines


def import_lines(imports: Iterable[ImportStatus]) -> list[Line]:
    """The imports, in the order in which they were told."""
    return [
        Line(
            one.import_id,
            (
                one.import_id,
                one.state,
                one.phase,
                f"{100 * one.n_bytes_done / one.n_bytes:.0f} %" if one.n_bytes else "",
                ", ".join(map(str, one.plate_ids)),
                one.owner,
                first_line(one.reason),
                one.source,
            ),
            mood_of(one.state),
        )
        for one in imports
    ]


def job_lines(jobs: Iterable[JobSummary]) -> list[Line]:
    """The jobs, in the order in which they were told."""
    lines = []
    for one in jobs:
        at_work = ", ".join(f"{well.well or 'image'} ({well.executor})" for well in one.running)
        done = f"{one.n_done} of {one.n_wells}" + (f", {one.n_failed} failed" if one.n_failed else "")
        plate = f"{one.plate_id} {one.plate_name}".strip()
        why = first_line(one.reason or one.error)
        lines.append(
            Line(one.job, (one.job, one.state, plate, one.pipeline, done, at_work, one.owner, why), mood_of(one.state))
        )
    return lines


def trace_lines(hops: Iterable[Hop]) -> list[Line]:
    """The hops of a trace, or the beginnings of several."""
    return [
        Line(
            hop.trace,
            (
                hop.trace,
                f"{hop.node} ({hop.pid})",
                hop.actor,
                hop.message,
                hop.sender,
                seconds_text(hop.took_s),
                first_line(hop.outcome or "at it"),
            ),
            mood_of("failed" if ":" in hop.outcome else ""),
        )
        for hop in hops
    ]


def detail_text(detail: ActorDetail) -> str:
    """One name in full, with what happened to it and its last traceback."""
    one = detail.row
    said = [
        f"{one.name}: {one.kind} under {one.parent or 'nothing'}, {one.state}"
        + (f", pid {one.pid}" if one.pid and one.kind == "process" else ""),
        "",
        *(f"{entry.name:<18} {statistic_text(entry.name, entry.value)}" for entry in detail.statistics),
    ]
    if one.gpu_total_bytes:
        said.append(f"{'gpu memory':<18} {bytes_text(one.gpu_used_bytes)} of {bytes_text(one.gpu_total_bytes)}")
    if detail.untold_error:
        said += ["", f"last error: {detail.untold_error.rstrip()}"]
    if detail.incidents:
        said += ["", "what happened:"]
        said += [
            f"  {clock_text(one.at_unix_s)}  {one.occurrence}" + (f"  {first_line(one.error)}" if one.error else "")
            for one in detail.incidents[-8:]
        ]
    traceback = next((one.traceback for one in reversed(detail.incidents) if one.traceback), "")
    if traceback:
        said += ["", "its last traceback:", traceback.rstrip()]
    return "\n".join(said)


def log_text(lines: Iterable[LogLine]) -> str:
    """The end of a log."""
    return "\n".join(f"{one.at[11:23]}  {one.level:<7}  {one.source:<14}  {one.text}" for one in lines)


def journal_text(journals: Mapping[str, Sequence[JournalLine]], *, n_records: int) -> str:
    """The ends of the journals, each under its name: ``n_records`` in all, which those that are long share."""
    said = []
    kept = {name: len(lines) for name, lines in journals.items()}
    while sum(kept.values()) > n_records:
        longest = max(kept, key=lambda name: kept[name])
        kept[longest] -= 1
    for name, all_lines in journals.items():
        lines = all_lines[len(all_lines) - kept[name] :]
        said.append(f"{name}: the latest {len(lines)} records, the last first")
        said += [f"  {one.sequence:>6}  {one.tag:<22}  {one.text[:LONGEST]}" for one in reversed(lines)]
    return "\n".join(said)


def mood_of(state: str, *, troubled: bool = False) -> str:
    """Whether a state is good, bad, or something to look at."""
    if state in ("failed", "quarantined"):
        return "bad"
    if state in ("waiting", "paused", "away", "backoff", "starting", "stopping", "stopped", "cancelled") or troubled:
        return "odd"
    return "good" if state in ("running", "done") else ""


def statistic_text(name: str, value: int | float | str) -> str:
    """A count or measure with its unit."""
    if isinstance(value, str):
        return first_line(value)
    if name.endswith("_bytes"):
        return bytes_text(value)
    return seconds_text(value) or "0" if name.endswith("_s") else f"{value:,.6g}"


def memory_text(row: ActorRow) -> str:
    """A process's memory, and that of its card where it has one."""
    if not row.memory_bytes:
        return ""
    card = f" + {bytes_text(row.gpu_used_bytes)} GPU" if row.gpu_total_bytes else ""
    return bytes_text(row.memory_bytes) + card


def bytes_text(n_bytes: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} GiB"


def seconds_text(seconds: float) -> str:
    """A time as people say it; nothing for none."""
    if seconds <= 0:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def clock_text(at_unix_s: float) -> str:
    """When it was, by the clock on the wall here."""
    return time.strftime("%d %b %H:%M:%S", time.localtime(at_unix_s))


def first_line(text: str) -> str:
    """The first line of what may be many."""
    return text.strip().partition("\n")[0]
