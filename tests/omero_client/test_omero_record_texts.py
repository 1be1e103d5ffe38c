"""What a record's description says is believed where the mesh may have written it, and nowhere else."""

import msgspec
import pytest

from hcs_mesh.plates.omero.record_texts import BadRecord, parse_record, record_text
from hcs_mesh.plates.repository import ResultFile, StoredResult

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


def test_what_the_mesh_writes_it_reads_again() -> None:
    assert parse_record(record_text(msgspec.structs.replace(RESULT, folder="/spool/A01"))) == RESULT


@pytest.mark.parametrize("text", ["", "a remark", "{}", "[" * 100_000, '{"x": ' + "[" * 100_000, "[1, 2]", "null"])
def test_what_is_no_result_is_told(text: str) -> None:
    with pytest.raises(BadRecord):
        parse_record(text)
