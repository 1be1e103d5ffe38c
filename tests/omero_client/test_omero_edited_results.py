"""What a job's owner changes of its results in OMERO harms nobody: the well is computed again."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omero_imports import ask
from omero_plates import logged_in
from omero_results import commit, job_of, make_plate, pool_of, results_of

from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import RESULTS, ResultKey
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
