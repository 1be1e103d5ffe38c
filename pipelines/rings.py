"""How bright a nucleus is against the ring of cytoplasm around it: the measure of translocation."""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np

from .functions import function
from .kinds import Image, Labels, Number, Table
from .parameters import Between

RING = (
    "label",
    "nucleus_area_px",
    "nucleus_mean",
    "nucleus_sum",
    "ring_area_px",
    "ring_mean",
    "ring_sum",
    "nucleus_ring_ratio",
)


@function(columns=RING)
def measure_rings(
    labels: Labels,
    *,
    image: Image,
    inner_px: Annotated[float, Between(0, 500)] = 2.0,
    outer_px: Annotated[float, Between(1, 500)] = 8.0,
) -> Table:
    """Measure ``image`` in each nucleus and in the ring from ``inner_px`` to ``outer_px`` outside it.

    A pixel of the background belongs to the nearest nucleus alone, so the rings of neighbours do not
    overlap. A nucleus without a ring has no ratio (NaN).
    """
    n = int(labels.max(initial=0)) + 1
    background = (labels == 0).view(np.uint8)
    if n == 1:
        return {name: np.zeros(0, dtype=np.int64 if "area" in name or name == "label" else float) for name in RING}
    distance, nearest = cv2.distanceTransformWithLabels(
        background, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    within = np.flatnonzero((distance > inner_px) & (distance <= outer_px))
    # OpenCV numbers the pixels of the nuclei; this turns its numbers into ours.
    inside = np.flatnonzero(labels)
    owner_of = np.zeros(int(nearest.max()) + 1, dtype=np.int64)
    owner_of[nearest.ravel()[inside]] = labels.ravel()[inside]
    ring_owner = owner_of[nearest.ravel()[within]]
    nucleus_owner, values = labels.ravel()[inside], image.ravel()
    nucleus_area = np.bincount(nucleus_owner, minlength=n)[1:]
    nucleus_sum = np.bincount(nucleus_owner, weights=values[inside], minlength=n)[1:]
    ring_area = np.bincount(ring_owner, minlength=n)[1:]
    ring_sum = np.bincount(ring_owner, weights=values[within], minlength=n)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        nucleus_mean, ring_mean = nucleus_sum / nucleus_area, ring_sum / ring_area
        ratio = np.where(ring_mean > 0, nucleus_mean / ring_mean, math.nan)
    columns = (
        np.arange(1, n),
        nucleus_area,
        nucleus_mean,
        nucleus_sum,
        ring_area,
        ring_mean,
        ring_sum,
        ratio,
    )
    return dict(zip(RING, columns, strict=True))


@function(needs=("nucleus_sum", "nucleus_area_px", "ring_sum", "ring_area_px"))
def nucleus_ring_ratio(rings: Table) -> Number:
    """Divide the mean over all pixels in nuclei by the mean over all pixels in rings, the whole well pooled."""
    nucleus_area, ring_area = rings["nucleus_area_px"].sum(), rings["ring_area_px"].sum()
    ring_sum = rings["ring_sum"].sum()
    if not nucleus_area or not ring_area or not ring_sum > 0:
        return math.nan
    return float((rings["nucleus_sum"].sum() / nucleus_area) / (ring_sum / ring_area))
