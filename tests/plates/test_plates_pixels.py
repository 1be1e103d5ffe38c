"""Planes of image files as arrays."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from hcs_mesh.config.errors import MeshError
from hcs_mesh.plates import UnreadableImage, plan, read_plane

RNG = np.random.default_rng(20261120)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 3}])
def test_planes_agree_with_tifffile_in_native_order(
    tmp_path: Path, dtype: str, byteorder: str, options: dict[str, object]
) -> None:
    data = (RNG.random((3, 37, 53)) * 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=byteorder, photometric="minisblack", **options)
    for page in range(3):
        plane = read_plane(tmp_path, "a.tif", page)
        assert plane.dtype == np.dtype(dtype)
        assert plane.dtype.isnative
        assert np.array_equal(plane, data[page])
        out = np.empty((37, 53), dtype)
        assert read_plane(tmp_path, "a.tif", page, out=out) is out
        assert np.array_equal(out, data[page])


def test_out_may_be_a_part_of_a_larger_array(tmp_path: Path) -> None:
    data = RNG.integers(0, 9, (8, 8), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data)
    whole = np.zeros((8, 16), np.uint8)
    read_plane(tmp_path, "a.tif", out=whole[:, 4:12])
    assert np.array_equal(whole[:, 4:12], data)
    assert not whole[:, :4].any()


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_samples_of_a_colour_image_are_planes(tmp_path: Path, planarconfig: str) -> None:
    data = RNG.integers(0, 255, (2, 9, 11, 3), np.uint8)
    stored = data if planarconfig == "contig" else np.moveaxis(data, -1, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planarconfig)
    for plane in range(6):
        assert np.array_equal(read_plane(tmp_path, "a.tif", plane), data[plane // 3, :, :, plane % 3])


@pytest.mark.parametrize("shape", [(2, 3, 4, 8, 8), (1, 1, 5, 8, 8), (1, 6, 1, 8, 8)])
def test_imagej_hyperstacks_are_read_plane_by_plane(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = RNG.integers(0, 999, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "TZCYX"})
    (plate,) = plan(tmp_path / "a.tif").plates
    assert plate.n_images == shape[0] * shape[1] * shape[2]
    for image in plate.images():
        plane = read_plane(tmp_path, image.file, image.page)
        assert np.array_equal(plane, data[image.t, image.z, image.c])


def test_many_planes_behind_one_directory_are_read_one_by_one(tmp_path: Path) -> None:
    data = RNG.integers(0, 999, (5, 8, 8)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, metadata={"axes": "ZYX"}, imagej=True, contiguous=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        first = tif.pages[0].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        n_tags = len(tif.pages[0].tags)
    # Cut the chain of directories after the first, as ImageJ does for files beyond 4 GiB.
    content[first + 2 + 12 * n_tags : first + 6 + 12 * n_tags] = b"\0\0\0\0"
    (tmp_path / "a.tif").write_bytes(content)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert len(tif.pages) == 1
    (plate,) = plan(tmp_path / "a.tif").plates
    assert [one.z for one in plate.images()] == [0, 1, 2, 3, 4]
    for image in plate.images():
        assert np.array_equal(read_plane(tmp_path, image.file, image.page), data[image.z])
    with pytest.raises(UnreadableImage, match="holds 5 planes"):
        read_plane(tmp_path, "a.tif", 5)


def test_a_file_cut_short_names_itself_and_the_bytes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint16))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-100])
    with pytest.raises(UnreadableImage, match=r"a\.tif is cut short: 8192 bytes of pixels are due and 8092 are there"):
        read_plane(tmp_path, "a.tif")


@pytest.mark.parametrize("n_bytes", [0, 1, 4, 8, 100])
def test_what_is_no_tiff_is_unreadable(tmp_path: Path, n_bytes: int) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0"[:n_bytes] + b"\xff" * max(0, n_bytes - 8))
    with pytest.raises(ValueError, match=r"a\.tif") as caught:
        read_plane(tmp_path, "a.tif")
    assert isinstance(caught.value, MeshError)
    assert caught.value.hint


def test_absent_files_and_pages_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.tif cannot be read as an image: No such file"):
        read_plane(tmp_path, "gone.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 8, 8), np.uint16), photometric="minisblack")
    with pytest.raises(UnreadableImage, match=r"a\.tif"):
        read_plane(tmp_path, "a.tif", 2)


def test_out_of_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint16))
    for out in (np.zeros((8, 9), np.uint16), np.zeros((8, 8), np.uint8)):
        with pytest.raises(UnreadableImage, match="was asked for"):
            read_plane(tmp_path, "a.tif", out=out)


def test_a_header_that_asks_for_gigabytes_is_refused_before_any_are_taken(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint16), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(60000)
        tif.pages[0].tags["ImageLength"].overwrite(60000)
    with pytest.raises(UnreadableImage, match=r"60000 x 60000 pixels, 6\.7 GiB a page"):
        read_plane(tmp_path, "a.tif")
