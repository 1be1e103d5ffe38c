import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hcs_mesh.plates.local import BadResultPlane, RepositoryFailed, smallest_labels, write_ome_tiff

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def pixels_of(path: Path) -> ET.Element:
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.ome_metadata is not None
        found = ET.fromstring(tiff.ome_metadata).find(f".//{OME}Pixels")
    assert found is not None
    return found


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzw", None])
def test_labels_come_back_in_the_smallest_type(tmp_path: Path, compression: Any) -> None:
    labels = np.arange(300, dtype=np.int64).repeat(300).reshape(300, 300)

    stored = write_ome_tiff(
        tmp_path / "n.ome.tiff", labels, labels=True, pixel_size_um=0.325, compression=compression, name="nuclei"
    )

    read = tifffile.imread(tmp_path / "n.ome.tiff")
    assert read.dtype == stored.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)
    pixels = pixels_of(tmp_path / "n.ome.tiff")
    assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeYUnit")) == ("0.325", "µm")


@pytest.mark.parametrize(
    ("highest", "dtype"),
    [(0, np.uint8), (255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32), (2**32 - 1, np.uint32)],
)
def test_labels_take_no_more_room_than_they_need(highest: int, dtype: type) -> None:
    assert smallest_labels(np.array([[0, highest]])).dtype == dtype


@pytest.mark.parametrize("labels", [np.array([[-1]]), np.array([[2**32]]), np.array([[0.5]])])
def test_what_is_no_label_is_refused(labels: Any) -> None:
    with pytest.raises(BadResultPlane):
        smallest_labels(labels)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", "f8", ">u2"])
def test_images_keep_their_values_and_type(tmp_path: Path, dtype: str) -> None:
    image = (np.random.default_rng(0).random((2, 3, 40, 50)) * 100).astype(dtype)

    write_ome_tiff(tmp_path / "i.ome.tiff", image, axes="ZCYX", channel_names=["DAPI", "GFP", "µ-tubulin"])

    read = tifffile.imread(tmp_path / "i.ome.tiff")
    np.testing.assert_array_equal(read, image)
    pixels = pixels_of(tmp_path / "i.ome.tiff")
    assert {axis: pixels.get(f"Size{axis}") for axis in "CZT"} == {"C": "3", "Z": "2", "T": "1"}
    assert [one.get("Name") for one in pixels.findall(f"{OME}Channel")] == ["DAPI", "GFP", "µ-tubulin"]


@pytest.mark.parametrize(("dtype", "stored"), [("?", "u1"), ("f2", "f4"), ("i8", "u4"), ("u8", "u4")])
def test_types_that_ome_lacks_become_ones_that_hold_the_values(tmp_path: Path, dtype: str, stored: str) -> None:
    image = np.array([[0, 1], [1, 0]], dtype=dtype)

    assert write_ome_tiff(tmp_path / "i.ome.tiff", image).dtype == np.dtype(stored)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "i.ome.tiff"), image)


@pytest.mark.parametrize(
    ("shape", "axes", "channel_names"),
    [((4, 4), "CYX", ()), ((4, 4), "XY", ()), ((2, 4, 4), "QYX", ()), ((2, 4, 4), "CYX", ("one",))],
)
def test_axes_and_names_that_do_not_fit_are_refused(
    tmp_path: Path, shape: tuple[int, ...], axes: str, channel_names: tuple[str, ...]
) -> None:
    with pytest.raises(BadResultPlane):
        write_ome_tiff(tmp_path / "i.ome.tiff", np.zeros(shape), axes=axes, channel_names=channel_names)


@pytest.mark.parametrize("dtype", ["U3", "O", "c16", "M8[s]"])
def test_a_type_without_a_place_in_ome_is_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(BadResultPlane, match="no pixels"):
        write_ome_tiff(tmp_path / "i.ome.tiff", np.zeros((4, 4), dtype=dtype))


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(RepositoryFailed, match="file"):
        write_ome_tiff(tmp_path / "file" / "i.ome.tiff", np.zeros((4, 4)))
