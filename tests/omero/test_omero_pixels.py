"""Pixels through RawPixelsStore: written, read, refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import omero
import pytest
from omero.gateway import BlitzGateway
from omero_filesets import planes
from omero_people import SETUP

from omero_server.running import running_server

Connect = Callable[..., BlitzGateway]

T, C, Z, Y, X = 2, 3, 2, 48, 64
PIXELS = planes(T, C, Z, Y, X)


@pytest.fixture(scope="module")
def image(login) -> Iterator[int]:  # type: ignore[no-untyped-def]
    """An image made by upload, as the gateway does it."""
    connection = login.connect()
    in_order = (PIXELS[t, c, z] for z in range(Z) for c in range(C) for t in range(T))
    made = connection.createImageFromNumpySeq(in_order, "made", sizeZ=Z, sizeC=C, sizeT=T)
    id = made.getId()
    connection.close()
    yield id
    connection = login.connect()
    connection.deleteObjects("Image", [id], wait=True)
    connection.close()


@pytest.fixture
def store(connection: BlitzGateway, image: int) -> Iterator[omero.api.RawPixelsStorePrx]:
    store = connection.c.sf.createRawPixelsStore()
    store.setPixelsId(connection.getObject("Image", image).getPrimaryPixels().getId(), False)
    yield store
    store.close()


def test_every_plane_comes_back_as_it_was_uploaded(connection: BlitzGateway, image: int) -> None:
    pixels = connection.getObject("Image", image).getPrimaryPixels()
    for z, c, t in np.ndindex(Z, C, T):
        assert (pixels.getPlane(z, c, t) == PIXELS[t, c, z]).all()


def test_bytes_are_big_endian(store: omero.api.RawPixelsStorePrx) -> None:
    assert (np.frombuffer(store.getPlane(1, 2, 1), ">u2").reshape(Y, X) == PIXELS[1, 2, 1]).all()


def test_tiles_rows_columns_and_stacks_are_cut_from_the_planes(store: omero.api.RawPixelsStorePrx) -> None:
    plane = PIXELS[1, 0, 1].astype(">u2")
    assert store.getTile(1, 0, 1, 5, 7, 11, 13) == plane[7:20, 5:16].tobytes()
    assert store.getRow(9, 1, 0, 1) == plane[9].tobytes()
    assert store.getCol(9, 1, 0, 1) == plane[:, 9].tobytes()
    assert store.getStack(0, 1) == PIXELS[1, 0].astype(">u2").tobytes()
    cube = store.getHypercube([0, 2, 0, 0, 1], [10, 4, 2, 1, 1], [2, 1, 1, 1, 1])
    assert cube == PIXELS[1, 0, :, 2:6, 0:10:2].astype(">u2").tobytes()


def test_sizes_are_told(store: omero.api.RawPixelsStorePrx) -> None:
    assert (store.getByteWidth(), store.isSigned(), store.isFloat()) == (2, False, False)
    assert store.getPlaneSize() == X * Y * 2
    assert store.getTotalSize() == PIXELS.nbytes
    assert not store.requiresPixelsPyramid()
    middle = PIXELS[0, 1, 0]
    assert store.findMinMax([1]) == {1: [middle.min(), middle.max()]}


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("getPlane", (Z, 0, 0)),
        ("getPlane", (0, -1, 0)),
        ("getTile", (0, 0, 0, X - 1, 0, 2, 1)),
        ("getTile", (0, 0, 0, 0, 0, 0, 1)),
        ("getRow", (Y, 0, 0, 0)),
        ("setPlane", (b"\x00" * 5, 0, 0, 0)),
        ("setTile", (b"\x00" * 3, 0, 0, 0, 0, 0, 1, 1)),
    ],
)
def test_what_lies_outside_is_refused(
    store: omero.api.RawPixelsStorePrx, operation: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises((omero.ApiUsageException, omero.ValidationException, omero.ResourceError)):
        getattr(store, operation)(*arguments)


def test_a_store_without_pixels_says_what_comes_first(connection: BlitzGateway) -> None:
    store = connection.c.sf.createRawPixelsStore()
    with pytest.raises(omero.ApiUsageException):
        store.getPlane(0, 0, 0)
    store.close()


def empty_image(connection: BlitzGateway, width: int = 8, height: int = 4) -> int:
    """The Pixels of an image to which nothing was written yet."""
    type_ = connection.getTypesService().getEnumeration("PixelsType", "uint16")
    id = connection.getPixelsService().createImage(width, height, 1, 1, [0], type_, "empty", None)
    return int(connection.getObject("Image", id.val).getPrimaryPixels().getId())


def test_a_plane_that_was_never_written_is_an_error_and_no_zeros(connection: BlitzGateway) -> None:
    store = connection.c.sf.createRawPixelsStore()
    store.setPixelsId(empty_image(connection), False)
    with pytest.raises(omero.ServerError):
        store.getPlane(0, 0, 0)
    store.close()


def test_tiles_make_a_plane_and_saving_gives_it_a_checksum(connection: BlitzGateway) -> None:
    id = empty_image(connection)
    store = connection.c.sf.createRawPixelsStore()
    store.setPixelsId(id, False)
    whole = np.arange(32, dtype=">u2").reshape(4, 8)
    for x in (0, 4):
        store.setTile(whole[:, x : x + 4].tobytes(), 0, 0, 0, x, 0, 4, 4)
    saved = store.save()
    assert store.getPlane(0, 0, 0) == whole.tobytes()
    assert store.save() is None
    store.close()
    assert len(saved.sha1.val) == 40


def test_a_plane_too_large_for_one_is_taken_in_tiles_only(tmp_path: Path, connect: Connect) -> None:
    largest = {f"omero.pixeldata.max_plane_{side}": "16" for side in ("width", "height")}
    with running_server(tmp_path / "small", SETUP | {"config": largest}) as server:
        connection = connect("ada", server=server)
        kind = connection.getTypesService().getEnumeration("PixelsType", "uint16")
        id = connection.getPixelsService().createImage(32, 24, 1, 1, [0], kind, "large", None).val
        store = connection.c.sf.createRawPixelsStore()
        store.setPixelsId(connection.getObject("Image", id).getPixelsId(), True)
        assert store.requiresPixelsPyramid()
        plane = planes(24, 32).astype(">u2")
        with pytest.raises(omero.InternalException, match="Non-tile"):
            store.setPlane(plane.tobytes(), 0, 0, 0)
        store.setTile(plane.tobytes(), 0, 0, 0, 0, 0, 32, 24)
        assert store.getPlane(0, 0, 0) == plane.tobytes()
        store.close()
