"""Functions from planes to masks: what is object and what is background."""

from __future__ import annotations

from typing import Annotated, Any

import cv2
import numpy as np

from .functions import function
from .kinds import Image, Mask
from .parameters import Between

HISTOGRAM_BINS = 256


@function
def threshold(image: Image, *, above: float) -> Mask:
    """Take as foreground every pixel brighter than this value."""
    return image > above


@threshold.on_cuda
def _threshold_on_cuda(image: Image, *, above: float) -> Mask:
    """Not run on a GPU yet: none was at hand when it was written."""
    return image > above


@function
def otsu(
    image: Image,
    *,
    correction: Annotated[float, Between(0.01, 100)] = 1.0,
    at_least: float | None = None,
) -> Mask:
    """Take as foreground what is brighter than Otsu's threshold times ``correction``.

    ``at_least`` is the lowest threshold that makes sense: it keeps the noise of an empty field from
    being split into foreground and background. A field of one value has no foreground. Otsu, IEEE
    Trans. SMC 9 (1979) 62; the threshold equals skimage.filters.threshold_otsu on whole-number pixels.
    """
    return image > _corrected(otsu_threshold(image), correction, at_least)


@otsu.on_cuda
def _otsu_on_cuda(image: Image, *, correction: float, at_least: float | None) -> Mask:
    """Not run on a GPU yet: none was at hand when it was written. The histogram alone visits the host."""
    import cupy

    low, high = float(image.min()), float(image.max())
    if low == high:
        return cupy.zeros(image.shape, dtype=bool)
    if image.dtype.kind in "iu":
        counts = cupy.asnumpy(cupy.bincount((image.ravel() - image.dtype.type(low)).astype(cupy.int64)))
        centres = low + np.arange(counts.size)
    else:
        counts, edges = (cupy.asnumpy(one) for one in cupy.histogram(image, bins=HISTOGRAM_BINS))
        centres = (edges[:-1] + edges[1:]) / 2
    return image > _corrected(_best_cut(counts, centres), correction, at_least)


def otsu_threshold(image: Any) -> float:
    """Return the value that separates the two classes best; pixels above it are foreground."""
    low, high = float(image.min()), float(image.max())
    if low == high:
        return low
    if image.dtype == np.uint8 or (image.dtype == np.uint16):
        best, _ = cv2.threshold(np.ascontiguousarray(image), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        return float(best)
    if image.dtype.kind in "iu" and high - low < 2**20:
        counts = np.bincount(image.ravel().astype(np.int64) - int(low))
        return _best_cut(counts, low + np.arange(counts.size))
    counts, edges = np.histogram(image, bins=HISTOGRAM_BINS)
    return _best_cut(counts, (edges[:-1] + edges[1:]) / 2)


def _best_cut(counts: Any, centres: Any) -> float:
    """Maximise the variance between the classes over every cut of the histogram."""
    below = np.cumsum(counts, dtype=np.float64)
    above = below[-1] - below
    moments = np.cumsum(counts * centres, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moments / below - (moments[-1] - moments) / above) ** 2
    return float(centres[int(np.nanargmax(between[:-1]))])


def _corrected(best: float, correction: float, at_least: float | None) -> float:
    corrected = best * correction
    return corrected if at_least is None else max(corrected, at_least)


@function
def fill_holes(mask: Mask) -> Mask:
    """Fill background that is wholly enclosed by foreground, as scipy.ndimage.binary_fill_holes does."""
    n, regions = cv2.connectedComponents((~mask).view(np.uint8), connectivity=4)
    enclosed = np.ones(n, dtype=bool)
    for edge in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        enclosed[edge] = False
    enclosed[0] = True  # the foreground itself
    return enclosed[regions]


@fill_holes.on_cuda
def _fill_holes_on_cuda(mask: Mask) -> Mask:
    """Not run on a GPU yet: none was at hand when it was written."""
    from cupyx.scipy import ndimage

    return ndimage.binary_fill_holes(mask)
