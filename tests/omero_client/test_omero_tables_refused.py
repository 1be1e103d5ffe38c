"""A table that OMERO.tables does not take is attached as the file that it is, and its well is finished."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from omero_results import commit, gateway, job_of, make_plate, pool_of, results_of, some_table, write_well

from hcs_mesh.plates.local import seal_well
from hcs_mesh.plates.omero.errors import OmeroUnreachable
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import FILE, TABLE
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
def plate_id(omero: RunningServer) -> int:
    return make_plate(omero)


def attached(server: RunningServer, plate_id: int) -> tuple[list[str], int, int]:
    """The names of the well's attached files, how many of them are tables, and how many tables are nobody's."""
    with gateway(server) as connection:
        well = next(iter(connection.getObject("Plate", plate_id).listChildren()))
        names = sorted(one.getFile().getName() for one in well.listAnnotations(ns=FILE))
        n_tables = len(list(well.listAnnotations(ns=TABLE)))
        path = f"hcs-mesh/{job_of(plate_id)}/plate_{plate_id}/A01/cells.csv"
        query = f"select f.id from OriginalFile f where f.mimetype = 'OMERO.tables' and f.path = '{path}'"
        left = connection.getQueryService().projection(query, None, connection.SERVICE_OPTS)
    return names, n_tables, len(left) - n_tables


@pytest.mark.parametrize(
    ("operation", "failure"),
    [
        ("SharedResources.newTable", "ResourceError"),
        ("Table.initialize", "ApiUsageException"),
        ("Table.addData", "InternalException"),
    ],
)
def test_a_service_that_fails_costs_the_table_and_not_the_well(
    omero: RunningServer, results: OmeroResults, plate_id: int, operation: str, failure: str
) -> None:
    omero.control.tell("fail", operation=operation, times=None, **{"with": failure})
    stored = commit(results, plate_id)
    omero.control.tell("forget_faults")
    (note,) = stored.notes
    assert note.startswith("cells.csv is stored as a file: OMERO at ")
    assert attached(omero, plate_id) == (["cells.csv", "report.json"], 0, 0)
    assert results.commit_well(plate_id, job_of(plate_id), "A01", 1) == stored


def test_a_name_that_is_reserved_there_stays_in_the_file(
    omero: RunningServer, pool: ConnectionPool, results: OmeroResults, plate_id: int, tmp_path: Path
) -> None:
    folder = results.results_folder(plate_id, job_of(plate_id), "A01", 1)
    result = write_well(folder, plate_id)
    header, *rows = some_table()
    with (folder / "cells.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*header[:-1], "__round"], *rows])
    written = (folder / "cells.csv").read_bytes()
    seal_well(folder, result)
    stored = results.commit_well(plate_id, job_of(plate_id), "A01", 1)
    assert "Reserved column name: __round" in stored.notes[0]
    assert attached(omero, plate_id) == (["cells.csv", "report.json"], 0, 0)
    (fetched,) = results_of(pool, tmp_path / "another host").results(job_of(plate_id))
    assert Path(fetched.folder, "cells.csv").read_bytes() == written


def test_a_server_that_is_gone_refuses_nothing(own_omero: RunningServer, tmp_path: Path) -> None:
    plate_id, pool = make_plate(own_omero), pool_of(own_omero)
    results = results_of(pool, tmp_path / "spool")
    own_omero.control.tell("fail", operation="Table.addData", times=1, **{"with": "drop"})
    with pytest.raises(OmeroUnreachable):
        commit(results, plate_id)
    assert results.commit_well(plate_id, job_of(plate_id), "A01", 1).notes == ()
    assert attached(own_omero, plate_id) == (["report.json"], 1, 0)
    pool.close()
