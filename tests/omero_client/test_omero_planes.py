"""Planes of a server: decoded as they are, in tiles where they are large, from its files where those are proven."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omero_lab import address_of, login
from omero_plates import Planes, import_files, logged_in, some_planes, write_ome_plate

from hcs_mesh.plates import Image
from hcs_mesh.plates.errors import ImageTooLarge, UnreadableImage
from hcs_mesh.plates.omero import pixels as pixels_of_omero
from hcs_mesh.plates.omero import raw_planes
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.pixels import AGAIN_S, OmeroPixels
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.structure import OmeroPlate
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")

PLANES = some_planes(2, 2, 3, 40, 48)


@pytest.fixture
def pool(omero: RunningServer) -> Iterator[ConnectionPool]:
    pool = ConnectionPool(lambda: Connection(address_of(omero), login("ada")))
    yield pool
    pool.close()


def imported(server: RunningServer, pool: ConnectionPool, files: list[Path], root: Path) -> OmeroPlate:
    with logged_in(server, "ada") as client:
        plate_id = next(number for kind, number in import_files(client, files, root) if kind == "Plate")
    return OmeroPlates(pool).with_places(plate_id)


@pytest.fixture
def plate(omero: RunningServer, pool: ConnectionPool, tmp_path: Path) -> OmeroPlate:
    return imported(omero, pool, [write_ome_plate(tmp_path / "plate.ome.tiff", PLANES)], tmp_path)


def expected(image: Image, planes: Planes = PLANES) -> Any:
    return planes[int(image.well[1:]) - 1, image.field - 1, image.c]


def file_of(server: RunningServer) -> Path:
    """The file that was imported last, where the server keeps it."""
    return max(server.managed.rglob("*.tiff"), key=lambda path: path.stat().st_mtime_ns)


def test_every_plane_is_what_was_imported(pool: ConnectionPool, plate: OmeroPlate) -> None:
    pixels = OmeroPixels(pool)
    for image in plate.plate.images():
        plane = pixels.read(plate, image)
        assert plane.dtype == np.dtype("uint16")
        np.testing.assert_array_equal(plane, expected(image))
    counted = pixels.statistics()
    assert (counted.n_remote, counted.n_local) == (12, 0)
    assert counted.remote_bytes == PLANES.nbytes


def test_a_plane_goes_into_the_array_that_is_given(pool: ConnectionPool, plate: OmeroPlate) -> None:
    image = plate.plate.image(5)
    out = np.zeros((40, 48), "uint16")
    assert OmeroPixels(pool).read(plate, image, out=out) is out
    np.testing.assert_array_equal(out, expected(image))
    with pytest.raises(UnreadableImage, match="was asked for"):
        OmeroPixels(pool).read(plate, image, out=np.zeros((40, 48), "uint8"))


def test_planes_of_one_image_are_read_through_one_store(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate
) -> None:
    omero.control.tell("forget_counts")
    pixels = OmeroPixels(pool)
    for image in plate.plate.images(well="A01", field=1):
        pixels.read(plate, image)
    counts = omero.control.counts()
    assert counts["ServiceFactory.createRawPixelsStore"] == 1
    assert counts["RawPixelsStore.setPixelsId"] == 1
    assert counts["RawPixelsStore.getPlane"] == 3


def test_a_large_plane_is_read_in_tiles(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_planes, "WHOLE_PLANE_BYTES", 1000)
    monkeypatch.setattr(raw_planes, "TILE_BYTES", 700)
    monkeypatch.setattr(raw_planes, "TILE_SIDE", 32)
    omero.control.tell("forget_counts")
    image = plate.plate.image(7)
    np.testing.assert_array_equal(OmeroPixels(pool).read(plate, image), expected(image))
    assert "RawPixelsStore.getPlane" not in omero.control.counts()
    assert omero.control.counts()["RawPixelsStore.getTile"] == 8


@pytest.mark.parametrize(
    ("height", "width", "dtype"),
    [(400_000, 400_000, "uint16"), (2**31 - 1, 2**31 - 1, "float64"), (2**15 + 1, 2**15, "uint16")],
)
def test_a_plane_of_a_size_that_is_not_read_is_refused_before_there_is_any_memory_for_it(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate, height: int, width: int, dtype: str
) -> None:
    (name, place), *_ = plate.places.items()
    claims = place._replace(height=height, width=width, dtype=dtype)
    image = next(one for one in plate.plate.images() if one.file == name)
    omero.control.tell("forget_counts")
    pixels = OmeroPixels(pool, managed=omero.managed)
    with pytest.raises(ImageTooLarge, match=f"Pixels {place.pixels_id} at OMERO .* at most 2 GiB") as refused:
        pixels.read(plate._replace(places={name: claims}), image)
    assert "delete that image in OMERO" in refused.value.hint
    with pytest.raises(ImageTooLarge):
        pool.read(lambda connection: raw_planes.read_raw_plane(connection, claims, c=0, z=0, t=0))
    assert not [one for one in omero.control.counts() if one.startswith("RawPixelsStore")]
    pixels.close()


@pytest.mark.parametrize("shape", [(1, 1), (40, 48), (5000, 3), (3, 5000), (4097, 4097)])
@pytest.mark.parametrize("itemsize", [1, 8])
def test_tiles_cover_a_plane_once_and_are_not_too_large(shape: tuple[int, int], itemsize: int) -> None:
    covered = np.zeros(shape, np.uint8)
    for y, x, height, width in raw_planes.tiles(shape, itemsize):
        assert height * width * itemsize <= raw_planes.TILE_BYTES
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all()


def test_planes_of_a_mounted_repository_come_from_its_files_once_they_are_proven(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate
) -> None:
    pixels = OmeroPixels(pool, managed=omero.managed)
    for image in plate.plate.images():
        np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    counted = pixels.statistics()
    # Its last channel and its first are compared.
    assert (counted.n_local, counted.n_remote, counted.n_proven) == (12, 2, 1)
    assert counted.local_bytes == PLANES.nbytes
    assert counted.not_local == ()
    pixels.close()


def test_files_that_differ_from_what_the_server_gives_are_not_trusted(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate, tmp_path: Path
) -> None:
    other = tmp_path / "another mount"
    kept = other / file_of(omero).relative_to(omero.managed)
    kept.parent.mkdir(parents=True)
    changed = PLANES.copy()
    changed[1, 1, 2, 0, 0] ^= 1
    write_ome_plate(kept, changed)
    pixels = OmeroPixels(pool, managed=other)
    for image in plate.plate.images():
        np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    counted = pixels.statistics()
    assert counted.n_local == 0
    ((_, why),) = counted.not_local
    assert "differs from what the server gives at c 2" in why


def test_a_mount_without_the_files_is_read_through_the_server(
    pool: ConnectionPool, plate: OmeroPlate, tmp_path: Path
) -> None:
    pixels = OmeroPixels(pool, managed=tmp_path / "nothing here")
    image = plate.plate.image(0)
    np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    assert pixels.statistics().n_local == 0


def test_a_file_that_is_damaged_later_is_read_through_the_server(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate, tmp_path: Path
) -> None:
    # The server's own file stays whole: what is mounted here is a copy of it.
    mount = tmp_path / "mount"
    shutil.copytree(omero.managed, mount)
    pixels = OmeroPixels(pool, managed=mount)
    pixels.read(plate, plate.plate.image(0))
    with (mount / file_of(omero).relative_to(omero.managed)).open("r+b") as file:
        file.truncate(2000)
    image = plate.plate.image(11)
    np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    assert len(pixels.statistics().not_local) == 1


def test_files_that_could_not_be_read_are_looked_at_again_after_some_minutes(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate, tmp_path: Path
) -> None:
    now_s, mount, image = 0.0, tmp_path / "mount", plate.plate.image(0)
    pixels = OmeroPixels(pool, managed=mount, clock=lambda: now_s)
    pixels.read(plate, image)
    shutil.copytree(omero.managed, mount)
    now_s = AGAIN_S - 1
    pixels.read(plate, image)
    counted = pixels.statistics()
    assert (counted.n_local, len(counted.not_local)) == (0, 1)
    now_s = AGAIN_S
    np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    counted = pixels.statistics()
    assert (counted.n_local, counted.not_local) == (1, ())
    # What breaks later is left as well, and proven anew before it is trusted again.
    kept = mount / file_of(omero).relative_to(omero.managed)
    whole = kept.read_bytes()
    os.truncate(kept, 2000)
    pixels.read(plate, plate.plate.image(11))
    kept.write_bytes(whole)
    now_s += AGAIN_S
    n_remote = pixels.statistics().n_remote
    np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    counted = pixels.statistics()
    assert (counted.n_local, counted.n_remote - n_remote, counted.not_local) == (2, 2, ())
    pixels.close()


def test_files_that_fail_again_are_left_for_longer_each_time(
    pool: ConnectionPool, plate: OmeroPlate, tmp_path: Path, omero: RunningServer
) -> None:
    now_s, image = 0.0, plate.plate.image(0)
    pixels = OmeroPixels(pool, managed=tmp_path / "nothing here", clock=lambda: now_s)
    looked_at = []
    for minute in range(0, 120, 5):
        now_s = 60.0 * minute
        omero.control.tell("forget_counts")
        pixels.read(plate, image)
        if omero.control.counts().get("IQuery.projection"):
            looked_at.append(minute)
    assert looked_at == [0, 5, 15, 35, 75]


def test_blank_planes_prove_nothing(omero: RunningServer, pool: ConnectionPool, tmp_path: Path) -> None:
    blank = np.zeros((1, 1, 2, 16, 16), "uint16")
    plate = imported(omero, pool, [write_ome_plate(tmp_path / "blank.ome.tiff", blank)], tmp_path)
    pixels = OmeroPixels(pool, managed=omero.managed)
    assert not pixels.read(plate, plate.plate.image(0)).any()
    ((_, why),) = pixels.statistics().not_local
    assert "proves nothing" in why


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_compressed_planes_come_from_the_files_too(
    omero: RunningServer, pool: ConnectionPool, tmp_path: Path, compression: str
) -> None:
    path = write_ome_plate(tmp_path / "small.ome.tiff", PLANES, compression=compression)
    plate = imported(omero, pool, [path], tmp_path)
    pixels = OmeroPixels(pool, managed=omero.managed)
    for image in plate.plate.images():
        np.testing.assert_array_equal(pixels.read(plate, image), expected(image))
    assert pixels.statistics().n_local == 12
    pixels.close()


def test_what_comes_from_the_files_costs_the_server_nothing(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate
) -> None:
    pixels = OmeroPixels(pool, managed=omero.managed)
    pixels.read(plate, plate.plate.image(0))
    omero.control.tell("forget_counts")
    for image in plate.plate.images():
        pixels.read(plate, image)
    assert [name for name in omero.control.counts() if name.startswith(("RawPixelsStore", "IQuery"))] == []
    pixels.close()


def test_a_fileset_is_proven_once_though_its_file_was_closed_meanwhile(
    omero: RunningServer, pool: ConnectionPool, plate: OmeroPlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels_of_omero, "OPEN_FILESETS", 1)
    other = imported(omero, pool, [write_ome_plate(tmp_path / "other.ome.tiff", PLANES)], tmp_path)
    pixels = OmeroPixels(pool, managed=omero.managed)
    for _ in range(3):
        for found in (plate, other):
            np.testing.assert_array_equal(pixels.read(found, found.plate.image(4)), expected(found.plate.image(4)))
    counted = pixels.statistics()
    assert (counted.n_local, counted.n_remote, counted.n_proven) == (6, 4, 2)
    pixels.close()
