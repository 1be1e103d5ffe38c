"""A field of which something is missing gives no numbers and says so; the rest of its well goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from hcs_mesh.pipelines import (
    CompilationFailed,
    Pipeline,
    WellFailed,
    channel,
    compile_pipeline,
    label,
    max_projection,
    measure,
    otsu,
    run_well,
)
from hcs_mesh.plates.model import Image, Missing, Plate, build_plate
from hcs_mesh.plates.planners.named_missing import with_few_named
from hcs_mesh.plates.planning import plan

FLAT = [
    max_projection("dna", to="flat"),
    otsu("flat", to="mask"),
    label("mask", to="nuclei"),
    measure("nuclei", image="flat", to="per_nucleus"),
]
STACK = Pipeline(name="stack", steps=[channel(0, to="dna"), *FLAT])
PROJECTION = Pipeline(name="projection", steps=[channel(0, z="projection", to="dna"), *FLAT])


def image(field: int = 1, *, well: str = "A01", c: int = 0, z: int = 0, kind: Any = "plane") -> Image:
    return Image(well, field, c, z, 0, kind, f"{well}_{field}_{c}_{z}.tif", 0, 32, 32, "uint16")


def lost(field: int = 1, *, well: str = "A01", c: int = 0, z: int = 0, kind: Any = "plane") -> Missing:
    return Missing(well=well, field=field, c=c, z=z, t=0, file=f"{well}_{field}_{c}_{z}.tif", kind=kind)


def plate_of(*images: Image, missing: tuple[Missing, ...] = ()) -> Plate:
    return build_plate(images, id=1, name="P1", channels=("DAPI", "GFP"), missing=missing)


def spot(one: Image) -> NDArray[Any]:
    plane = np.zeros((one.height, one.width), np.uint16)
    plane[4:9, 4:9] = 1000
    return plane


def test_a_stack_that_lacks_a_plane_takes_its_field_out_and_names_the_file() -> None:
    plate = plate_of(*(image(f, z=z) for f in (1, 2) for z in (0, 1, 2) if (f, z) != (2, 1)), missing=(lost(2, z=1),))
    result = run_well(compile_pipeline(STACK, plate), "A01", spot)
    assert (result.n_fields, result.n_objects) == (1, 1)
    assert [str(one) for one in result.failures] == [
        "field 2: not analysed: 1 of 3 declared images is missing or damaged (A01_2_0_1.tif)"
    ]


def test_a_field_without_any_image_is_told_with_its_well() -> None:
    plate = plate_of(image(1), missing=(lost(2),))
    result = run_well(compile_pipeline(STACK, plate), "A01", spot)
    assert [str(one) for one in result.failures] == [
        "field 2: not analysed: 1 declared image is missing or damaged (A01_2_0_0.tif)"
    ]


def test_what_the_pipeline_does_not_read_does_no_harm_when_it_is_missing() -> None:
    missing = (lost(c=1), lost(kind="projection"))
    result = run_well(compile_pipeline(STACK, plate_of(image(z=0), image(z=1), missing=missing)), "A01", spot)
    assert (result.n_objects, result.failures) == (1, ())


def test_a_missing_projection_harms_those_who_read_projections() -> None:
    plate = plate_of(image(1, kind="projection"), image(2), missing=(lost(2, kind="projection"),))
    result = run_well(compile_pipeline(PROJECTION, plate), "A01", spot)
    assert [one.field for one in result.failures] == [2]


def test_channels_of_different_depth_are_whole() -> None:
    plate = plate_of(*(image(c=0, z=z) for z in range(3)), image(c=1))
    two = Pipeline(name="two", steps=[channel(0, to="dna"), *FLAT, channel(1, to="gfp")])
    assert run_well(compile_pipeline(two, plate), "A01", spot).failures == ()


@pytest.mark.parametrize("cut", [False, True])
def test_a_well_whose_every_image_is_missing_fails_with_the_reason(*, cut: bool) -> None:
    plate = plate_of(image(), missing=(lost(1, well="A02"), lost(2, well="A02")))
    compiled = compile_pipeline(STACK, plate.only(("A02",)) if cut else plate)
    assert "A02" in compiled.wells
    with pytest.raises(WellFailed, match=r"well A02 gives no result: 1 declared image is missing .*and 1 more"):
        run_well(compiled, "A02", spot)


def test_a_stack_of_which_one_plane_is_left_is_still_a_stack() -> None:
    plate = plate_of(image(z=0), missing=(lost(z=1), lost(z=2)))
    straight = Pipeline(name="straight", steps=[channel(0, to="flat"), *FLAT[1:]])
    with pytest.raises(CompilationFailed, match="a z stack of 3 planes"):
        compile_pipeline(straight, plate)


def test_a_damaged_file_of_a_folder_by_pattern_takes_its_field_out(tmp_path: Path) -> None:
    for well in ("A01", "A02", "B01", "B02"):
        for field in (1, 2):
            tifffile.imwrite(tmp_path / f"{well}_{field}.tif", spot(image()))
    broken = tmp_path / "A02_1.tif"
    broken.write_bytes(broken.read_bytes()[:300])
    (plate,) = plan(tmp_path, pattern="{well}_{field}.tif").plates
    result = run_well(compile_pipeline(STACK, plate), "A02", spot)
    assert [str(one) for one in result.failures] == [
        "field 1: not analysed: 1 declared image is missing or damaged (A02_1.tif)"
    ]
    assert result.n_fields == 1


def test_a_field_of_which_few_missing_planes_are_named_is_taken_out_all_the_same() -> None:
    whole = plate_of(
        *(image(f, z=z) for f in (1, 2) for z in range(4) if (f, z) not in ((2, 1), (2, 2))),
        missing=(lost(2, z=1), lost(2, z=2), *(lost(f, z=z) for f in (3, 4) for z in range(4))),
    )
    compiled = compile_pipeline(STACK, with_few_named(whole, most=1))
    result = run_well(compiled, "A01", spot)
    assert (result.n_fields, [str(one) for one in result.failures]) == (
        1,
        ["field 2: not analysed: at least 1 declared image is missing or damaged (A01_2_0_1.tif)"],
    )
    assert compiled.notes[-1] == "9 more images are missing: fields of which none is there are not all named"
