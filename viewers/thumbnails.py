"""Small pictures of wells: the first field, its channels in colours, every well on one scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..plates.errors import PlaceAway, ReaderUnavailable
from ..plates.model import Image, Plate
from ..plates.plane_readers import read_any_plane

SIZE_PX = 128
MAX_WELLS = 96
COLOURS_BGR = ((255, 90, 60), (80, 255, 80), (70, 70, 255), (60, 220, 255))
N_SAMPLED = 6


def thumbnails(plate: Plate) -> Callable[[str], bytes]:
    """What draws one well of the plate as PNG; empty for a plate of more than MAX_WELLS wells.

    Raises (when a well is drawn):
        UnreadableImage: a plane of the well cannot be read.
    """
    if not 0 < len(plate.wells) <= MAX_WELLS:
        return lambda well: b""
    step = max(len(plate.wells) // N_SAMPLED, 1)
    scales: dict[int, tuple[float, float]] = {}
    for c in range(min(len(plate.channels), len(COLOURS_BGR))):
        # One scale for the whole plate: a dim well shall look dim beside a bright one.
        sampled = [plane for well in plate.wells[::step] if (plane := _small(plate, well, c)) is not None]
        if sampled:
            pixels = np.concatenate([plane.ravel() for plane in sampled])
            low, high = np.percentile(pixels, (10.0, 99.7))
            scales[c] = (float(low), max(float(high), float(low) + 1.0))

    def draw(well: str) -> bytes:
        canvas: NDArray[np.float32] = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.float32)
        drawn = False
        for c, (low, high) in scales.items():
            plane = _small(plate, well, c)
            if plane is not None:
                drawn = True
                weight = np.clip((plane - low) / (high - low), 0.0, 1.0)[..., None]
                canvas += weight * np.asarray(COLOURS_BGR[c], dtype=np.float32)
        if not drawn:
            return b""
        encoded: bytes = cv2.imencode(".png", np.clip(canvas, 0, 255).astype(np.uint8))[1].tobytes()
        return encoded

    return draw


def _small(plate: Plate, well: str, c: int) -> NDArray[np.float32] | None:
    fields = plate.fields(well)
    shown = next((one for one in plate.images(well=well, field=fields[0]) if one.c == c), None) if fields else None
    try:
        return None if shown is None else _shrunk(plate, shown)
    except (ReaderUnavailable, PlaceAway):
        # A report is whole without pictures; its numbers are not this process's to read.
        return None


def _shrunk(plate: Plate, shown: Image) -> NDArray[np.float32]:
    plane: Any = read_any_plane(plate.root, shown.file, shown.page).astype(np.float32)
    height, width = plane.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = plane[top : top + side, left : left + side]
    small: NDArray[np.float32] = cv2.resize(square, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    return small
