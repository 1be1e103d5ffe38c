"""Functions that find objects and choose among them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import cv2
import numpy as np

from .functions import function
from .kinds import Labels, Mask
from .parameters import Between


@function
def label(mask: Mask, *, connectivity: Literal[4, 8] = 8) -> Labels:
    """Number the connected pieces of the foreground; with 8, corners connect too."""
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    return labels


@label.on_cuda
def _label_on_cuda(mask: Mask, *, connectivity: int) -> Labels:
    """Not run on a GPU yet: none was at hand when it was written."""
    import cupy
    from cupyx.scipy import ndimage

    structure = cupy.ones((3, 3)) if connectivity == 8 else None
    labels, _ = ndimage.label(mask, structure=structure)
    return labels.astype(cupy.int32)


@function
def split_touching(
    mask: Mask,
    *,
    distance_px: Annotated[int, Between(1, 500)] = 10,
    smoothing_px: Annotated[float, Between(0, 50)] = 1.0,
) -> Labels:
    """Number objects, cutting those that touch at their waists: a watershed of the distance to background.

    Two centres nearer than ``distance_px`` are one object; ``smoothing_px`` irons out ragged outlines
    that would make several centres of one. Pieces connect across corners, as in ``label`` with 8.
    """
    foreground = mask.view(np.uint8)
    depth = cv2.distanceTransform(foreground, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if smoothing_px:
        width = 2 * int(4 * smoothing_px + 0.5) + 1
        depth = cv2.GaussianBlur(depth, (width, width), smoothing_px, borderType=cv2.BORDER_REFLECT)
    around = np.ones((2 * distance_px + 1, 2 * distance_px + 1), np.uint8)
    peaks = (depth == cv2.dilate(depth, around)) & mask
    # Equal peaks nearer than the distance are one centre: squares of half the distance join them.
    near = np.ones((2 * ((distance_px - 1) // 2) + 1,) * 2, np.uint8)
    n_centres, blobs = cv2.connectedComponents(cv2.dilate(peaks.view(np.uint8), near), connectivity=8)
    centres = np.where(peaks, blobs, 0)
    n_pieces, pieces = cv2.connectedComponents(foreground, connectivity=8, ltype=cv2.CV_32S)
    # Most pieces have one centre and are finished; only the others pay for a watershed.
    places = np.flatnonzero(peaks)
    of_piece, first = np.unique(centres.ravel()[places], return_index=True)
    home = np.zeros(n_centres, dtype=np.int64)
    home[of_piece] = pieces.ravel()[places[first]]
    n_of_piece = np.bincount(home[1:], minlength=n_pieces)
    crowded = n_of_piece > 1
    crowded[0] = False
    if not crowded.any():
        return pieces
    clump = crowded[pieces]
    rows, columns = np.flatnonzero(clump.any(axis=1)), np.flatnonzero(clump.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    from skimage.segmentation import watershed

    parts = watershed(-depth[window], np.where(clump, centres, 0)[window], mask=clump[window], connectivity=2)
    labels = np.where(clump, 0, pieces).astype(np.int32)
    labels[window] += np.where(parts > 0, parts + n_pieces, 0).astype(np.int32)
    return _renumbered(labels)


@function
def remove_border_objects(labels: Labels, *, margin_px: Annotated[int, Between(0, 1000)] = 0) -> Labels:
    """Leave out objects that touch the image's edge or come within ``margin_px`` of it; number the rest anew."""
    kept = np.ones(_count(labels) + 1, dtype=bool)
    near = margin_px + 1
    for strip in (labels[:near], labels[-near:], labels[:, :near], labels[:, -near:]):
        kept[np.unique(strip)] = False
    return _chosen(labels, kept)


@function
def keep_sizes(
    labels: Labels,
    *,
    min_area_px: Annotated[int, Between(0)] = 0,
    max_area_px: Annotated[int, Between(1)] | None = None,
) -> Labels:
    """Keep objects whose area lies between the two, both included; number them anew."""
    area = np.bincount(labels.ravel())
    kept = area >= min_area_px
    if max_area_px is not None:
        kept &= area <= max_area_px
    return _chosen(labels, kept)


@remove_border_objects.on_cuda
def _remove_border_objects_on_cuda(labels: Labels, *, margin_px: int) -> Labels:
    """Not run on a GPU yet: none was at hand when it was written."""
    import cupy

    kept = cupy.ones(_count(labels) + 1, dtype=bool)
    near = margin_px + 1
    for strip in (labels[:near], labels[-near:], labels[:, :near], labels[:, -near:]):
        kept[cupy.unique(strip)] = False
    return _chosen_on_cuda(labels, kept)


@keep_sizes.on_cuda
def _keep_sizes_on_cuda(labels: Labels, *, min_area_px: int, max_area_px: int | None) -> Labels:
    """Not run on a GPU yet: none was at hand when it was written."""
    import cupy

    area = cupy.bincount(labels.ravel())
    kept = area >= min_area_px
    if max_area_px is not None:
        kept &= area <= max_area_px
    return _chosen_on_cuda(labels, kept)


def _chosen_on_cuda(labels: Any, kept: Any) -> Any:
    import cupy

    kept[0] = False
    numbers = cupy.where(kept, cupy.cumsum(kept), 0).astype(cupy.int32)
    return numbers[labels]


def _count(labels: Any) -> int:
    return int(labels.max(initial=0))


def _chosen(labels: Any, kept: Any) -> Any:
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return numbers[labels]


def _renumbered(labels: Any) -> Any:
    present = np.bincount(labels.ravel()) > 0
    return _chosen(labels, present)
