"""One page that lists plates and jobs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec

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


def render_overview(status: msgspec.Struct, plates: Sequence[msgspec.Struct], jobs: Sequence[msgspec.Struct]) -> str:
    """The page; every value is escaped."""
    told = " · ".join(f"{key} {value}" for key, value in _scalars(status).items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>hcs-mesh</title>'
        f"<style>{STYLE}</style></head>\n<body><header><h1>hcs-mesh</h1><p>{escape(told)}</p></header>\n"
        f"{_table('Plates', 'plates', 'id', plates)}{_table('Jobs', 'jobs', 'job', jobs)}</body></html>\n"
    )


def _table(title: str, address: str, key: str, lines: Sequence[msgspec.Struct]) -> str:
    rows = [_scalars(line) for line in lines]
    if not rows:
        return f'<section><h2>{title}</h2><p class="quiet">None yet.</p></section>\n'
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row, name, key, address)}</td>" for name in names) + "</tr>" for row in rows
    )
    return f"<section><h2>{title}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>\n"


def _cell(row: Mapping[str, Any], name: str, key: str, address: str) -> str:
    shown = escape(str(row.get(name, "")))
    return f'<a href="/api/{address}/{shown}">{shown}</a>' if name == key else shown


def _scalars(line: msgspec.Struct) -> dict[str, Any]:
    known = msgspec.to_builtins(line)
    return {name: value for name, value in known.items() if isinstance(value, str | int | float) and value != ""}
