"""Labels become masks bit by bit, and come back the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hcs_mesh.plates.omero.masks import LabelMask, Labels, is_within, labels_of, masks_of


def test_a_mask_is_its_objects_box_with_a_bit_for_each_pixel_row_by_row() -> None:
    labels = np.zeros((5, 6), np.uint8)
    labels[1, 2:5] = 7
    labels[2, 3] = 7
    labels[4, 5] = 2
    assert list(masks_of(labels)) == [
        LabelMask(2, 5, 4, 1, 1, bytes([0b10000000])),
        LabelMask(7, 2, 1, 3, 2, bytes([0b11101000])),
    ]


def test_rows_of_a_mask_follow_each_other_without_filling() -> None:
    labels = np.ones((3, 3), np.uint16)
    (mask,) = masks_of(labels)
    assert mask.bits == bytes([0b11111111, 0b10000000])


@pytest.mark.parametrize(
    ("mask", "fits"),
    [
        (LabelMask(1, 0, 0, 6, 5, b""), True),
        (LabelMask(2**32 - 1, 5, 4, 1, 1, b""), True),
        (LabelMask(1, 1, 0, 6, 5, b""), False),
        (LabelMask(1, -1, 0, 2, 2, b""), False),
        (LabelMask(1, 0, 5, 1, 1, b""), False),
        (LabelMask(1, 3, 3, -1, 1, b""), False),
        (LabelMask(0, 0, 0, 1, 1, b""), False),
        (LabelMask(2**32, 0, 0, 1, 1, b""), False),
    ],
)
def test_an_object_is_within_its_label_image(mask: LabelMask, fits: bool) -> None:
    assert is_within(mask, (5, 6)) is fits


def test_no_objects_are_no_masks() -> None:
    assert list(masks_of(np.zeros((4, 4), np.uint32))) == []
    assert not labels_of([], (4, 4)).any()


@given(arrays.arrays(np.uint16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 5)))
def test_labels_come_back_from_their_masks(labels: Labels) -> None:
    height, width = labels.shape
    np.testing.assert_array_equal(labels_of(masks_of(labels), (height, width)), labels)
