"""Grouping decides which planes share a layer; axes grow and stay sorted."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.messages.planes import PlaneAddress
from hcs_mesh.viewers.axes import Axes
from hcs_mesh.viewers.errors import UnknownComponent
from hcs_mesh.viewers.grouping import COMPONENTS, Grouping, Mode, label, parse_grouping

addresses = st.builds(
    PlaneAddress,
    well=st.sampled_from(["", "A01", "A02", "A10", "B02", "Z01", "AA01"]),
    field=st.integers(1, 4),
    z=st.integers(0, 3),
    t=st.integers(0, 2),
    channel=st.sampled_from(["", "DNA", "ER"]),
    step=st.sampled_from(["", "projection", "nuclei"]),
)
groupings = st.fixed_dictionaries({name: st.sampled_from(get_args(Mode)) for name in COMPONENTS}).map(Grouping)


def test_a_channel_and_a_result_each_get_a_layer_and_the_rest_are_axes() -> None:
    grouping = Grouping()
    raw = PlaneAddress(well="B03", field=2, channel="DNA")
    labels = PlaneAddress(well="B03", field=2, step="nuclei")
    assert grouping.axes == ("well", "field", "z", "t")
    assert grouping.layer_name(raw) == "DNA"
    assert grouping.layer_name(labels) == "nuclei"
    assert grouping.layer_key(raw) != grouping.layer_key(labels)
    assert grouping.position(raw) == ("B03", 2, 0, 0)


def test_the_microscopes_projections_do_not_share_a_layer_with_its_planes() -> None:
    assert Grouping().layer_name(PlaneAddress(well="A01", field=1, channel="w1", step="projection")) == "w1 projection"


def test_a_component_can_be_made_a_layer_on_request() -> None:
    grouping = parse_grouping("z=layer, channel=stack")
    assert grouping.axes == ("channel", "well", "field", "t")
    assert grouping.layer_name(PlaneAddress(well="A01", field=1, z=3, channel="DNA")) == "z 3"


@pytest.mark.parametrize("text", ["site=layer", "z=window", "z", "=layer"])
def test_an_unknown_component_or_mode_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(UnknownComponent) as caught:
        parse_grouping(text)
    assert "channel" in caught.value.hint


@given(groupings, st.lists(addresses, max_size=30))
def test_layer_and_position_together_tell_every_two_planes_apart(
    grouping: Grouping, planes: list[PlaneAddress]
) -> None:
    places = {(grouping.layer_key(one), grouping.position(one)) for one in planes}
    assert len(places) == len(set(planes))


@given(groupings, st.lists(addresses, max_size=30))
def test_layers_that_differ_have_names_that_differ(grouping: Grouping, planes: list[PlaneAddress]) -> None:
    assert len({grouping.layer_key(one) for one in planes}) == len({grouping.layer_name(one) for one in planes})


@given(groupings, st.lists(addresses, min_size=1, max_size=30))
def test_axes_grow_one_by_one_into_the_same_as_at_once(grouping: Grouping, planes: list[PlaneAddress]) -> None:
    positions = [grouping.position(one) for one in planes]
    at_once = Axes.empty(grouping.axes).grown(positions)
    one_by_one = Axes.empty(grouping.axes)
    for position in positions:
        one_by_one = one_by_one.grown([position])
    assert one_by_one == at_once
    for plane, position in zip(planes, positions, strict=True):
        index = at_once.index(position)
        assert index is not None
        assert at_once.position(index) == position
        assert position == tuple(label(plane, name) for name in grouping.axes)


@given(st.lists(addresses, max_size=30), st.lists(addresses, max_size=30))
def test_growing_never_changes_the_order_of_what_was_there(first: list[PlaneAddress], then: list[PlaneAddress]) -> None:
    grouping = Grouping()
    before = Axes.empty(grouping.axes).grown(map(grouping.position, first))
    after = before.grown(map(grouping.position, then))
    for old, new in zip(before.labels, after.labels, strict=True):
        assert [one for one in new if one in old] == list(old)


def test_wells_lie_as_they_do_on_the_plate() -> None:
    axes = Axes.empty(("well",)).grown([("AA01",), ("B10",), ("B2",), ("",), ("A12",)])
    assert axes.labels == (("", "A12", "B2", "B10", "AA01"),)


def test_a_position_that_is_not_there_yet_has_no_index() -> None:
    assert Axes.empty(("well",)).index(("A01",)) is None
