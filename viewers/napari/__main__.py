"""``python -m hcs_mesh.viewers.napari --data DIR``: one window on a running mesh."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ...config.errors import MeshError
from ...messages.viewing import Subject
from ..canvas import MAX_BYTES
from ..grouping import parse_grouping
from ..mesh_arguments import add_mesh_arguments, given_mesh
from .application import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window and stay until it is closed; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hcs_mesh.viewers.napari", description=__doc__)
    add_mesh_arguments(parser)
    parser.add_argument("--job", default="", help="show this job instead of the latest")
    parser.add_argument("--plate", type=int, default=0, help="show this plate instead of the latest")
    parser.add_argument("--title", default="hcs-mesh", help="the window's title")
    parser.add_argument("--group", default="", help="e.g. z=layer,field=layer; the rest keeps its default")
    parser.add_argument("--max-gib", type=float, default=MAX_BYTES / 2**30, help="pixels kept in memory at most")
    parser.add_argument("--report", type=Path, help="write what the window holds into this JSON file, for tests")
    given = parser.parse_args(arguments)
    try:
        report = run(
            given_mesh(given),
            Subject(plate_id=given.plate, job=given.job),
            grouping=parse_grouping(given.group),
            title=given.title,
            key=given.key,
            max_bytes=int(given.max_gib * 2**30),
            report=given.report,
        )
    except MeshError as error:
        print(f"{error}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1
    if given.report is not None:
        given.report.write_text(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
