"""What a job's owner changes of its results in OMERO harms nobody: the well is computed again, or its files refused."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omero_imports import ask
from omero_plates import logged_in
from omero_results import commit, job_of, make_plate, pool_of, results_of

from hcs_mesh.plates.omero.errors import OmeroWriteSpoilt
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import FILE, RESULTS, ResultKey
from hcs_mesh.plates.omero.results import OmeroResults
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


@pytest.fixture
def pool(omero: RunningServer) -> Iterator[ConnectionPool]:
    pool = pool_of(omero)
    yield pool
    pool.close()


@pytest.fixture
def results(pool: ConnectionPool, tmp_path: Path) -> OmeroResults:
    return results_of(pool, tmp_path / "spool")


@pytest.fixture
def written(omero: RunningServer, results: OmeroResults) -> int:
    """A plate of which the first well is finished."""
    plate_id = make_plate(omero)
    commit(results, plate_id)
    return plate_id


def key_of(plate_id: int, path: str = "") -> ResultKey:
    return ResultKey(job=job_of(plate_id), plate_id=plate_id, well="A01", path=path)


def edit(server: RunningServer, kind: str, query: str, change: Callable[[Any], None]) -> None:
    """Change the first object that a query finds, as its owner may in any client."""
    with logged_in(server, "ada") as client:
        number = ask(client, query)[0][0]
        session = client.getSession()
        held = session.getQueryService().get(kind, number)
        change(held)
        session.getUpdateService().saveObject(held)


def edit_record(server: RunningServer, plate_id: int, change: Callable[[str], str]) -> None:
    from omero.rtypes import rstring

    def describe(record: Any) -> None:
        record.setDescription(rstring(change(record.getDescription().getValue())))

    name = key_of(plate_id).text
    edit(
        server,
        "MapAnnotation",
        f"select a.id from MapAnnotation a where a.ns = '{RESULTS}' and a.name = '{name}'",
        describe,
    )


def is_computed_again(results: OmeroResults, plate_id: int) -> None:
    """The well is not finished, and another attempt takes its place."""
    assert results.results(job_of(plate_id)) == ()
    assert results.sweep(job_of(plate_id)) == ()
    assert commit(results, plate_id, attempt=2).attempt == 2
    assert [one.attempt for one in results.results(job_of(plate_id))] == [2]


@pytest.mark.parametrize("text", ["a remark of mine", "{}", '{"x": ' + "[" * 50_000], ids=["text", "empty", "deep"])
def test_a_description_that_is_no_record_is_of_a_well_that_is_not_finished(
    omero: RunningServer, results: OmeroResults, written: int, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    edit_record(omero, written, lambda said: text)
    with caplog.at_level(logging.WARNING):
        is_computed_again(results, written)
    assert f"the record {key_of(written).text} at OMERO is not believed" in caplog.text


@pytest.mark.parametrize("path", ["../../../../escaped.json", "{}/escaped.json"], ids=["above", "absolute"])
def test_a_record_whose_files_lie_elsewhere_writes_none(
    omero: RunningServer, pool: ConnectionPool, results: OmeroResults, written: int, tmp_path: Path, path: str
) -> None:
    from omero.rtypes import rstring

    path = path.format(tmp_path)
    edit(
        omero,
        "FileAnnotation",
        f"select a.id from FileAnnotation a where a.ns = '{FILE}' and a.name = '{key_of(written, 'report.json').text}'",
        lambda file: file.setName(rstring(key_of(written, path).text)),
    )
    edit_record(omero, written, lambda said: said.replace('"path":"report.json"', f'"path":"{path}"'))
    assert results_of(pool, tmp_path / "another host").results(job_of(written)) == ()
    assert list(tmp_path.rglob("escaped.json")) == []
    is_computed_again(results, written)


@pytest.mark.parametrize("field", ["plate_id", "job", "well"])
def test_a_record_that_tells_of_something_else_is_not_believed(
    omero: RunningServer, results: OmeroResults, written: int, field: str
) -> None:
    other = {"plate_id": make_plate(omero), "job": "job-of-another", "well": "A02"}[field]

    def change(said: str) -> str:
        return msgspec.json.encode({**msgspec.json.decode(said), field: other}).decode()

    edit_record(omero, written, change)
    is_computed_again(results, written)


def test_a_file_that_says_it_is_longer_is_not_read(
    omero: RunningServer, pool: ConnectionPool, written: int, tmp_path: Path
) -> None:
    from omero.rtypes import rlong

    folder = key_of(written, "report.json").folder
    edit(
        omero,
        "OriginalFile",
        f"select f.id from OriginalFile f where f.path = '{folder}' and f.name = 'report.json'",
        lambda file: file.setSize(rlong(2**40)),
    )
    omero.control.tell("forget_counts")
    with pytest.raises(OmeroWriteSpoilt, match="was attached with 11"):
        results_of(pool, tmp_path / "another host").results(job_of(written))
    assert "RawFileStore.read" not in omero.control.counts()


@pytest.mark.parametrize("change", ["a text of one's own", "far away", "no numbers"])
def test_a_region_that_was_changed_is_told(
    omero: RunningServer, pool: ConnectionPool, written: int, tmp_path: Path, change: str
) -> None:
    from omero.rtypes import rdouble, rstring

    def spoil(mask: Any) -> None:
        match change:
            case "a text of one's own":
                mask.setTextValue(rstring("a mitosis"))
            case "far away":
                mask.setX(rdouble(31))
                mask.setWidth(rdouble(30_000))
            case _:
                mask.setTextValue(None)

    query = (
        "select shape.id from RoiAnnotationLink l join l.parent roi join roi.shapes shape "
        f"where l.child.name = '{key_of(written, 'nuclei.ome.tiff').text}' order by shape.id"
    )
    edit(omero, "Mask", query, spoil)
    with pytest.raises(OmeroWriteSpoilt, match="A region of labels"):
        results_of(pool, tmp_path / "another host").results(job_of(written))
