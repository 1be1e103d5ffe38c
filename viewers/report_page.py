"""The report as one page of HTML that needs no network: style, script and pictures are inside it.

Every text that somebody chose is escaped here, and the page's own policy forbids what it did not bring along.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from .heat_map import plate_shape, well_position
from .report_model import COUNT, Measurement, ReportJob, ReportWell, well_value
from .report_style import SCRIPT, STYLE


def render_page(job: ReportJob, measurements: Sequence[Measurement], pictures: Mapping[str, bytes]) -> str:
    """The whole page; ``pictures`` holds one PNG for each measurement that was drawn."""
    sections = (
        _tiles(job),
        _heat_maps(measurements, pictures),
        _gallery(job),
        _wells(job, measurements),
        _pipeline(job),
        _provenance(job),
    )
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = f"{job.plate} · job {job.job}"
    about = f"Job {job.job}" + (f" · plate {job.plate_id}" if job.plate_id is not None else "")
    about += f" · {job.pipeline}" if job.pipeline else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        f"<header><h1>{escape(job.plate)} {_state(job.state)}</h1><p>{escape(about)}</p></header>\n"
        f"<main>\n{''.join(sections)}</main>\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def _tiles(job: ReportJob) -> str:
    states = Counter(one.state for one in job.wells)
    n_objects = sum(one.n_objects or 0 for one in job.wells)
    provenance = job.provenance
    tiles = [
        (f"{states['done']} of {len(job.wells)}", "wells done"),
        (f"{n_objects:,}", "objects"),
    ]
    if unlucky := states["failed"] + states["dead"]:
        tiles.append((str(unlucky), "wells failed"))
    if provenance.duration_s is not None:
        tiles.append((_duration(provenance.duration_s), "from start to end"))
    tiles.append((str(provenance.n_restarts), "restarts survived"))
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in tiles
        )
        + "</div>\n"
    )


def _heat_maps(measurements: Sequence[Measurement], pictures: Mapping[str, bytes]) -> str:
    figures = []
    for one in measurements:
        if picture := pictures.get(one.name):
            unit = f" ({one.unit})" if one.unit else ""
            figures.append(
                f'<figure><img alt="{escape(one.name)} over the plate" src="{_data_uri(picture)}">'
                f"<figcaption><b>{escape(one.name)}</b>{escape(unit)} {escape(one.meaning)}</figcaption></figure>"
            )
    return _section("Over the plate", f'<div class="maps">{"".join(figures)}</div>') if figures else ""


def _gallery(job: ReportJob) -> str:
    shape = plate_shape(job)
    pictured = [one for one in job.wells if one.thumbnail_png]
    if not pictured:
        return ""
    figures = []
    for one in pictured:
        place = well_position(one.well)
        where = f' style="grid-area: {place.row + 1} / {place.column + 1}"' if place else ""
        figures.append(
            f'<figure{where}><img alt="{escape(one.well)}" src="{_data_uri(one.thumbnail_png)}">'
            f"<figcaption>{escape(one.well)}</figcaption></figure>"
        )
    columns = shape.column if shape else 6
    grid = f"grid-template-columns: repeat({columns}, 1fr)"
    return _section("At a glance", f'<div class="gallery" style="{grid}">{"".join(figures)}</div>')


def _wells(job: ReportJob, measurements: Sequence[Measurement]) -> str:
    shown = [one for one in measurements if one.name != COUNT or any(w.n_objects is not None for w in job.wells)]
    troubled = any(one.reason or one.attempts > 1 for one in job.wells)
    heads = [_head("Well"), _head("State")]
    heads += [_head(f"{one.name} ({one.unit})" if one.unit else one.name, kind="number") for one in shown]
    heads += [_head("Seconds", kind="number")] + (
        [_head("Attempts", kind="number"), _head("Reason")] if troubled else []
    )
    rows = "".join(_well_row(one, shown, troubled=troubled) for one in job.wells)
    return _section(
        "Wells",
        f'<div class="scroll"><table class="sortable"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="quiet">The same table is in wells.csv and one line for each object in objects.csv, beside this '
        "page. A click on a heading sorts.</p>",
    )


def _well_row(well: ReportWell, shown: Sequence[Measurement], *, troubled: bool) -> str:
    cells = [
        f"<td><b>{escape(well.well or '(no well)')}</b></td>",
        f"<td>{_state(well.state)}</td>",
    ]
    cells += [_number(well_value(well, one.name)) for one in shown]
    cells.append(_number(well.duration_s))
    if troubled:
        cells += [_number(well.attempts), f"<td>{escape(well.reason)}</td>"]
    return f"<tr>{''.join(cells)}</tr>"


def _pipeline(job: ReportJob) -> str:
    if not job.pipeline_source:
        return ""
    name = f" {job.pipeline}" if job.pipeline else ""
    return _section(f"Pipeline{name}", f"<pre><code>{escape(job.pipeline_source)}</code></pre>")


def _provenance(job: ReportJob) -> str:
    known = job.provenance
    lines = [("Job", job.job), ("Started", known.started), ("Finished", known.finished)]
    if known.duration_s is not None:
        lines.append(("Duration", _duration(known.duration_s)))
    again = sum(max(one.attempts - 1, 0) for one in job.wells)
    lines.append(("Restarts survived", str(known.n_restarts)))
    lines.append(("Wells computed again", str(again)))
    lines += sorted(known.versions.items())
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in lines if value)
    return _section(
        "Where the numbers come from",
        f"<dl>{facts}</dl>{_list(known.faults)}{_list(job.notes)}",
    )


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>\n"


def _head(title: str, kind: str = "text") -> str:
    return f'<th class="{kind}" scope="col"><button type="button">{escape(title)}</button></th>'


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return '<td class="number" data-value="">–</td>'
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return f'<td class="number" data-value="{value!r}">{shown}</td>'


def _state(state: str) -> str:
    kind = state if state.isidentifier() and state.isascii() else "other"
    return f'<span class="state {kind}">{escape(state)}</span>'


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _data_uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()
