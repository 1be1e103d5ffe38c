"""Results as an executor leaves them, and a server to write them to."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from omero_lab import Server, account, address_of, login
from omero_plates import Planes, logged_in, save_plate

from hcs_mesh.plates.local import seal_well, write_ome_tiff
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import Provenance
from hcs_mesh.plates.omero.results import OmeroResults
from hcs_mesh.plates.repository import ResultFile, StoredResult

SOURCE = "Pipeline(name='nuclei', steps=[Label()])\n"


def job_of(plate_id: int) -> str:
    """The one job on a plate."""
    return f"job-{plate_id}"


def pool_of(server: Server, user: str = "ada") -> ConnectionPool:
    """Connections of one person."""
    return ConnectionPool(lambda: Connection(address_of(server), login(user, server)))


def provenance(job: str) -> Provenance:
    """What every job of these tests is told to be."""
    return Provenance(pipeline="nuclei", source=SOURCE, owner="ada", versions=(("hcs-mesh", "0.1.0"),))


def results_of(pool: ConnectionPool, spool: Path) -> OmeroResults:
    return OmeroResults(pool, spool, provenance=provenance)


def make_plate(server: Server, user: str = "ada", *, group: str = "") -> int:
    """A plate of two wells with two fields, in the user's usual group or another."""
    with logged_in(server, user) as client:
        if group:
            session = client.getSession()
            session.setSecurityContext(session.getAdminService().lookupGroup(group))
        return save_plate(client, "a plate", n_rows=1, n_columns=2, n_fields=2)


def some_labels(seed: int = 0) -> Planes:
    """Objects of several sizes and shapes on a plane of 24 x 32, one at its very corner."""
    labels = np.zeros((24, 32), np.uint16)
    labels[2:7, 3:12] = 1
    labels[4, 5] = 0
    labels[10:13, 20:21] = 2
    labels[20:24, 28:32] = 300 + seed
    labels[9, 9] = 4
    return labels


def some_table() -> list[list[Any]]:
    """A table as an executor writes it, header first."""
    return [
        ["well", "field", "t", "label", "area_um2", "round"],
        ["A01", 1, 0, 1, 44.5, True],
        ["A01", 1, 0, 2, 3.25, False],
        ["A01", 2, 0, 1, float("nan"), True],
    ]


def write_well(folder: Path, plate_id: int, *, well: str = "A01", attempt: int = 1, seed: int = 0) -> StoredResult:
    """Fill and seal an attempt's folder: a table, a text, labels of one plane, processed planes of two fields."""
    with (folder / "cells.csv").open("w", newline="") as file:
        csv.writer(file).writerows(some_table())
    (folder / "report.json").write_text(f'{{"seed": {seed}}}')
    write_ome_tiff(folder / "nuclei.ome.tiff", some_labels(seed), labels=True)
    files = [
        ResultFile(path="cells.csv", kind="table", output="cells"),
        ResultFile(path="report.json", kind="other", output="report"),
        ResultFile(
            path="nuclei.ome.tiff", kind="label", output="nuclei", field=2, c=1, z=0, t=0, height=24, width=32,
            dtype="uint16",
        ),
    ]  # fmt: skip
    for field in (1, 2):
        for output in ("blurred", "flat"):
            name = f"s{field}_{output}.ome.tiff"
            write_ome_tiff(folder / name, processed(field, output, seed))
            files.append(
                ResultFile(path=name, kind="plane", output=output, field=field, height=24, width=32, dtype="uint16")
            )
    result = StoredResult(
        job=job_of(plate_id),
        plate_id=plate_id,
        well=well,
        attempt=attempt,
        n_objects=4,
        measurements=(("cells", 4.0),),
        files=tuple(files),
    )
    return seal_well(folder, result)


def commit(results: OmeroResults, plate_id: int, *, well: str = "A01", attempt: int = 1, seed: int = 0) -> Any:
    write_well(
        results.results_folder(plate_id, job_of(plate_id), well, attempt),
        plate_id,
        well=well,
        attempt=attempt,
        seed=seed,
    )
    return results.commit_well(plate_id, job_of(plate_id), well, attempt)


def processed(field: int, output: str, seed: int = 0) -> Planes:
    """A processed plane."""
    return np.random.default_rng([field, len(output), seed]).integers(0, 60_000, (24, 32)).astype("uint16")


KINDS = (
    "OriginalFile", "FileAnnotation", "MapAnnotation", "Roi", "Mask", "Plate", "Well", "Image", "Pixels",
    "WellSample", "WellAnnotationLink", "PlateAnnotationLink", "ImageAnnotationLink", "RoiAnnotationLink",
    "AnnotationAnnotationLink",
)  # fmt: skip
"""Of which a well's results have some."""


def inventory(client: Any) -> dict[str, int]:
    """How many of each kind the server holds that this client may see."""
    query = client.getSession().getQueryService()
    counted = {kind: query.projection(f"select count(one) from {kind} one", None) for kind in KINDS}
    return {kind: int(rows[0][0].getValue()) for kind, rows in counted.items()}


@contextmanager
def gateway(server: Server, user: str = "ada") -> Iterator[Any]:
    """The gateway of omero-py, as other programs use it."""
    omero_py()
    from omero.gateway import BlitzGateway

    connection = BlitzGateway(*account(server, user), host=server.host, port=server.port, secure=True)
    assert connection.connect(), connection.getLastError()
    try:
        yield connection
    finally:
        connection.close()
