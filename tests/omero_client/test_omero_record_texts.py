"""What a record's description says is believed where the mesh may have written it, and nowhere else."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hcs_mesh.plates.omero.record_texts import MOST_BYTES, BadRecord, parse_record, record_text
from hcs_mesh.plates.repository import ResultFile, StoredResult

NAME = "mesh-a/job-1/plate_7/A01"
FILE = ResultFile(path="labels/s1.tiff", kind="label", height=24, width=32, dtype="uint16", size=900, sha1="0" * 40)
RESULT = StoredResult(
    job="job-1",
    plate_id=7,
    well="A01",
    attempt=2,
    n_objects=4,
    measurements=(("cells", 4.0),),
    files=(FILE,),
    notes=("one field is missing",),
)


def parse(text: str, name: str = NAME) -> StoredResult:
    return parse_record(text, name=name, job="job-1", origin="mesh-a")


def told(**changed: Any) -> str:
    """The record with other values in the result itself."""
    return msgspec.json.encode({**msgspec.to_builtins(RESULT), **changed}).decode()


def told_of_file(**changed: Any) -> str:
    """The record with other values in its one file."""
    return told(files=[{**msgspec.to_builtins(FILE), **changed}])


def test_what_the_mesh_writes_it_reads_again() -> None:
    assert parse(record_text(msgspec.structs.replace(RESULT, folder="/spool/A01"))) == RESULT
    image = msgspec.structs.replace(RESULT, well="")
    assert parse(record_text(image), "mesh-a/job-1/plate_7") == image


def test_a_folder_is_never_told() -> None:
    assert parse(told(folder="/etc")).folder == ""


@pytest.mark.parametrize("text", ["", "a remark", "{}", "[" * 100_000, '{"x": ' + "[" * 100_000, "[1, 2]", "null"])
def test_what_is_no_result_is_told(text: str) -> None:
    with pytest.raises(BadRecord):
        parse(text)


@pytest.mark.parametrize(
    "path", ["../report.json", "a/../../report.json", "/etc/cron.d/report", "a//b", ".", "", "a\0b", "report.json.part"]
)
def test_a_file_that_would_lie_elsewhere_is_none(path: str) -> None:
    with pytest.raises(BadRecord):
        parse(told_of_file(path=path))


@pytest.mark.parametrize(
    "changed", [{"plate_id": 8}, {"job": "job-2"}, {"well": "A02"}, {"well": ""}, {"well": "../A01"}], ids=repr
)
def test_a_record_of_something_else_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        parse(told(**changed))


def test_the_record_of_another_mesh_is_none() -> None:
    with pytest.raises(BadRecord):
        parse(told(), "mesh-b/job-1/plate_7/A01")


@pytest.mark.parametrize(
    ("tell", "changed"),
    [
        (told, {"n_objects": 2**70}),
        (told, {"attempt": -1}),
        (told_of_file, {"height": -1}),
        (told_of_file, {"width": 2**31}),
        # Each side is one that a plane may have.
        (told_of_file, {"height": 2**20, "width": 2**20}),
        (told_of_file, {"z": 2**64}),
        (told_of_file, {"size": MOST_BYTES + 1}),
        (told_of_file, {"dtype": "object"}),
    ],
)
def test_numbers_that_no_well_has_are_told(tell: Callable[..., str], changed: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        parse(tell(**changed))


def test_files_are_bounded_together() -> None:
    files = [{**msgspec.to_builtins(FILE), "path": f"{n}.bin", "size": MOST_BYTES // 2} for n in range(3)]
    assert len(parse(told(files=files[:2])).files) == 2
    with pytest.raises(BadRecord):
        parse(told(files=files))
