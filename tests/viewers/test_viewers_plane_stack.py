"""A layer's array holds what was received, grows without copying, and can be sliced like an array."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.viewers.axes import Axes
from hcs_mesh.viewers.plane_stack import PlaneStack

keys = st.one_of(st.integers(0, 1), st.just(slice(None)), st.just(slice(0, 1)), st.just(np.int64(1)))


def stack_of(wells: list[str], fields: list[int]) -> PlaneStack:
    axes = Axes.empty(("well", "field")).grown([(well, field) for well in wells for field in fields])
    return PlaneStack(axes, 3, 4, "uint16")


def test_a_new_well_makes_room_and_keeps_the_planes_where_they_were() -> None:
    stack = stack_of(["B02"], [1])
    plane = np.arange(12, dtype=np.uint16).reshape(3, 4)
    stack.put(("B02", 1), plane)
    stack.lie_along(stack.axes.grown([("A01", 1)]))
    assert stack.shape == (2, 1, 3, 4)
    assert np.shares_memory(stack[1, 0], plane)


def test_a_plane_that_never_came_is_told_apart_from_one_of_zeros() -> None:
    stack = stack_of(["A01", "A02"], [1])
    stack.put(("A01", 1), np.zeros((3, 4), np.uint16))
    assert stack.holds(("A01", 1))
    assert not stack.holds(("A02", 1))
    assert stack.n_received == 1


@pytest.mark.parametrize("plane", [np.zeros((4, 3), np.uint16), np.zeros((3, 4), np.uint8)])
def test_a_plane_of_another_shape_or_type_is_refused(plane: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        stack_of(["A01"], [1]).put(("A01", 1), plane)


def test_forgetting_says_how_many_bytes_it_freed() -> None:
    stack = stack_of(["A01"], [1])
    stack.put(("A01", 1), np.ones((3, 4), np.uint16))
    assert stack.forget([("A01", 1), ("A09", 1)]) == 24
    assert stack.held() == ()


@given(st.tuples(keys, keys), st.sampled_from([(), (slice(1, None),), (slice(None), slice(0, 2)), (Ellipsis,)]))
def test_it_slices_as_the_whole_array_would(leading: tuple[Any, Any], trailing: tuple[Any, ...]) -> None:
    stack = stack_of(["A01", "A02"], [1, 2])
    whole = np.arange(48, dtype=np.uint16).reshape(2, 2, 3, 4)
    for i, well in enumerate(("A01", "A02")):
        for j, field in enumerate((1, 2)):
            stack.put((well, field), whole[i, j])
    key = (*leading, *trailing)
    assert np.array_equal(stack[key], whole[key])
    assert np.array_equal(np.asarray(stack), whole)
