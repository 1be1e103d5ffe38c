"""No message to or from OMERO is larger than both take: labels and tables go in parts, and the rest is told at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from omero_lab import SETUP, address_of, login
from omero_plates import logged_in
from omero_results import commit, inventory, job_of, make_plate, pool_of, results_of, write_well

from hcs_mesh.actors.analysis.patience import may_pass
from hcs_mesh.plates.local import seal_well, write_ome_tiff
from hcs_mesh.plates.omero import message_sizes, regions
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroTooLarge
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.omero.message_sizes import LIMIT_BYTES, PART_BYTES, must_fit, parts
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.repository import StoredResult
from omero_server.running import RunningServer, running_server

pytestmark = pytest.mark.needs("omero")

MESSAGE_KB = 20_480
"""Enough for a part, and far below OMERO's own bound, so that what is over it need not be large."""

Change = Callable[[Path, StoredResult], StoredResult]


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server that takes no more than that, as its clients do."""
    monkeypatch.setattr(omero_py().omero.constants, "MESSAGESIZEMAX", MESSAGE_KB)
    with running_server(tmp_path / "omero", setup={**SETUP, "message_kb": MESSAGE_KB}) as server:
        yield server


def committed_and_fetched(server: RunningServer, folder: Path, change: Change) -> tuple[Path, Path]:
    """The files of a well that was changed before it was written, and those that another host fetches."""
    plate_id = make_plate(server)
    pool = pool_of(server)
    results = results_of(pool, folder / "spool")
    files = results.results_folder(plate_id, job_of(plate_id), "A01", 1)
    seal_well(files, change(files, write_well(files, plate_id)))
    stored = results.commit_well(plate_id, job_of(plate_id), "A01", 1)
    assert stored.notes == ()
    (fetched,) = results_of(pool, folder / "another host").results(job_of(plate_id))
    pool.close()
    return Path(stored.folder), Path(fetched.folder)


def test_labels_that_are_more_than_a_message_are_written_and_read_in_parts(
    narrow: RunningServer, tmp_path: Path
) -> None:
    side, n_objects = 2048, 48
    # The box of each is the whole plane.
    labels = (np.arange(side * side).reshape(side, side) % n_objects + 1).astype(np.uint16)
    assert n_objects * side * side // 8 > MESSAGE_KB * 1024

    def change(folder: Path, result: StoredResult) -> StoredResult:
        write_ome_tiff(folder / "nuclei.ome.tiff", labels, labels=True)
        return _resized(result, side)

    here, there = committed_and_fetched(narrow, tmp_path, change)
    assert here != there
    np.testing.assert_array_equal(tifffile.imread(there / "nuclei.ome.tiff"), labels)


def test_a_table_of_long_texts_is_written_and_read_in_parts(narrow: RunningServer, tmp_path: Path) -> None:
    text, n_rows = "x" * 10_000, 2500
    assert n_rows * len(text) > MESSAGE_KB * 1024

    def change(folder: Path, result: StoredResult) -> StoredResult:
        rows = "".join(f"{number},{text}\r\n" for number in range(n_rows))
        (folder / "cells.csv").write_text(f"number,text\r\n{rows}", newline="")
        return result

    here, there = committed_and_fetched(narrow, tmp_path, change)
    assert (here / "cells.csv").read_bytes() == (there / "cells.csv").read_bytes()


def test_labels_with_an_object_too_large_for_a_region_are_kept_as_their_file(
    omero: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first object's box is of 45 pixels.
    monkeypatch.setattr(regions, "PART_BYTES", 5)
    plate_id = make_plate(omero)
    with logged_in(omero, "ada") as client:
        n_before = inventory(client)["Roi"]
    pool = pool_of(omero)
    stored = commit(results_of(pool, tmp_path / "spool"), plate_id)
    assert stored.notes == (
        "nuclei.ome.tiff is stored as a file: object 1 has a box of 9 x 5 pixels, and a region has 40 at most",
    )
    with logged_in(omero, "ada") as client:
        assert inventory(client)["Roi"] == n_before
    (fetched,) = results_of(pool, tmp_path / "another host").results(job_of(plate_id))
    here, there = (Path(one.folder, "nuclei.ome.tiff").read_bytes() for one in (stored, fetched))
    assert here == there
    pool.close()


def test_a_plane_that_no_message_takes_fails_its_well_for_good(
    omero: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_sizes, "LIMIT_BYTES", 65 * 1024)
    pool = pool_of(omero)
    plate_id = make_plate(omero)
    results = results_of(pool, tmp_path / "spool")
    write_well(results.results_folder(plate_id, job_of(plate_id), "A01", 1), plate_id)
    with pytest.raises(OmeroTooLarge, match=r"plane of .* has 1536 bytes") as told:
        results.commit_well(plate_id, job_of(plate_id), "A01", 1)
    assert not may_pass(told.value)
    pool.close()


def test_an_answer_that_is_too_large_is_told_as_such_and_others_are_answered(
    omero: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omero_py().omero.constants, "MESSAGESIZEMAX", 100)
    said = _annotation(omero, "x" * 200_000)
    pool = ConnectionPool(lambda: Connection(address_of(omero), login("ada")))

    def ask(connection: Connection) -> Any:
        return connection.rows("select a.description from MapAnnotation a where a.id = :id", id=said)

    with pytest.raises(OmeroTooLarge, match="answers with more than a message may have") as told:
        pool.read(ask)
    assert not may_pass(told.value)
    # What the answer came by hears nothing more.
    with pool.connection() as connection:
        assert connection.event_context().userName == "ada"
    assert pool.statistics().n_broken == 1
    pool.close()


def test_what_fits_is_sent_and_what_does_not_is_told_with_its_size() -> None:
    must_fit(PART_BYTES, "A part")
    with pytest.raises(OmeroTooLarge, match=f"A plane has {LIMIT_BYTES} bytes"):
        must_fit(LIMIT_BYTES, "A plane")


@given(st.lists(st.integers(0, 30)), st.integers(1, 5), st.integers(1, 40))
def test_parts_hold_everything_in_its_order_and_no_more_than_they_may(
    sizes: list[int], n_items: int, n_bytes: int
) -> None:
    found = list(parts(sizes, lambda size: size, n_items=n_items, n_bytes=n_bytes))
    assert [size for part in found for size in part] == sizes
    assert all(1 <= len(part) <= n_items for part in found)
    assert all(sum(part) <= n_bytes or len(part) == 1 for part in found)


def _resized(result: StoredResult, side: int) -> StoredResult:
    return msgspec.structs.replace(
        result,
        folder="",
        files=tuple(
            msgspec.structs.replace(file, height=side, width=side) if file.kind == "label" else file
            for file in result.files
        ),
    )


def _annotation(server: RunningServer, description: str) -> int:
    """An annotation of ada's."""
    from omero.model import MapAnnotationI
    from omero.rtypes import rstring

    made = MapAnnotationI()
    made.setDescription(rstring(description))
    with logged_in(server, "ada") as client:
        return int(client.getSession().getUpdateService().saveAndReturnIds([made])[0])
