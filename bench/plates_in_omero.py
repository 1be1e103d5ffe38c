"""Structure and planes of plates in OMERO, beside the raw calls and tifffile: ``python bench/plates_in_omero.py``."""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

# The stand-in server and how plates get into it are the tests'.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from omero_lab import SETUP, address_of, login
from omero_plates import import_files, logged_in, save_plate, some_planes, write_ome_plate
from rows import Row

from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroMissing
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.omero.planes import OmeroPlanes
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.pool import ConnectionPool
from omero_server.running import RunningServer, running_server

SIDE = 2048
PLANE_MIB = SIDE * SIDE * 2 / 2**20
N_TIMES = 40
CALLS, FILES, API = (
    "OMERO: structure of 384 x 9 x 4 planes, calls: a bound",
    "OMERO: a plane from its files: tifffile",
    "OMERO: a plane through the API: the raw call",
)


def measure() -> list[Row]:
    """Measure all three against one server on this machine."""
    try:
        omero_py()
    except OmeroMissing as error:
        return [Row(name=name, unmeasured=error.hint) for name in (CALLS, FILES, API)]
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "omero", setup=SETUP) as server:
        pool = ConnectionPool(lambda: Connection(address_of(server), login("ada")))
        rows = [_structure(server, pool), *_planes(server, pool, Path(folder))]
        pool.close()
        return rows


def _structure(server: RunningServer, pool: ConnectionPool) -> Row:
    with logged_in(server, "ada") as client:
        plate_id = save_plate(client, "384 wells", n_rows=16, n_columns=24, n_fields=9)
    pool.read(Connection.event_context)  # which opens one: a login is no call for a plate
    server.control.tell("forget_counts")
    assert OmeroPlates(pool).plate(plate_id).n_images == 384 * 9 * 4
    counts = server.control.counts()
    # Of its services; Ice's own ways to them are found once for each connection.
    n_calls = sum(n for name, n in counts.items() if name.startswith("I"))
    return Row(name=CALLS, reference=2.0, ours=n_calls, unit="calls", target=1.0, higher_is_better=False)


def _planes(server: RunningServer, pool: ConnectionPool, folder: Path) -> list[Row]:
    path = write_ome_plate(folder / "plate.ome.tiff", some_planes(1, 2, 2, SIDE, SIDE))
    with logged_in(server, "ada") as client:
        plate_id = next(number for kind, number in import_files(client, [path], folder) if kind == "Plate")
    found = OmeroPlates(pool).with_places(plate_id)
    image, out = found.plate.image(0), np.empty((SIDE, SIDE), "uint16")
    # As executors and viewers read: in a person's name, by the plate's address. Both sides fill the same array.
    local, remote, address = OmeroPlanes(), OmeroPlanes(), address_of(server)
    root = found.plate.root

    def read(planes: OmeroPlanes) -> Any:
        return planes(root, image.file, image.page, out=out, requester="ada")

    with (
        closing(Identities(address)) as identities,
        local.at(address, identities, managed=server.managed),
        remote.at(address, identities),
        pool.connection() as connection,
        tifffile.TiffFile(next(server.managed.rglob(path.name))) as tif,
    ):
        identities.logged_in(Person(user="ada"), connection.key)
        page = tif.series[0].pages[0]
        store = connection.raw_pixels(found.places[image.file].pixels_id, group="-1")

        def raw_call() -> None:
            out[...] = np.frombuffer(store.getPlane(0, 0, 0), ">u2").reshape(out.shape)

        read(local)
        by_files = _medians_s(lambda: page.asarray(out=out), lambda: read(local))
        by_api = _medians_s(raw_call, lambda: read(remote))
        counted = local.statistics()[root]["ada"]
    assert (counted.n_local, counted.not_local) == (N_TIMES + 1, ())
    reference, ours = (PLANE_MIB / seconds for seconds in by_files)
    raw_ms, ours_ms = (1e3 * seconds for seconds in by_api)
    return [
        Row(name=FILES, reference=reference, ours=ours, unit="MiB/s", target=0.9),
        Row(name=API, reference=raw_ms, ours=ours_ms, unit="ms", target=1.2, higher_is_better=False),
    ]


def _medians_s(*sides: Callable[[], Any]) -> list[float]:
    """The median of each side, in an order that changes: what one leaves in the cache helps the next."""
    order = random.Random(0)
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(N_TIMES):
        for side in order.sample(range(len(sides)), len(sides)):
            start = time.perf_counter()
            sides[side]()
            times[side].append(time.perf_counter() - start)
    return [statistics.median(one) for one in times]


if __name__ == "__main__":
    for row in measure():
        print(row)
