"""One plane of 2048 x 2048: blur, square top-hat, Otsu, label, properties: ``python bench/pipeline.py``."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from rounds import paired
from rows import Row

from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.synthetic import Recipe
from hcs_mesh.plates.synthetic_field import render_field

SIZE_PX = 2048
SOURCE = """
from hcs_mesh.pipelines import Pipeline, channel, gaussian, label, measure, otsu, tophat

pipeline = Pipeline(
    name="bench",
    steps=[
        channel(0, to="dna"),
        gaussian("dna", sigma_px=2.0, to="smooth"),
        tophat("smooth", radius_px=25, to="flat"),
        otsu("flat", to="foreground"),
        label("foreground", to="nuclei"),
        measure("nuclei", image="dna", to="per_nucleus"),
    ],
    count="nuclei",
)
"""


def scipy_and_skimage(plane: Any) -> int:
    """The same steps with the libraries that most scripts use; returns how many objects there are."""
    from scipy import ndimage
    from skimage import filters, measure

    smooth = ndimage.gaussian_filter(plane.astype(np.float32), 2.0)
    flat = ndimage.white_tophat(smooth, size=(51, 51))
    labels = measure.label(flat > filters.threshold_otsu(flat), connectivity=2)
    table = measure.regionprops_table(
        labels, plane, properties=("label", "area", "centroid", "bbox", "axis_major_length", "intensity_mean")
    )
    return len(table["label"])


def measure() -> list[Row]:
    """Measure both on one generated plane; they must find the same objects."""
    from hcs_mesh.pipelines import compile_pipeline, open_device, parse, run_well

    planes, _ = render_field(Recipe(size_px=SIZE_PX), 1, 1, 1)
    plane = planes[0]
    image = Image("A01", 1, 0, 0, 0, "plane", "plane.tif", 0, SIZE_PX, SIZE_PX, "uint16")
    plate = build_plate([image], id=1, name="bench", channels=("DAPI",))
    compiled = compile_pipeline(parse(SOURCE, "bench.py"), plate)
    device = open_device("cpu")
    found: dict[str, int] = {}

    def reference() -> float:
        start = time.perf_counter()
        found["reference"] = scipy_and_skimage(plane)
        return (time.perf_counter() - start) * 1e3

    def ours() -> float:
        start = time.perf_counter()
        found["ours"] = run_well(compiled, "A01", lambda _: plane, device).n_objects
        return (time.perf_counter() - start) * 1e3

    medians = paired(reference, ours, rounds=7)
    if abs(found["ours"] - found["reference"]) > 0.01 * found["reference"]:
        raise RuntimeError(f"the two sides disagree: {found}")
    return [
        Row(
            name="one plane 2048²: scipy and scikit-image",
            reference=medians[0],
            ours=medians[1],
            unit="ms",
            target=0.25,
            higher_is_better=False,
        )
    ]


if __name__ == "__main__":
    for row in measure():
        print(row)
