"""From a job's status and its wells' files to the report."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from hcs_mesh.messages.compute import JobStatus, WellStatus
from hcs_mesh.plates.model import Plate
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.viewers.job_report import report_of
from hcs_mesh.viewers.report import write_report
from hcs_mesh.viewers.thumbnails import thumbnails


def status(folder: Path, tables: tuple[str, ...] = ("per_nucleus.csv",)) -> JobStatus:
    """A job whose first well is done, whose second failed and whose third waits."""
    for name in tables:
        (folder / name).write_text("well,field,label,area_px\r\nA01,1,1,0.1\r\nA01,2,1,412.0\r\n", newline="")
    return JobStatus(
        job="j-1",
        plate_id=1,
        pipeline="nuclei",
        source="pipeline = Pipeline()",
        source_name="nuclei.py",
        state="failed",
        submitted_at_unix_s=1_000.0,
        finished_at_unix_s=1_090.5,
        wells=(
            WellStatus(
                well="A01",
                state="done",
                attempts=2,
                n_objects=2,
                measurements=(("mean_area_px", 206.05),),
                duration_s=0.4,
                folder=str(folder),
                files=(*tables, "A01_s001_nuclei.ome.tiff"),
                notes=("field 2: no ring",),
            ),
            WellStatus(well="A02", state="failed", attempts=3, error="channel 1 is missing"),
            WellStatus(well="A03"),
        ),
        faults=("executor.cpu0 was killed",),
    )


PLATE = Plate(id=1, name="Demo24", n_rows=4, n_columns=6)


def test_every_well_keeps_its_state_and_only_done_wells_have_numbers(tmp_path: Path) -> None:
    report = report_of(status(tmp_path), PLATE, n_restarts=1)
    done, failed, queued = report.wells
    assert (done.n_objects, done.attempts, dict(done.measurements)) == (2, 2, {"mean_area_px": 206.05})
    assert (failed.state, failed.reason, failed.n_objects) == ("failed", "channel 1 is missing", None)
    assert (queued.state, queued.n_objects) == ("queued", None)
    assert report.provenance.duration_s == 90.5
    assert report.provenance.started == "1970-01-01 00:16:40 UTC"
    assert report.provenance.faults == ("executor.cpu0 was killed",)
    assert report.notes == ("A01: field 2: no ring",)


def test_objects_are_the_rows_of_the_wells_tables_as_they_were_written(tmp_path: Path) -> None:
    files = write_report(report_of(status(tmp_path), PLATE), tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO(files.objects.read_text(), newline="")))
    assert rows == [
        {"well": "A01", "field": "1", "label": "1", "area_px": "0.1"},
        {"well": "A01", "field": "2", "label": "1", "area_px": "412.0"},
    ]


def test_rows_of_several_tables_say_which_they_are_from(tmp_path: Path) -> None:
    report = report_of(status(tmp_path, ("per_nucleus.csv", "rings.csv")), PLATE)
    assert list(report.objects["table"]) == ["per_nucleus", "per_nucleus", "rings", "rings"]


def test_thumbnails_show_the_first_field_on_one_scale(tmp_path: Path) -> None:
    write_plate(tmp_path, Recipe(n_rows=1, n_columns=6, n_fields=1, size_px=256))
    (plate,) = plan(tmp_path).plates
    draw = thumbnails(msgspec.structs.replace(plate, root=str(tmp_path)))
    first, last = (np.asarray(Image.open(io.BytesIO(draw(well)))) for well in ("A01", "A06"))
    assert first.shape == last.shape == (128, 128, 3)
    # The reporter gathers in the nuclei as the dose rises: brighter spots of green.
    assert np.percentile(last[..., 1], 99) > np.percentile(first[..., 1], 99)


def test_a_plate_of_many_wells_gets_no_thumbnails() -> None:
    plate = msgspec.structs.replace(PLATE, wells=tuple(f"A{n:02d}" for n in range(1, 98)))
    assert thumbnails(plate)("A01") == b""
