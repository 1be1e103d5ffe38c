"""Wells are written to OMERO once, by those who may, and their files are found again on any host."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from omero_plates import logged_in
from omero_results import (
    KINDS,
    commit,
    gateway,
    inventory,
    job_of,
    make_plate,
    pool_of,
    results_of,
    write_well,
)

from hcs_mesh.plates.labels import COMMENT
from hcs_mesh.plates.local import seal_well
from hcs_mesh.plates.local.errors import PlateNotFound, ResultNotFound
from hcs_mesh.plates.omero.annotations import OmeroAnnotations
from hcs_mesh.plates.omero.errors import OmeroNothingThere, OmeroNotPermitted
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import FILE, RESULTS
from hcs_mesh.plates.omero.results import OmeroResults
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

WRITES = ("IUpdate.", "RawFileStore.", "RawPixelsStore.", "Table.", "SharedResources.", "ThumbnailStore.")


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


@pytest.fixture
def written(results: OmeroResults, plate_id: int) -> int:
    """A plate of which the first well is finished."""
    commit(results, plate_id)
    return plate_id


def test_a_finished_wells_files_are_fetched_where_they_are_not_here(
    pool: ConnectionPool, results: OmeroResults, written: int, tmp_path: Path
) -> None:
    here = Path(results.well_result(job_of(written), "A01").folder)
    elsewhere = results_of(pool, tmp_path / "another host")
    (fetched,) = elsewhere.results(job_of(written))
    there = Path(fetched.folder)
    assert there != here
    assert sorted(path.name for path in there.iterdir()) == sorted(file.path for file in fetched.files)
    assert (there / "cells.csv").read_bytes() == (here / "cells.csv").read_bytes()
    assert (there / "report.json").read_bytes() == (here / "report.json").read_bytes()
    for file in fetched.files:
        if file.path.endswith(".tiff"):
            np.testing.assert_array_equal(tifffile.imread(there / file.path), tifffile.imread(here / file.path))
    assert elsewhere.well_result(job_of(written), "A01") == fetched


def test_a_table_comes_back_with_the_columns_and_headers_that_it_had(
    pool: ConnectionPool, results: OmeroResults, plate_id: int, tmp_path: Path
) -> None:
    folder = results.results_folder(plate_id, job_of(plate_id), "A01", 1)
    result = write_well(folder, plate_id)
    (folder / "cells.csv").write_text("Well,Image,area/px,,n\nA01,img-1,1.5,red,1\nA02,img-2,2.5,blue,2\n")
    seal_well(folder, result)
    assert results.commit_well(plate_id, job_of(plate_id), "A01", 1).notes == ()
    (fetched,) = results_of(pool, tmp_path / "another host").results(job_of(plate_id))
    assert Path(fetched.folder, "cells.csv").read_text().splitlines() == [
        "Well,Image,area/px,,n",
        "A01,img-1,1.5,red,1",
        "A02,img-2,2.5,blue,2",
    ]


def test_a_result_of_which_a_part_was_deleted_says_which(
    omero: RunningServer, pool: ConnectionPool, results: OmeroResults, written: int, tmp_path: Path
) -> None:
    with gateway(omero) as connection:
        well = next(iter(connection.getObject("Plate", written).listChildren()))
        (report,) = well.listAnnotations(ns=FILE)
        connection.deleteObjects("FileAnnotation", [report.getId()], wait=True)
    assert results.well_result(job_of(written), "A01").folder
    with pytest.raises(OmeroNothingThere, match=r"report\.json of well A01"):
        results_of(pool, tmp_path / "another host").results(job_of(written))


def test_wells_of_one_job_share_their_plate_though_they_are_written_at_one_time(
    omero: RunningServer, results: OmeroResults, plate_id: int
) -> None:
    wells = ("A01", "A02")
    for well in wells:
        write_well(results.results_folder(plate_id, job_of(plate_id), well, 1), plate_id, well=well)
    with logged_in(omero, "ada") as client:
        before = inventory(client)
        # So that each of them has looked before another has written.
        omero.control.tell("forget_counts")
        omero.control.tell("slow", operation="IUpdate.saveAndReturnIds", seconds=0.3)
        with ThreadPoolExecutor(4) as threads:
            # Each well twice: whoever comes second finds it finished.
            done = list(threads.map(lambda well: results.commit_well(plate_id, job_of(plate_id), well, 1), wells * 2))
        after = inventory(client)
    # Nothing was made that had to be taken away again.
    assert "ServiceFactory.submit" not in omero.control.counts()
    assert [one.well for one in done] == [*wells, *wells]
    assert after["Plate"] - before["Plate"] == 1
    assert after["Image"] - before["Image"] == 4
    assert after["WellSample"] - before["WellSample"] == 4
    assert after["FileAnnotation"] - before["FileAnnotation"] == 5


def test_a_finished_well_is_known_with_all_that_was_said_of_it(results: OmeroResults, plate_id: int) -> None:
    first, second = commit(results, plate_id, well="A02"), commit(results, plate_id)
    assert results.results(job_of(plate_id)) == (second, first)
    assert results.well_result(job_of(plate_id), "A02") == first
    assert (first.n_objects, first.measurements, first.attempt) == (4, (("cells", 4.0),), 1)
    assert [file.path for file in first.files][:3] == ["cells.csv", "report.json", "nuclei.ome.tiff"]
    with pytest.raises(ResultNotFound):
        results.well_result(job_of(plate_id), "A03")
    assert results.results("another-job") == ()


def test_a_well_that_is_finished_is_not_written_again(
    omero: RunningServer, results: OmeroResults, written: int, tmp_path: Path
) -> None:
    first = results.well_result(job_of(written), "A01")
    write_well(results.results_folder(written, job_of(written), "A01", 2), written, attempt=2, seed=1)
    omero.control.tell("forget_counts")
    assert results.commit_well(written, job_of(written), "A01", 2) == first
    assert [name for name in omero.control.counts() if name.startswith(WRITES)] == []
    gathered = tmp_path / "spool" / "results"
    assert [path for path in gathered.rglob("*") if path.is_file()] == []


def in_one_group(permissions: str) -> dict[str, Any]:
    """People of one group, which is also where they are after logging in."""
    users = [{"name": name, "password": f"pw-{name}", "groups": ["shared"]} for name in ("ada", "grace")]
    return {"groups": [{"name": "shared", "permissions": permissions}], "users": users}


def test_whoever_may_not_annotate_is_told_so_before_anything_is_computed(tmp_path: Path) -> None:
    with running_server(tmp_path / "omero", setup=in_one_group("rwr---")) as server:
        plate_id, pool = make_plate(server, "grace"), pool_of(server)
        with pytest.raises(OmeroNotPermitted, match="may not be annotated") as told:
            results_of(pool, tmp_path / "spool").results_folder(plate_id, job_of(plate_id), "A01", 1)
        pool.close()
    assert "group" in told.value.hint
    assert not (tmp_path / "spool").exists()


def test_whoever_may_not_annotate_any_more_leaves_nothing_behind(tmp_path: Path) -> None:
    with running_server(tmp_path / "omero", setup=in_one_group("rwra--")) as server:
        plate_id, pool = make_plate(server, "grace"), pool_of(server)
        results = results_of(pool, tmp_path / "spool")
        write_well(results.results_folder(plate_id, job_of(plate_id), "A01", 1), plate_id)
        server.control.tell("set_permissions", group="shared", permissions="rwr---")
        with logged_in(server, "grace") as client:
            before = inventory(client)
            with pytest.raises(OmeroNotPermitted, match="annotate"):
                results.commit_well(plate_id, job_of(plate_id), "A01", 1)
            assert inventory(client) == before
        pool.close()


def test_results_belong_to_the_group_of_their_plate_whatever_the_sessions_is(
    omero: RunningServer, tmp_path: Path
) -> None:
    plate_id, pool = make_plate(omero, "grace", group="other"), pool_of(omero, "grace")
    with pool.connection() as connection:
        assert connection.event_context().groupName == "lab"
    commit(results_of(pool, tmp_path / "spool"), plate_id)
    OmeroAnnotations(pool).annotate(plate_id, key="k", namespace=COMMENT, name="", value="theirs as well")
    for kind in KINDS:
        query = (
            f"select distinct g.name from {kind} one join one.details.group g where one.details.owner.omeName = 'grace'"
        )
        with pool.connection() as connection:
            assert connection.rows(query) == [["other"]], kind
    pool.close()


def test_a_fellow_who_may_annotate_writes_as_himself(tmp_path: Path) -> None:
    with running_server(tmp_path / "omero", setup=in_one_group("rwra--")) as server:
        plate_id, pool = make_plate(server, "grace"), pool_of(server)
        results = results_of(pool, tmp_path / "spool")
        commit(results, plate_id)
        assert [one.well for one in results.results(job_of(plate_id))] == ["A01"]
        pool.close()
        with gateway(server, "grace") as connection:
            well = next(iter(connection.getObject("Plate", plate_id).listChildren()))
            (record,) = well.listAnnotations(ns=RESULTS)
            assert record.getDetails().getOwner().getName() == "ada"


def test_a_plate_or_well_that_is_not_there_takes_no_results(results: OmeroResults, plate_id: int) -> None:
    with pytest.raises(PlateNotFound):
        results.results_folder(999_999, job_of(plate_id), "A01", 1)
    with pytest.raises(OmeroNothingThere, match="no well B07"):
        results.results_folder(plate_id, job_of(plate_id), "B07", 1)


def test_what_gathers_for_attempts_that_are_over_is_removed(
    results: OmeroResults, plate_id: int, tmp_path: Path
) -> None:
    alive = results.results_folder(plate_id, job_of(plate_id), "A01", 2)
    over = results.results_folder(plate_id, job_of(plate_id), "A01", 1)
    assert results.sweep(job_of(plate_id), alive={("A01", 2)}) == ()
    assert alive.exists()
    assert not over.exists()
