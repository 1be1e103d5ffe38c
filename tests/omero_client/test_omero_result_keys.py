"""Keys by which what was written is known again, and what is noted beside them."""

from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.omero.result_keys import (
    LONGEST,
    Provenance,
    ResultKey,
    fitting,
    mimetype,
    noted,
    parse_noted,
    provenance_pairs,
)


def test_a_key_says_whose_it_is_and_fits_into_the_database() -> None:
    key = ResultKey(job="job-1", plate_id=7, well="B02", path="tables/cells.csv")
    assert key.text == "job-1/plate_7/B02/tables/cells.csv"
    assert (key.folder, key.name) == ("hcs-mesh/job-1/plate_7/B02/tables/", "cells.csv")
    assert ResultKey(job="job-1", plate_id=7).text == "job-1/plate_7"


def test_what_two_meshes_have_begun_lies_in_two_folders() -> None:
    one, other = (ResultKey(origin=mesh, job="job-1", plate_id=7, path="cells.csv") for mesh in ("mesh-a", "mesh-b"))
    assert one.folder == "hcs-mesh/mesh-a/job-1/plate_7/"
    assert other.folder == "hcs-mesh/mesh-b/job-1/plate_7/"


@given(st.text(max_size=400), st.text(max_size=400))
def test_texts_that_differ_still_differ_once_they_fit(one: str, other: str) -> None:
    assert len(fitting(one)) <= LONGEST
    assert (fitting(one) == fitting(other)) == (one == other)


def test_long_names_that_begin_alike_are_two_keys() -> None:
    one, other = (ResultKey(job="j", plate_id=1, path=f"{'x' * 300}{end}.csv") for end in "ab")
    assert one.text != other.text
    assert len(one.text) == LONGEST


@given(
    st.dictionaries(st.sampled_from(["job", "sha1", "well"]), st.text(st.characters(categories=["L", "N"]), min_size=1))
)
def test_what_was_noted_is_read_again(pairs: dict[str, str]) -> None:
    assert parse_noted(noted(pairs.items())) == pairs


def test_a_description_by_somebody_else_holds_no_pairs() -> None:
    assert parse_noted("measured by hand\n") == {}
    assert parse_noted(None) == {}


def test_files_have_the_types_of_their_names() -> None:
    names = {
        "a.json": "application/json",
        "b.CSV": "text/csv",
        "c.txt": "text/plain",
        "d.tsv": "text/tab-separated-values",
    }
    assert {name: mimetype(name) for name in names} == names
    assert mimetype("e.bin") == "application/octet-stream"


def test_provenance_names_the_pipeline_by_its_source_or_by_what_identifies_it() -> None:
    short = Provenance(pipeline="nuclei", source="Pipeline()", owner="ada", versions=(("hcs-mesh", "1"),))
    told = dict(provenance_pairs(short, ResultKey(job="j", plate_id=3, well="A01"), attempt=2))
    assert (told["pipeline source"], told["attempt"], told["hcs-mesh version"]) == ("Pipeline()", "2", "1")
    long = Provenance(pipeline="nuclei", source="Pipeline()" * 100)
    told = dict(provenance_pairs(long, ResultKey(job="j", plate_id=3), attempt=1))
    assert "pipeline source" not in told
    assert "well" not in told
    assert len(told["pipeline SHA-1"]) == 40
