"""Built-in functions agree with scipy and scikit-image."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters
from skimage import measure as skimage_measure

from hcs_mesh.pipelines import (
    fill_holes,
    gaussian,
    keep_sizes,
    label,
    measure,
    measure_rings,
    measure_shape,
    measure_well,
    otsu,
    remove_border_objects,
    split_touching,
    threshold,
    tophat,
)

planes = arrays(np.uint16, st.tuples(st.integers(8, 40), st.integers(8, 40)), elements=st.integers(0, 4000))
masks = arrays(np.bool_, st.tuples(st.integers(5, 40), st.integers(5, 40)))


def field(n_discs: int = 40, size: int = 256) -> NDArray[np.uint16]:
    """Paint soft discs on an uneven background, with noise; the same every time."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    plane = 300 + 2.0 * x
    for cy, cx, r in zip(*rng.integers(0, size, (2, n_discs)), rng.uniform(4, 9, n_discs), strict=True):
        plane += 2000 * ((y - cy) ** 2 + (x - cx) ** 2 < r * r)
    return rng.poisson(plane).astype(np.uint16)


@settings(max_examples=50, deadline=None)
@given(planes, st.floats(0.3, 3))
def test_gaussian_is_scipys_within_half_a_grey_level_of_rounding(plane: NDArray[np.uint16], sigma_px: float) -> None:
    exact = ndimage.gaussian_filter(plane.astype(float), sigma_px, truncate=4)
    # OpenCV's whole-number kernel has 16 bits, which adds a little to the half level of rounding.
    assert np.abs(gaussian.on_cpu(plane, sigma_px=sigma_px) - exact).max() <= 1
    np.testing.assert_allclose(gaussian.on_cpu(plane.astype(float), sigma_px=sigma_px), exact, rtol=1e-9, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(planes, st.integers(1, 6))
def test_tophat_is_scipys(plane: NDArray[np.uint16], radius_px: int) -> None:
    wanted = ndimage.white_tophat(plane, size=2 * radius_px + 1)
    np.testing.assert_array_equal(tophat.on_cpu(plane, radius_px=radius_px), wanted)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_otsu_cuts_where_scikit_image_does(dtype: str) -> None:
    plane = (field() // 16).astype(dtype)
    mask = otsu.on_cpu(plane, correction=1.0, at_least=None)
    np.testing.assert_array_equal(mask, plane > filters.threshold_otsu(plane))


def test_otsu_finds_nothing_in_a_flat_field_nor_below_the_lowest_sensible_threshold() -> None:
    flat = np.full((9, 9), 500, np.uint16)
    assert not otsu.on_cpu(flat, correction=1.0, at_least=None).any()
    assert not otsu.on_cpu(field(0), correction=1.0, at_least=5000.0).any()
    assert threshold.on_cpu(flat, above=499.0).all()


@settings(max_examples=100, deadline=None)
@given(masks)
def test_holes_are_filled_as_scipy_fills_them(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill_holes.on_cpu(mask), ndimage.binary_fill_holes(mask))


@settings(max_examples=100, deadline=None)
@given(masks, st.sampled_from([4, 8]))
def test_labels_are_scikit_images_pieces(mask: NDArray[np.bool_], connectivity: Literal[4, 8]) -> None:
    ours = label.on_cpu(mask, connectivity=connectivity)
    theirs = skimage_measure.label(mask, connectivity=connectivity // 4)
    assert same_pieces(ours, theirs)


@settings(max_examples=100, deadline=None)
@given(masks, st.integers(1, 8), st.sampled_from([0.0, 1.0, 2.5]))
def test_splitting_covers_the_mask_numbers_without_gaps_and_never_joins(
    mask: NDArray[np.bool_], distance_px: int, smoothing_px: float
) -> None:
    labels = split_touching.on_cpu(mask, distance_px=distance_px, smoothing_px=smoothing_px)
    np.testing.assert_array_equal(labels > 0, mask)
    assert np.array_equal(np.unique(labels[mask]), np.arange(1, labels.max() + 1))
    pieces = label.on_cpu(mask, connectivity=8)
    assert len(set(zip(labels[mask].tolist(), pieces[mask].tolist(), strict=True))) == labels.max()


def test_two_discs_that_touch_are_two_objects_and_one_disc_is_one() -> None:
    y, x = np.mgrid[:60, :80]
    mask = ((y - 30) ** 2 + (x - 27) ** 2 <= 196) | ((y - 30) ** 2 + (x - 52) ** 2 <= 196)
    labels = split_touching.on_cpu(mask, distance_px=10, smoothing_px=1.0)
    assert labels.max() == 2
    assert labels[30, 27] != labels[30, 52]
    areas = np.bincount(labels.ravel())[1:]
    assert abs(int(areas[0]) - int(areas[1])) < 30
    assert split_touching.on_cpu((y - 30) ** 2 + (x - 27) ** 2 <= 196, distance_px=10, smoothing_px=1.0).max() == 1


@settings(max_examples=50, deadline=None)
@given(masks, st.integers(0, 3), st.integers(0, 6), st.none() | st.integers(6, 20))
def test_filters_keep_whole_objects_and_number_them_without_gaps(
    mask: NDArray[np.bool_], margin_px: int, low: int, high: int | None
) -> None:
    labels = label.on_cpu(mask, connectivity=8)
    inner = remove_border_objects.on_cpu(labels, margin_px=margin_px)
    edge = np.ones(mask.shape, dtype=bool)
    edge[margin_px + 1 : -margin_px - 1, margin_px + 1 : -margin_px - 1] = False
    assert not inner[edge].any()
    sized = keep_sizes.on_cpu(inner, min_area_px=low, max_area_px=high)
    areas = np.bincount(sized.ravel())[1:]
    assert ((areas >= max(low, 1)) & (areas <= (high or mask.size))).all()
    assert set(np.unique(labels[(sized == 0) & (labels > 0)])).isdisjoint(np.unique(labels[sized > 0]))


@settings(max_examples=50, deadline=None)
@given(masks, st.sampled_from(["uint16", "float32"]))
def test_measures_are_scikit_images(mask: NDArray[np.bool_], dtype: str) -> None:
    labels = label.on_cpu(mask, connectivity=8)
    plane = np.random.default_rng(mask.size).integers(0, 5000, mask.shape).astype(dtype)
    table = measure.on_cpu(labels, image=plane)
    assert tuple(table) == measure.columns
    assert len(table["label"]) == labels.max()
    for row, region in enumerate(skimage_measure.regionprops(labels, plane)):
        top, left, bottom, right = region.bbox
        wanted = {
            "label": region.label,
            "y_px": region.centroid[0],
            "x_px": region.centroid[1],
            "area_px": region.area,
            "left_px": left,
            "top_px": top,
            "width_px": right - left,
            "height_px": bottom - top,
            "major_axis_px": region.axis_major_length,
            "minor_axis_px": region.axis_minor_length,
            "extent": region.extent,
            "mean": region.intensity_mean,
            "min": region.intensity_min,
            "max": region.intensity_max,
            "sum": region.intensity_mean * region.area,
            "std": region.image_intensity[region.image].std(),
        }
        got = {name: float(table[name][row]) for name in wanted}
        assert got == pytest.approx({name: float(value) for name, value in wanted.items()}, rel=1e-4, abs=1e-6)
        # Near a circle the square root magnifies the last digit.
        assert table["eccentricity"][row] == pytest.approx(region.eccentricity, abs=1e-5)


def test_orientation_is_the_angle_of_the_long_axis_to_x() -> None:
    lying = np.zeros((20, 20), np.int32)
    lying[9:11, 3:17] = 1
    assert measure_shape.on_cpu(lying)["orientation_deg"][0] == pytest.approx(0)
    assert abs(measure_shape.on_cpu(np.ascontiguousarray(lying.T))["orientation_deg"][0]) == pytest.approx(90)
    assert measure_shape.on_cpu(np.eye(20, dtype=np.int32))["orientation_deg"][0] == pytest.approx(45)


def test_rings_lie_outside_their_nucleus_and_never_overlap() -> None:
    labels = np.zeros((60, 90), np.int32)
    labels[25:35, 20:30] = 1
    labels[25:35, 38:48] = 2
    plane = np.full(labels.shape, 10, np.uint16)
    plane[:, 34:] = 30
    plane[labels == 1] = 100
    plane[labels == 2] = 15
    rings = measure_rings.on_cpu(labels, image=plane, inner_px=2.0, outer_px=8.0)
    assert tuple(rings) == measure_rings.columns
    assert rings["nucleus_ring_ratio"][0] == pytest.approx(10, rel=0.02)
    assert rings["nucleus_ring_ratio"][1] == pytest.approx(0.5, rel=0.02)
    distance = ndimage.distance_transform_edt(labels == 0)
    n_around = np.count_nonzero((distance > 2) & (distance <= 8))
    assert rings["ring_area_px"].sum() == pytest.approx(n_around, rel=0.05)


def test_nothing_to_measure_gives_empty_columns() -> None:
    labels, plane = np.zeros((9, 9), np.int32), np.ones((9, 9), np.uint16)
    for one in (measure, measure_rings):
        table = one.on_cpu(labels, image=plane)
        assert tuple(table) == one.columns
        assert all(len(column) == 0 for column in table.values())


@pytest.mark.parametrize("statistic", ["mean", "median", "min", "max", "sum", "std", "count"])
def test_a_column_is_summed_up_as_numpy_does_without_the_objects_that_have_no_value(statistic: str) -> None:
    column = np.array([1.0, 5.0, np.nan, 3.0])
    wanted = 3 if statistic == "count" else getattr(np, statistic)(np.array([1.0, 5.0, 3.0]))
    assert measure_well.on_cpu({"x": column}, column="x", statistic=statistic) == wanted


def same_pieces(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    return len(pairs) == len(np.unique(ours)) == len(np.unique(theirs)) and not pairs & {(0, 1), (1, 0)}
