"""Labels as the masks of OMERO's model, an object each, and back (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]


class MaskTooLarge(ValueError):
    """The box of an object has more pixels than a region may have bits."""


class LabelBox(NamedTuple):
    """Where one object is."""

    label: int
    x: int
    y: int
    width: int
    height: int

    @property
    def n_bytes(self) -> int:
        """How many its mask has."""
        return -(-self.width * self.height // 8)


class LabelMask(NamedTuple):
    """One object: its box, and of the box's pixels, row by row, one bit each, the first the highest of its byte."""

    label: int
    x: int
    y: int
    width: int
    height: int
    bits: bytes


def boxes_of(labels: Labels) -> Iterator[LabelBox]:
    """The objects of a label image (Y, X) in the order of their labels; 0 is no object."""
    ys, xs = np.nonzero(labels)
    values = labels[ys, xs]
    order = np.argsort(values, kind="stable")
    ys, xs, values = ys[order], xs[order], values[order]
    found, first = np.unique(values, return_index=True)
    if not len(found):
        return
    tops, bottoms = np.minimum.reduceat(ys, first), np.maximum.reduceat(ys, first)
    lefts, rights = np.minimum.reduceat(xs, first), np.maximum.reduceat(xs, first)
    for label, top, bottom, left, right in zip(found, tops, bottoms, lefts, rights, strict=True):
        yield LabelBox(int(label), int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)


def mask_of(labels: Labels, box: LabelBox) -> LabelMask:
    """One object of a label image."""
    inside = labels[box.y : box.y + box.height, box.x : box.x + box.width] == box.label
    return LabelMask(*box, np.packbits(inside).tobytes())


def masks_of(labels: Labels) -> Iterator[LabelMask]:
    """The objects of a label image (Y, X) in the order of their labels, each with its pixels."""
    return (mask_of(labels, box) for box in boxes_of(labels))


def is_within(mask: LabelMask, shape: tuple[int, int]) -> bool:
    """Whether an object is one of a label image of this shape (Y, X)."""
    down, right = (range(side + 1) for side in shape)
    corners = mask.x in right and mask.y in down and mask.width >= 0 and mask.height >= 0
    return corners and mask.x + mask.width in right and mask.y + mask.height in down and 0 < mask.label < 2**32


def labels_of(masks: Iterable[LabelMask], shape: tuple[int, int]) -> NDArray[np.uint32]:
    """The label image that these objects make."""
    labels = np.zeros(shape, np.uint32)
    for mask in masks:
        n_pixels = mask.width * mask.height
        bits = np.unpackbits(np.frombuffer(mask.bits, np.uint8), count=n_pixels).astype(bool)
        box = labels[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width]
        box[bits.reshape(mask.height, mask.width)] = mask.label
    return labels
