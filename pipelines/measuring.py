"""Functions from labels to tables, and from tables to the numbers of a well; no loop over objects."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np

from .functions import function
from .kinds import Array, Image, Labels, Number, Table
from .parameters import ColumnOf

SHAPE = (
    "label",
    "x_px",
    "y_px",
    "area_px",
    "left_px",
    "top_px",
    "width_px",
    "height_px",
    "major_axis_px",
    "minor_axis_px",
    "eccentricity",
    "orientation_deg",
    "extent",
)
INTENSITY = ("mean", "min", "max", "sum", "std")


@function(columns=SHAPE)
def measure_shape(labels: Labels) -> Table:
    """Measure where each object lies, its size and its form.

    Axes, eccentricity and orientation are those of the ellipse with the object's second moments, as in
    skimage.measure.regionprops; the orientation is the major axis's angle to the x axis, -90 to 90.
    """
    return _shape(np, _Pixels(np, labels))


@measure_shape.on_cuda
def _measure_shape_on_cuda(labels: Labels) -> Table:
    """Not run on a GPU yet: none was at hand when it was written."""
    import cupy

    return _shape(cupy, _Pixels(cupy, labels))


@function(columns=SHAPE + INTENSITY)
def measure(labels: Labels, *, image: Image) -> Table:
    """Measure each object's place, size and form, and how bright ``image`` is inside it."""
    pixels = _Pixels(np, labels)
    return _shape(np, pixels) | _intensity(np, pixels, image)


@measure.on_cuda
def _measure_on_cuda(labels: Labels, *, image: Image) -> Table:
    """Not run on a GPU yet: none was at hand when it was written."""
    import cupy

    pixels = _Pixels(cupy, labels)
    return _shape(cupy, pixels) | _intensity(cupy, pixels, image)


@function
def measure_well(
    table: Table,
    *,
    column: Annotated[str, ColumnOf("table")],
    statistic: Literal["mean", "median", "min", "max", "sum", "std", "count"] = "mean",
) -> Number:
    """Sum up one column over all objects of the well, all its fields and time points together.

    Objects that have no value there (NaN: a nucleus without a ring) are left out.
    """
    values = table[column]
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
    if statistic == "count":
        return float(values.size)
    if not values.size:
        return math.nan
    return float(getattr(np, statistic)(values))


class _Pixels:
    """The pixels that belong to objects, gathered once: background is never visited again."""

    def __init__(self, xp: Any, labels: Array) -> None:
        flat = labels.ravel()
        self.places = xp.flatnonzero(flat)
        self.owner = flat[self.places]
        self.n = int(self.owner.max()) + 1 if self.owner.size else 1
        self.area = xp.bincount(self.owner, minlength=self.n)
        self.y, self.x = xp.divmod(self.places, labels.shape[1])


def _sums(xp: Any, pixels: _Pixels, values: Array) -> Array:
    return xp.bincount(pixels.owner, weights=values, minlength=pixels.n)[1:]


def _extremes(xp: Any, pixels: _Pixels, values: Array) -> tuple[Array, Array]:
    low = xp.full(pixels.n, values.max() if values.size else 0, dtype=values.dtype)
    high = xp.full(pixels.n, values.min() if values.size else 0, dtype=values.dtype)
    xp.minimum.at(low, pixels.owner, values)
    xp.maximum.at(high, pixels.owner, values)
    return low[1:], high[1:]


def _shape(xp: Any, pixels: _Pixels) -> dict[str, Array]:
    area = pixels.area[1:]
    x, y = _sums(xp, pixels, pixels.x) / area, _sums(xp, pixels, pixels.y) / area
    left, right = _extremes(xp, pixels, pixels.x)
    top, bottom = _extremes(xp, pixels, pixels.y)
    # Moments about the object's own centre: squares of image coordinates would cost digits.
    dx = pixels.x - xp.concatenate((xp.zeros(1), x))[pixels.owner]
    dy = pixels.y - xp.concatenate((xp.zeros(1), y))[pixels.owner]
    xx = _sums(xp, pixels, dx * dx) / area
    yy = _sums(xp, pixels, dy * dy) / area
    xy = _sums(xp, pixels, dx * dy) / area
    middle = (xx + yy) / 2
    apart = xp.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    major, minor = middle + apart, xp.maximum(middle - apart, 0)
    width, height = right - left + 1, bottom - top + 1
    return {
        "label": xp.arange(1, pixels.n),
        "x_px": x,
        "y_px": y,
        "area_px": area,
        "left_px": left,
        "top_px": top,
        "width_px": width,
        "height_px": height,
        "major_axis_px": 4 * xp.sqrt(major),
        "minor_axis_px": 4 * xp.sqrt(minor),
        # A single pixel has no axes, and is round.
        "eccentricity": xp.sqrt(1 - minor / xp.where(major > 0, major, 1)) * (major > 0),
        "orientation_deg": xp.degrees(xp.arctan2(2 * xy, xx - yy) / 2),
        "extent": area / (width * height),
    }


def _intensity(xp: Any, pixels: _Pixels, image: Array) -> dict[str, Array]:
    values = image.ravel()[pixels.places]
    area = pixels.area[1:]
    low, high = _extremes(xp, pixels, values)
    total = _sums(xp, pixels, values)
    mean = total / area
    off = values - xp.concatenate((xp.zeros(1), mean))[pixels.owner]
    spread = xp.sqrt(_sums(xp, pixels, off * off) / area)
    return {"mean": mean, "min": low, "max": high, "sum": total, "std": spread}
