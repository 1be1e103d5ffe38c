"""The example pipelines on real plates, against what their authors published."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from hcs_mesh.pipelines import Compiled, Pipeline, compile_pipeline, parse, run_well
from hcs_mesh.plates.model import Image, build_plate

NF1_FIELDS = {"B07": ("B7", 3, 28), "D06": ("D6", 2, 27), "D07": ("D7", 1, 29)}


def example(checkout: Path, name: str) -> Pipeline:
    return parse((checkout / "examples" / "pipelines" / name).read_text(encoding="utf-8"), name)


def reader(folder: Path) -> Any:
    return lambda image: tifffile.imread(folder / image.file)


@pytest.fixture
def nf1_nuclei(shared_data: Path, checkout: Path) -> Compiled:
    images = [
        Image(well, field, c, 0, 0, "plane", f"{short}_01_{c + 1}_{field}_{stain}_001.tif", 0, 904, 1224, "uint16")
        for well, (short, field, _) in NF1_FIELDS.items()
        for c, stain in enumerate(("DAPI", "GFP", "RFP"))
    ]
    plate = build_plate(images, id=1, name="Plate_2", channels=("1", "2", "3"))
    return compile_pipeline(example(checkout, "nuclei.py"), plate)


def agreement(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[float, float]:
    """Return the foreground's intersection over union, and F1 of objects that overlap by half."""
    iou = np.count_nonzero((ours > 0) & (theirs > 0)) / np.count_nonzero((ours > 0) | (theirs > 0))
    n_ours, n_theirs = int(ours.max()), int(theirs.max())
    pairs = ours.astype(np.int64).ravel() * (n_theirs + 1) + theirs.ravel()
    shared = np.bincount(pairs, minlength=(n_ours + 1) * (n_theirs + 1)).reshape(n_ours + 1, n_theirs + 1)
    inside = shared[1:, 1:]
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - inside
    return iou, 2 * np.count_nonzero(inside / union >= 0.5) / (n_ours + n_theirs)


@pytest.mark.parametrize("well", NF1_FIELDS)
def test_nuclei_are_those_that_the_authors_published(shared_data: Path, nf1_nuclei: Compiled, well: str) -> None:
    folder = shared_data / "nf1-cellpainting"
    short, field, published = NF1_FIELDS[well]
    result = run_well(nf1_nuclei, well, reader(folder / "Plate_2_images"))
    mask = tifffile.imread(folder / "Plate_2_masks" / f"{short}_01_1_{field}_DAPI_001_MaskNuclei.tiff") > 0
    n_labels, theirs = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    assert n_labels - 1 == published
    assert abs(result.n_objects - published) <= 2
    (plane,) = result.planes
    iou, f1 = agreement(plane.array, theirs)
    assert iou >= 0.95
    assert f1 >= 0.95
    assert result.tables[0].n_rows == result.n_objects


@pytest.mark.parametrize(("well", "low", "high"), [("A01", 0, 1.5), ("E12", 0, 1.5), ("A12", 4, 20), ("E01", 4, 20)])
def test_translocation_tells_the_dosed_wells_from_the_others(
    shared_data: Path, checkout: Path, well: str, low: float, high: float
) -> None:
    numbers = {"A01": 1, "A12": 12, "E01": 49, "E12": 60}
    images = [
        Image(one, 1, c, 0, 0, "plane", f"Channel{c + 1}-{n:02d}-{one[0]}-{one[1:]}.tif", 0, 640, 640, "uint8")
        for one, n in numbers.items()
        for c in (0, 1)
    ]
    plate = build_plate(images, id=2, name="SBS", channels=("1", "2"))
    compiled = compile_pipeline(example(checkout, "translocation.py"), plate)
    result = run_well(compiled, well, reader(shared_data / "sbs-translocation"))
    assert low < result.measurements["nucleus_ring_ratio"] < high


def test_a_real_crowded_field_is_split_into_most_of_its_nuclei(shared_data: Path, checkout: Path) -> None:
    folder = shared_data / "stardist-nuclei"
    plate = build_plate(
        [Image("", 1, 0, 0, 0, "plane", "img2d.tif", 0, 512, 512, "uint16")], id=3, name="dsb", kind="image"
    )
    source = (checkout / "examples" / "pipelines" / "nuclei.py").read_text(encoding="utf-8")
    # These nuclei are a tenth of the area: the scale is the pipeline's business, not the function's.
    small = source.replace("distance_px=15", "distance_px=5").replace("min_area_px=300", "min_area_px=30")
    compiled = compile_pipeline(parse(small, "small.py"), plate)
    result = run_well(compiled, "", reader(folder))
    theirs = tifffile.imread(folder / "mask2d.tif")
    iou, _ = agreement(result.planes[0].array, theirs)
    assert iou > 0.6
    assert result.n_objects > 70
