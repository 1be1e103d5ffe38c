"""A well is run field by field: the same planes give the same labels, tables and numbers."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hcs_mesh.pipelines import (
    DeviceUnavailable,
    KeptPlane,
    Pipeline,
    StepFailed,
    WellFailed,
    channel,
    compile_pipeline,
    gaussian,
    label,
    max_projection,
    measure,
    measure_well,
    open_device,
    otsu,
    run_well,
)
from hcs_mesh.plates.model import Image, Plate, build_plate


def image(c: int = 0, *, well: str = "A01", field: int = 1, z: int = 0, t: int = 0, size: int = 64) -> Image:
    return Image(well, field, c, z, t, "plane", f"{well}_{field}_{c}_{z}_{t}.tif", 0, size, size, "uint16")


def plate_of(*images: Image) -> Plate:
    return build_plate(images, id=1, name="P1", channels=("DAPI", "GFP"))


def discs(one: Image) -> NDArray[Any]:
    """Paint as many discs as the field's number says, one grey level brighter for each z."""
    plane = np.full((one.height, one.width), 100, np.uint16)
    for index in range(one.field):
        cv2.circle(plane, (12 + 20 * index, 20), 5, 1000 + one.z, thickness=-1)
    return plane


STEPS = [
    channel(0, to="dna"),
    max_projection("dna", to="flat"),
    otsu("flat", to="mask"),
    label("mask", to="nuclei"),
    measure("nuclei", image="flat", to="per_nucleus"),
    measure_well("per_nucleus", column="max", statistic="max", to="brightest"),
    measure_well("per_nucleus", column="area_px", statistic="count", to="n"),
]
PIPELINE = Pipeline(name="discs", steps=STEPS)


def test_fields_times_and_z_come_together_in_one_result() -> None:
    plate = plate_of(*(image(field=f, z=z, t=t) for f in (1, 2) for z in (0, 1, 2) for t in (0, 1)))
    result = run_well(compile_pipeline(PIPELINE, plate), "A01", discs)
    assert result.n_objects == 6
    assert result.n_fields == 4
    assert result.measurements == {"brightest": 1002.0, "n": 6.0}
    assert [(plane.field, plane.t, plane.array.max()) for plane in result.planes] == [
        (1, 0, 1),
        (1, 1, 1),
        (2, 0, 2),
        (2, 1, 2),
    ]
    (table,) = result.tables
    assert table.n_rows == 6
    assert set(table.columns["well"]) == {"A01"}
    assert table.columns["field"].tolist() == [1, 1, 2, 2, 2, 2]
    assert table.columns["t"].tolist() == [0, 1, 0, 0, 1, 1]
    assert table.columns["label"].tolist() == [1, 1, 1, 2, 1, 2]
    assert table.columns["x_px"].tolist() == [12, 12, 12, 32, 12, 32]


def test_the_same_planes_give_the_same_bytes_whatever_the_number_of_threads() -> None:
    def noise(one: Image) -> NDArray[Any]:
        values = np.random.default_rng(one.field).integers(0, 4000, (one.height, one.width), dtype=np.uint16)
        return cv2.GaussianBlur(values, (9, 9), 2)

    compiled = compile_pipeline(PIPELINE, plate_of(image(field=1, size=512), image(field=2, size=512)))
    threads = cv2.getNumThreads()
    try:
        results = []
        for n_threads in (1, 2, 4):
            cv2.setNumThreads(n_threads)
            results.append(run_well(compiled, "A01", noise))
    finally:
        cv2.setNumThreads(threads)
    for other in results[1:]:
        assert other.measurements == results[0].measurements
        for mine, theirs in zip(results[0].planes, other.planes, strict=True):
            np.testing.assert_array_equal(mine.array, theirs.array)


def test_a_field_without_a_channel_gives_a_failure_and_no_pixels() -> None:
    plate = plate_of(image(0, field=1), image(1, field=1), image(0, field=2), image(1, well="A02"))
    compiled = compile_pipeline(Pipeline(name="two", steps=[*STEPS, channel(1, to="gfp")]), plate)
    result = run_well(compiled, "A01", discs)
    assert [(one.field, one.reason) for one in result.failures] == [(2, 'no image of channel 1 "GFP"')]
    assert result.n_objects == 1
    assert result.n_fields == 1
    with pytest.raises(WellFailed, match='well A02 gives no result: no image of channel 0 "DAPI"'):
        run_well(compiled, "A02", discs)


def test_an_image_without_a_plate_has_an_empty_well() -> None:
    plate = build_plate([image(well="")], id=1, name="single", kind="image", channels=("DAPI",))
    result = run_well(compile_pipeline(PIPELINE, plate), "", discs)
    assert (result.well, result.n_objects) == ("", 1)
    assert result.tables[0].columns["well"].tolist() == [""]


def test_a_well_without_objects_counts_none_and_invents_no_mean() -> None:
    steps = [*STEPS, measure_well("per_nucleus", column="mean", to="mean")]
    compiled = compile_pipeline(Pipeline(name="empty", steps=steps), plate_of(image()))
    result = run_well(compiled, "A01", lambda one: np.full((one.height, one.width), 7, np.uint16))
    assert result.n_objects == 0
    assert result.measurements == {"n": 0.0}
    assert result.notes == ("brightest has no value: 0 objects", "mean has no value: 0 objects")
    assert result.tables[0].n_rows == 0


def test_kept_planes_can_be_handed_over_as_they_appear() -> None:
    seen: list[KeptPlane] = []
    steps = [channel("GFP", to="gfp"), *STEPS[:4]]
    pipeline = Pipeline(name="kept", steps=steps, keep=["nuclei", "mask", "dna"])
    compiled = compile_pipeline(pipeline, plate_of(image(0, z=0), image(0, z=1), image(1)))
    result = run_well(compiled, "A01", discs, on_plane=seen.append)
    assert result.planes == ()
    assert [(one.name, one.kind, one.z, one.channel, one.array.dtype.name) for one in seen] == [
        ("nuclei", "labels", 0, 0, "uint16"),
        ("mask", "image", 0, 0, "uint8"),
        ("dna", "image", 0, 0, "uint16"),
        ("dna", "image", 1, 0, "uint16"),
    ]
    assert set(np.unique(seen[1].array)) == {0, 255}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "int16", "int32", "uint32", "float32", "float64", ">f4"])
def test_every_pixel_type_and_byte_order_is_analysed(dtype: str) -> None:
    steps = [channel(0, to="dna"), gaussian("dna", sigma_px=1, to="smooth"), otsu("smooth", to="mask")]
    steps += [label("mask", to="nuclei"), measure("nuclei", image="dna", to="per_nucleus")]
    compiled = compile_pipeline(Pipeline(name="types", steps=steps), plate_of(image(field=2)))
    result = run_well(compiled, "A01", lambda one: (discs(one) // 8).astype(dtype))
    assert result.n_objects == 2
    assert result.tables[0].columns["max"].tolist() == [125, 125]


def test_planes_of_different_sizes_are_an_error_that_names_the_step() -> None:
    steps = [*STEPS[:4], channel(1, to="gfp"), measure("nuclei", image="gfp", to="x")]
    compiled = compile_pipeline(Pipeline(name="p", steps=steps), plate_of(image(0), image(1, size=32)))
    with pytest.raises(StepFailed, match=r"field 1: x = measure\(nuclei, gfp\) joins planes of different sizes"):
        run_well(compiled, "A01", discs)
    stacked = compile_pipeline(PIPELINE, plate_of(image(0), image(0, z=1, size=32)))
    with pytest.raises(StepFailed, match="channel 0 has planes of sizes"):
        run_well(stacked, "A01", discs)


def test_a_plane_that_cannot_be_analysed_names_the_step() -> None:
    compiled = compile_pipeline(PIPELINE, plate_of(image()))
    with pytest.raises(StepFailed, match=r"mask = otsu\(flat\) failed"):
        run_well(compiled, "A01", lambda one: np.full((one.height, one.width), np.nan, np.float32))


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="no device"):
        open_device("gpu")
