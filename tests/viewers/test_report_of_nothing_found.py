"""Wells in which nothing was found, or not all was looked at, are told as such."""

import csv
import io
from pathlib import Path

from hcs_mesh.messages.compute import JobStatus, WellStatus
from hcs_mesh.plates.model import Plate
from hcs_mesh.viewers.job_report import report_of
from hcs_mesh.viewers.report import write_report

HEADER = "well,field,t,label,area_px\r\n"
NOTE = "field 1: not analysed: 1 declared image is missing (A01.tif)"


def job(folder: Path, *wells: WellStatus) -> JobStatus:
    (folder / "per_nucleus.csv").write_text(HEADER, newline="")
    return JobStatus(job="j-1", plate_id=1, pipeline="nuclei", source="", source_name="", state="done", wells=wells)


def test_a_table_without_a_row_keeps_its_header(tmp_path: Path) -> None:
    done = WellStatus(well="A01", state="done", folder=str(tmp_path), files=("per_nucleus.csv",))
    files = write_report(report_of(job(tmp_path, done), Plate(id=1, name="P1")), tmp_path / "out")
    assert files.objects.read_bytes().decode() == HEADER


def test_without_a_table_there_is_nothing_to_head(tmp_path: Path) -> None:
    failed = WellStatus(well="A01", state="failed", error="no images")
    files = write_report(report_of(job(tmp_path, failed), Plate(id=1, name="P1")), tmp_path / "out")
    assert files.objects.read_bytes() == b""


def test_what_was_not_analysed_stands_beside_the_well_on_the_page_and_in_the_table(tmp_path: Path) -> None:
    done = WellStatus(well="A01", state="done", folder=str(tmp_path), files=("per_nucleus.csv",), notes=(NOTE,))
    files = write_report(report_of(job(tmp_path, done), Plate(id=1, name="P1")), tmp_path / "out")
    (row,) = csv.DictReader(io.StringIO(files.wells.read_text(), newline=""))
    assert row["reason"] == NOTE
    assert f"<td>{NOTE}</td>" in files.page.read_text()
