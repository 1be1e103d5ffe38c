"""Results written to OMERO, beside the bare calls that carry them: ``python bench/results_in_omero.py``."""

import hashlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# The stand-in server and how plates get into it are the tests'.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from omero_lab import SETUP
from omero_results import make_plate, pool_of
from rows import Row

from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroMissing
from hcs_mesh.plates.omero.file_annotations import BLOCK_BYTES, attach_file
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.omero.masks import masks_of
from hcs_mesh.plates.omero.regions import OBJECTS_AT_ONCE, PlaneOfImage, attach_labels
from hcs_mesh.plates.omero.result_keys import FILE, ResultKey
from hcs_mesh.plates.omero.targets import WellTargets, find_well
from hcs_mesh.plates.omero.well_records import WellRecord, open_record
from omero_server.running import RunningServer, running_server

FILE_MIB = 32
SIDE = 1024
N_TIMES = 5
UPLOAD, REGIONS = "OMERO: a file attached: the bare upload", "OMERO: labels attached: regions saved barely"


def measure() -> list[Row]:
    """Measure both against one server on this machine."""
    try:
        omero_py()
    except OmeroMissing as error:
        return [Row(name=name, unmeasured=error.hint) for name in (UPLOAD, REGIONS)]
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "omero", setup=SETUP) as server:
        pool = pool_of(server)
        with pool.connection() as connection:
            rows = _rows(server, connection, Path(folder))
        pool.close()
        return rows


def _rows(server: RunningServer, connection: Connection, folder: Path) -> list[Row]:
    plate_id = make_plate(server)
    wells = find_well(connection, plate_id, "A01")
    record = open_record(connection, wells.well, ResultKey(job="bench", plate_id=plate_id, well="A01"), ())
    content = folder / "content.json"
    content.write_bytes(np.random.default_rng(0).bytes(FILE_MIB * 2**20))
    labels = _labels()
    n_objects = int(labels.max())
    bare_s, ours_s = _medians_s(
        lambda n: _upload(connection, content), lambda n: _attach(connection, wells, record, content, n)
    )
    saved_s, regions_s = _medians_s(
        lambda n: _save_regions(connection, wells, labels),
        lambda n: attach_labels(
            connection, wells.of(1), _key(record, f"labels{n}"), labels, PlaneOfImage(0, 0, 0), record=record
        ),
    )
    return [
        Row(name=UPLOAD, reference=FILE_MIB / bare_s, ours=FILE_MIB / ours_s, unit="MiB/s", target=0.8),
        # Each region has a link to its labels: three rows are saved for every two of the reference.
        Row(name=REGIONS, reference=n_objects / saved_s, ours=n_objects / regions_s, unit="objects/s", target=0.6),
    ]


def _upload(connection: Connection, content: Path) -> None:
    """What any program does: hash, upload, have it noted."""
    digest = hashlib.sha1(content.read_bytes(), usedforsecurity=False).hexdigest()
    library = connection.library
    file, hasher = library.omero.model.OriginalFileI(), library.omero.model.ChecksumAlgorithmI()
    hasher.setValue(library.rtypes.rstring("SHA1-160"))
    for name, value in (("Name", content.name), ("Path", "bench/"), ("Hash", digest)):
        getattr(file, f"set{name}")(library.rtypes.rstring(value))
    file.setHasher(hasher)
    update = connection.service("UpdateService")
    store = connection.session.createRawFileStore()
    store.setFileId(update.saveAndReturnObject(file).getId().getValue())
    with content.open("rb") as read:
        at = 0
        while block := read.read(BLOCK_BYTES):
            store.write(block, at, len(block))
            at += len(block)
    store.save()
    store.close()


def _attach(connection: Connection, wells: WellTargets, record: WellRecord, content: Path, n: int) -> None:
    attach_file(connection, wells.well, _key(record, f"{n}/content.json"), content, namespace=FILE, record=record)


def _save_regions(connection: Connection, wells: WellTargets, labels: Any) -> None:
    """The same masks, in calls of the same size, linked to nothing but their image."""
    model, types = connection.library.omero.model, connection.library.rtypes
    regions = []
    for mask in masks_of(labels):
        shape, roi = model.MaskI(), model.RoiI()
        for name, value in (("X", mask.x), ("Y", mask.y), ("Width", mask.width), ("Height", mask.height)):
            getattr(shape, f"set{name}")(types.rdouble(value))
        shape.setBytes(mask.bits)
        roi.addShape(shape)
        roi.setImage(model.ImageI(wells.of(1).id, False))
        regions.append(roi)
    for first in range(0, len(regions), OBJECTS_AT_ONCE):
        connection.service("UpdateService").saveAndReturnIds(regions[first : first + OBJECTS_AT_ONCE])


def _labels() -> Any:
    """A grid of 1,024 objects of 24 x 24 pixels."""
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for n, (y, x) in enumerate(np.ndindex(32, 32), start=1):
        labels[32 * y : 32 * y + 24, 32 * x : 32 * x + 24] = n
    return labels


def _key(record: WellRecord, path: str) -> ResultKey:
    return ResultKey(job=record.key.job, plate_id=record.key.plate_id, well=record.key.well, path=path)


def _medians_s(*sides: Callable[[int], Any]) -> list[float]:
    """The median of each side, in an order that changes."""
    order = random.Random(0)
    times: list[list[float]] = [[] for _ in sides]
    for n in range(N_TIMES):
        for side in order.sample(range(len(sides)), len(sides)):
            start = time.perf_counter()
            sides[side](n)
            times[side].append(time.perf_counter() - start)
    return [statistics.median(one) for one in times]


if __name__ == "__main__":
    for row in measure():
        print(row)
