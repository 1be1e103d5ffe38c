"""A pipeline that does not fit its plate says every reason before a plane is read."""

from collections.abc import Iterable

import pytest

from hcs_mesh.config.errors import MeshError
from hcs_mesh.pipelines import (
    CompilationFailed,
    Pipeline,
    Step,
    channel,
    compile_pipeline,
    gaussian,
    label,
    max_projection,
    measure,
    measure_rings,
    measure_well,
    nucleus_ring_ratio,
    otsu,
    remove_border_objects,
)
from hcs_mesh.plates.model import Image, Plate, build_plate


def image(well: str, c: int, *, field: int = 1, z: int = 0, kind: str = "plane") -> Image:
    file = f"{well}_{field}_{c}_{z}_{kind}.tif"
    return Image(well, field, c, z, 0, kind, file, 0, 64, 64, "uint16")  # type: ignore[arg-type]


def plate_of(images: Iterable[Image], channels: tuple[str, ...] = ("DAPI", "GFP")) -> Plate:
    return build_plate(images, id=1, name="P1", channels=channels)


FLAT = plate_of(image(well, c) for well in ("A01", "A02") for c in (0, 1))
DEEP = plate_of(
    [image("A01", 0, z=z) for z in range(3)] + [image("A01", 0, kind="projection"), image("A01", 1, kind="projection")]
)

DNA = channel(0, to="dna")
MASK = [DNA, otsu("dna", to="mask")]
NUCLEI = [*MASK, label("mask", to="nuclei")]


def errors_of(plate: Plate, *steps: Step, **more: object) -> tuple[str, ...]:
    chosen = {key: more.pop(key) for key in ("wells", "devices") if key in more}
    with pytest.raises(CompilationFailed) as failed:
        compile_pipeline(Pipeline(name="p", steps=steps, **more), plate, **chosen)  # type: ignore[arg-type]
    assert isinstance(failed.value, MeshError)
    assert isinstance(failed.value, ValueError)
    assert failed.value.hint
    return failed.value.errors


@pytest.mark.parametrize(
    ("plate", "steps", "more", "message"),
    [
        (FLAT, [channel("DAP1", to="dna")], {}, 'channel "DAP1" is not on plate "P1": did you mean "DAPI"? It has'),
        (FLAT, [channel("Cy5", to="dna")], {}, '"Cy5" is not on plate "P1". It has 0 "DAPI", 1 "GFP"'),
        (FLAT, [channel(2, to="dna")], {}, "channel number 2 is not on plate"),
        (FLAT, [channel(0, z=1, to="dna")], {}, "channel 0 has z 0 to 0, not 1"),
        (FLAT, [channel(0, z="projection", to="dna")], {}, "no projection of channel 0: add max_projection"),
        (DEEP, [channel(1, to="gfp")], {}, "only the microscope's projection"),
        (DEEP, [DNA, gaussian("dna", sigma_px=1, to="s")], {}, "a z stack of 3 planes: add max_projection"),
        (FLAT, [DNA, label("dna", to="nuclei")], {}, "mask must be a mask, and dna is an image"),
        (FLAT, [*NUCLEI, otsu("nuclei", to="x")], {}, "image must be an image, and nuclei is labels"),
        (FLAT, [DNA, otsu("dan", to="mask")], {}, 'nothing makes dan: did you mean "dna"?'),
        (FLAT, [DNA, otsu("elsewhere", to="mask")], {}, "nothing makes elsewhere: name the output"),
        (FLAT, [otsu("dna", to="mask"), DNA], {}, "dna is made only later, by step 2"),
        (FLAT, [DNA, otsu("mask", to="mask")], {}, "mask is made by this step itself"),
        (FLAT, [DNA, otsu("dna", to="dna")], {}, "step 1 already made dna"),
        (FLAT, [Step(function="unheard", to="x")], {}, "step 1, unheard: there is no such function"),
        (FLAT, [DNA, Step(function="otsu", to="x")], {}, "otsu needs an input: image"),
        (FLAT, MASK, {"wells": ["B01"]}, 'well B01 is not on plate "P1": did you mean "A01"?'),
        (FLAT, MASK, {"wells": []}, "no wells were chosen"),
        (FLAT, MASK, {"devices": ["gpu"]}, 'there is no device "gpu"'),
        (FLAT, MASK, {"keep": ["dan"]}, 'keep names dan, which no step makes: did you mean "dna"'),
        (FLAT, MASK, {"count": "mask"}, "count names mask, which is a mask and not labels"),
        (
            FLAT,
            [*NUCLEI, measure("nuclei", image="dna", to="t"), measure_well("t", column="areapx", to="m")],
            {},
            'table t has no column "areapx": did you mean "area_px"',
        ),
        (
            FLAT,
            [*NUCLEI, measure("nuclei", image="dna", to="t"), nucleus_ring_ratio("t", to="m")],
            {},
            "table t has no column nucleus_sum, nucleus_area_px, ring_sum, ring_area_px",
        ),
        (plate_of([]), MASK, {}, 'plate "P1" holds no images'),
        (plate_of([image("A01", 0), image("A02", 1)]), [*MASK, channel(1, to="gfp")], {}, "no field holds every"),
    ],
)
def test_what_does_not_fit_is_told(plate: Plate, steps: list[Step], more: dict[str, object], message: str) -> None:
    assert any(message in error for error in errors_of(plate, *steps, **more))


def test_every_error_is_told_at_once_and_none_twice() -> None:
    errors = errors_of(
        FLAT,
        channel("DAP1", to="dna"),
        otsu("dna", to="mask"),
        label("musk", to="nuclei"),
        measure("nuclei", image="gfp", to="table"),
        keep=["dnaa"],
        wells=["A01", "Z99"],
    )
    assert len(errors) == 5
    assert [next(word for word in ("Z99", "DAP1", "musk", "gfp", "dnaa") if word in error) for error in errors]


def test_a_channel_is_found_by_name_in_either_case_and_by_index() -> None:
    for which in ("GFP", "gfp", 1):
        compiled = compile_pipeline(Pipeline(name="p", steps=[channel(which, to="x")]), FLAT)
        assert compiled.sources[0].c == 1


def test_a_plane_a_stack_and_a_projection_fit_where_they_are_wanted() -> None:
    steps = [
        DNA,
        max_projection("dna", to="flat"),
        channel(0, z=1, to="middle"),
        channel(0, z="projection", to="made"),
        gaussian("flat", sigma_px=1, to="a"),
        gaussian("middle", sigma_px=1, to="b"),
        gaussian("made", sigma_px=1, to="c"),
    ]
    compiled = compile_pipeline(Pipeline(name="p", steps=steps), DEEP)
    assert compiled.kinds["dna"] == "stack"
    assert compile_pipeline(Pipeline(name="p", steps=steps[:2]), FLAT).kinds["dna"] == "image"


def test_finished_labels_are_kept_and_counted_unless_the_pipeline_says_otherwise() -> None:
    steps = [*NUCLEI, remove_border_objects("nuclei", to="whole"), measure_rings("whole", image="dna", to="rings")]
    compiled = compile_pipeline(Pipeline(name="p", steps=steps), FLAT)
    assert (compiled.keep, compiled.count) == (("whole",), "whole")
    chosen = compile_pipeline(Pipeline(name="p", steps=steps, keep=["mask"], count="nuclei"), FLAT)
    assert (chosen.keep, chosen.count) == (("mask",), "nuclei")
    assert compile_pipeline(Pipeline(name="p", steps=MASK), FLAT).keep == ()


def test_a_field_that_lacks_a_channel_is_noted_and_stops_nothing() -> None:
    ragged = plate_of([image("A01", 0), image("A01", 1), image("A02", 0)])
    compiled = compile_pipeline(Pipeline(name="p", steps=[*MASK, channel(1, to="gfp")]), ragged)
    assert compiled.notes == ('well A02, field 1: no image of channel 1 "GFP"',)
    assert compiled.wells == ("A01", "A02")
