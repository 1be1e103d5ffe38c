"""One page that lists plates and jobs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape

from ..messages.compute import JobSummary
from ..messages.control import MeshStatus
from ..plates.survey import PlateSurvey

STYLE = """
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #f4f6f8; }
header { background: #12324a; color: #fff; padding: 18px 28px; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 17px; margin: 0 0 8px; }
header p { margin: 2px 0 0; color: #b9cfe0; }
section { background: #fff; border: 1px solid #e1e6ec; border-radius: 10px; margin: 18px 28px; padding: 16px 20px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 12px; border-bottom: 1px solid #e1e6ec; }
th { color: #52606d; font-size: 13px; } a { color: #1d5c8f; } .quiet { color: #52606d; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'"


def render_overview(status: MeshStatus, plates: PlateSurvey, jobs: Sequence[JobSummary]) -> str:
    """The page; every value is escaped."""
    told = f"{status.version} · {status.n_actors} actors · {status.n_processes} processes · "
    told += f"{status.n_restarts} restarts · {'?' if status.n_viewers is None else status.n_viewers} viewers"
    plate_rows = [
        {"id": one.id, "name": one.name, "wells": one.n_wells, "fields": one.n_fields, "images": one.n_images}
        for one in plates.plates
    ]
    job_rows = [
        {
            "job": one.job,
            "plate": one.plate_name or one.plate_id,
            "pipeline": one.pipeline,
            "owner": one.owner,
            "state": one.state,
            "wells done": f"{one.n_done} of {one.n_wells}",
            "reason": one.reason,
        }
        for one in jobs
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>hcs-mesh</title>'
        f"<style>{STYLE}</style></head>\n<body><header><h1>hcs-mesh</h1><p>{escape(told)}</p></header>\n"
        f"{_table('Plates', 'plates', 'id', plate_rows)}{_unlisted(plates)}"
        f"{_table('Jobs', 'jobs', 'job', job_rows)}</body></html>\n"
    )


def _unlisted(plates: PlateSurvey) -> str:
    """Why a table is not all there is."""
    return "".join(
        f'<section><p class="quiet">Not all plates: {escape(one.error)}<br>{escape(one.hint)}</p></section>\n'
        for one in plates.unlisted
    )


def _table(title: str, address: str, key: str, rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return f'<section><h2>{title}</h2><p class="quiet">None yet.</p></section>\n'
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row, name, key, address)}</td>" for name in row) + "</tr>" for row in rows
    )
    return f"<section><h2>{title}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>\n"


def _cell(row: Mapping[str, object], name: str, key: str, address: str) -> str:
    shown = escape(str(row[name]))
    return f'<a href="/api/{address}/{shown}">{shown}</a>' if name == key else shown
