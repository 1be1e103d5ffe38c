"""Processed planes become images in which nothing is invented."""

from itertools import product

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.omero.image_plans import images_of
from hcs_mesh.plates.repository import ResultFile


def plane(output: str, *, field: int = 1, c: int = 0, z: int = 0, t: int = 0, width: int = 8) -> ResultFile:
    return ResultFile(
        path=f"{output}_{field}_{c}_{z}_{t}.tif",
        kind="plane",
        output=output,
        field=field,
        c=c,
        z=z,
        t=t,
        height=8,
        width=width,
        dtype="uint16",
    )


def test_outputs_of_one_shape_are_the_channels_of_one_image() -> None:
    files = [plane(output, z=z) for output, z in product(("flat", "blurred"), (0, 1))]
    (plan,) = images_of([*files, ResultFile(path="cells.csv", kind="table")])
    assert (plan.channels, plan.zs, plan.ts) == (("blurred", "flat"), (0, 1), (0,))
    assert plan.planes[1, 1, 0].path == "flat_1_0_1_0.tif"
    assert plan.name == "s001 blurred + flat"
    assert plan.path == "blurred_1_0_0_0.tif#8x8x2x2x1-uint16"


def test_an_image_is_told_by_what_its_files_hold() -> None:
    def sealed(*sha1s: str) -> str:
        files = [msgspec.structs.replace(plane("flat", z=z), sha1=sha1) for z, sha1 in enumerate(sha1s)]
        (plan,) = images_of(files)
        return plan.sha1

    assert sealed("a", "b") == sealed("a", "b")
    assert len({sealed("a", "b"), sealed("b", "a"), sealed("a", "c"), sealed("a")}) == 4


def test_one_output_of_several_channels_has_a_name_for_each() -> None:
    (plan,) = images_of([plane("flat", c=1), plane("flat", c=0), plane("sum", c=0)])
    assert plan.channels == ("flat c0", "flat c1", "sum")


def test_outputs_that_do_not_fit_each_other_are_images_of_their_own() -> None:
    plans = images_of([plane("flat", z=0), plane("flat", z=1), plane("projection"), plane("small", width=4)])
    assert [(plan.channels, plan.zs, plan.width) for plan in plans] == [
        (("flat",), (0, 1), 8), (("projection",), (0,), 8), (("small",), (0,), 4),
    ]  # fmt: skip


def test_planes_with_one_missing_among_them_are_parted() -> None:
    plans = images_of([plane("flat", z=z, t=t) for z, t in ((0, 0), (1, 0), (0, 1))])
    assert [plan.name for plan in plans] == ["s001 flat", "s001 flat t1-1", "s001 flat z1-1"]


@given(
    st.sets(
        st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)),
        max_size=20,
    )
)
def test_every_plane_is_in_one_image_and_every_image_is_whole(chosen: set[tuple[str, int, int, int, int]]) -> None:
    files = [plane(output, field=field, c=c, z=z, t=t) for output, field, c, z, t in chosen]
    plans = images_of(files)
    held = [file.path for plan in plans for file in plan.planes.values()]
    assert sorted(held) == sorted(file.path for file in files)
    for plan in plans:
        every = product(range(len(plan.channels)), range(len(plan.zs)), range(len(plan.ts)))
        assert set(plan.planes) == set(every)
    assert len({plan.path for plan in plans}) == len(plans)
