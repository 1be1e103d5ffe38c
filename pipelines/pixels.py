"""Functions from planes and stacks to planes: smoothing, background, projection."""

from __future__ import annotations

from typing import Annotated, Any

import cv2
import numpy as np

from .functions import function
from .kinds import Image, Stack
from .parameters import Between

_OPENCV_TYPES = ("uint8", "uint16", "int16", "float32", "float64")


def for_opencv(image: Any) -> Any:
    """Return the plane in a pixel type that OpenCV filters, wide enough for every value it holds."""
    name = image.dtype.name
    if name in _OPENCV_TYPES:
        return np.ascontiguousarray(image)
    return image.astype({"bool": "uint8", "int8": "int16", "float16": "float32"}.get(name, "float64"))


@function
def gaussian(image: Image, *, sigma_px: Annotated[float, Between(0.1, 100)]) -> Image:
    """Smooth with a Gaussian of this standard deviation, cut at four of them, the border mirrored.

    Whole-number pixels agree with scipy.ndimage.gaussian_filter within two grey levels: that one truncates
    after each axis, this rounds once.
    """
    width = 2 * int(4 * sigma_px + 0.5) + 1
    return cv2.GaussianBlur(for_opencv(image), (width, width), sigma_px, borderType=cv2.BORDER_REFLECT)


@gaussian.on_cuda
def _gaussian_on_cuda(image: Image, *, sigma_px: float) -> Image:
    """Not run on a GPU yet: none was at hand when it was written."""
    from cupyx.scipy import ndimage

    return ndimage.gaussian_filter(image, sigma_px, mode="reflect", truncate=4.0)


@function
def tophat(image: Image, *, radius_px: Annotated[int, Between(1, 500)]) -> Image:
    """Subtract the background: what is wider than a square of 2 x radius + 1 pixels goes.

    Equal to scipy.ndimage.white_tophat with a square of that size. Choose the radius larger than the
    largest object's.
    """
    square = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    # Constant borders of OpenCV are neutral for minima and maxima, as mirrored ones are.
    return cv2.morphologyEx(for_opencv(image), cv2.MORPH_TOPHAT, square)


@tophat.on_cuda
def _tophat_on_cuda(image: Image, *, radius_px: int) -> Image:
    """Not run on a GPU yet: none was at hand when it was written."""
    from cupyx.scipy import ndimage

    return ndimage.white_tophat(image, size=(2 * radius_px + 1, 2 * radius_px + 1))


@function
def max_projection(stack: Stack) -> Image:
    """Keep the brightest value over z at every pixel; a single plane passes unchanged."""
    return stack.max(axis=0)


@max_projection.on_cuda
def _max_projection_on_cuda(stack: Stack) -> Image:
    """Not run on a GPU yet: none was at hand when it was written."""
    return stack.max(axis=0)
