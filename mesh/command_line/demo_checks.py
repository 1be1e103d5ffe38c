"""What the demo found, held against what the generator of its plate knows."""

from __future__ import annotations

import filecmp
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..messages.compute import JobStatus
from ..messages.imports import ImportStatus
from ..plates.model import Plate
from ..plates.synthetic import Truth

COUNT_TOLERANCE = 0.05
RATIO_TOLERANCE = 0.2


class Check(NamedTuple):
    """One promise, whether it was kept, and the numbers that say so."""

    promise: str
    kept: bool
    found: str


def check_import(status: ImportStatus, plate: Plate, source: Path, truth: Truth) -> Iterator[Check]:
    """Every file is there, byte for byte."""
    yield Check(
        "every file is imported",
        (status.n_files, status.n_bytes) == (truth.n_files, truth.n_bytes),
        f"{status.n_files} of {truth.n_files} files, {status.n_bytes} of {truth.n_bytes} bytes",
    )
    names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    _, differ, absent = filecmp.cmpfiles(source, plate.root, names, shallow=False)
    yield Check(
        "the stored files are the microscope's, byte for byte",
        not differ and not absent,
        f"{len(names) - len(differ) - len(absent)} of {len(names)} equal",
    )


def check_job(job: JobStatus, truth: Truth) -> Iterator[Check]:
    """Every well is there once, with the numbers that the generator put in."""
    states = Counter(well.state for well in job.wells)
    folders = {well.folder for well in job.wells}
    siblings = {path for folder in folders if folder for path in Path(folder).parent.iterdir()}
    yield Check(
        "every well is finished, and there is one result of each",
        states["done"] == len(truth.ratios) == len(folders) == len(siblings),
        f"{states['done']} of {len(truth.ratios)} wells done, {len(siblings)} results",
    )
    expected = {well: truth.n_nuclei(well) for well in truth.ratios}
    total, wanted = sum(well.n_objects for well in job.wells), sum(expected.values())
    worst = max((abs(well.n_objects - expected[well.well]) / expected[well.well] for well in job.wells), default=1.0)
    yield Check(
        f"nuclei are counted within {COUNT_TOLERANCE:.0%} of the truth",
        abs(total - wanted) <= COUNT_TOLERANCE * wanted and worst <= 3 * COUNT_TOLERANCE,
        f"{total} found, {wanted} are there; the worst well is off by {worst:.0%}",
    )
    ratios = {well.well: dict(well.measurements).get("nucleus_ring_ratio", 0.0) for well in job.wells}
    off = {well: abs(ratios.get(well, 0.0) - ratio) / ratio for well, ratio in truth.ratios.items()}
    low, high = min(ratios.values(), default=0.0), max(ratios.values(), default=0.0)
    yield Check(
        f"the reporter's nucleus/ring ratio is within {RATIO_TOLERANCE:.0%} of the truth in each well",
        max(off.values()) <= RATIO_TOLERANCE,
        f"from {low:.2f} to {high:.2f} along the dose; the worst well is off by {max(off.values()):.0%}",
    )


def check_recording(folder: Path, plate: Plate, job: JobStatus) -> Iterator[Check]:
    """The viewer got every plane, and each once."""
    entries = [json.loads(line) for line in (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    paths = Counter(entry["path"] for entry in entries if "sha1" in entry)
    labels = {entry["path"] for entry in entries if entry.get("kind") == "labels"}
    wanted = sum(name.endswith((".tif", ".tiff")) for well in job.wells for name in well.files)
    twice = sum(count > 1 for count in paths.values())
    yield Check(
        "the viewer received every plane, each once",
        len(paths) - len(labels) == plate.n_images and len(labels) == wanted and not twice,
        f"{len(paths) - len(labels)} of {plate.n_images} planes, {len(labels)} of {wanted} label planes, {twice} twice",
    )
