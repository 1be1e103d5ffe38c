"""What is declared and not there is counted exactly and named as far as that is small."""

import gc
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from named_folder import NamedFolder

from hcs_mesh.actors.imports.notes import plan_notes
from hcs_mesh.plates import MetadataError, Plan
from hcs_mesh.plates.model import Image, Missing, Plate, build_plate
from hcs_mesh.plates.planners import Fileset, recognise
from hcs_mesh.plates.planners.named_missing import MAX_NAMED, with_few_named
from hcs_mesh.plates.planners.soundness import sound
from hcs_mesh.plates.planning import BUILT_IN
from hcs_mesh.plates.wells import MAX_COLUMNS, MAX_ROWS

ALL_WELLS = "\n".join(f'"WellsSelection{row}"{", TRUE" * 24}' for row in range(1, 17))
ALL_SITES = "\n".join(f'"SiteSelection{row}"{", TRUE" * 3}' for row in range(1, 4))


def declared(n_t: int) -> Plan:
    """The plan of a 384-well time series of 9 sites and 2 z of which there is one image."""
    text = (
        f'"HTSInfoFile", Version 1.0\n"XWells", 24\n"YWells", 16\n{ALL_WELLS}\n"Sites", TRUE\n"XSites", 3\n'
        f'"YSites", 3\n{ALL_SITES}\n"NWavelengths", 1\n"TimePoints", {n_t}\n"ZSeries", TRUE\n"ZSteps", 2\n"EndFile"\n'
    )
    folder = NamedFolder("TimePoint_1/ZStep_1/x_A02_s1.TIF", "TimePoint_1/ZStep_2/x_A02_s1.TIF", texts={"x.HTD": text})
    return recognise(folder, BUILT_IN)


def test_a_time_series_that_has_begun_names_few_of_what_is_to_come_and_counts_all() -> None:
    plan = declared(3)
    (plate,) = plan.plates
    n = 384 * 9 * 2 * 3 - 2
    assert (plate.n_images, plate.n_missing, len(plate.missing)) == (2, n, MAX_NAMED)
    assert plan.pending == (f"x.HTD declares {n + 2} images and 2 are there",)
    assert plan_notes(plan) == (f"{plate.name}: {n} images that the metadata declares are missing",)
    assert {one.well for one in plate.missing} == set(plate.declared_wells)
    assert len(plate.declared_wells) == 384
    assert plate.only(["A01"]).n_missing == 54


def test_a_plan_costs_memory_for_what_is_there_and_not_for_what_is_declared() -> None:
    def bytes_of(n_t: int) -> int:
        encoded = msgspec.msgpack.encode(declared(n_t))
        gc.collect()
        tracemalloc.start()
        try:
            plan = msgspec.msgpack.decode(encoded, type=Plan)
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert plan.plates
        return held

    assert bytes_of(12) < bytes_of(2) * 1.2 < 8 << 20


def test_more_images_than_any_plate_has_are_refused_with_the_number() -> None:
    with pytest.raises(MetadataError, match="are 20,736,000 images, and a plate has at most 2,000,000"):
        declared(3000)


def test_more_wells_than_any_plate_has_are_refused() -> None:
    missing = tuple(Missing(well=f"W{number}", field=1, c=0, z=0, t=0) for number in range(MAX_ROWS * MAX_COLUMNS + 1))
    fileset = Fileset(planner="any", root="", files=(), plates=(build_plate((), id=0, name="P", missing=missing),))
    with pytest.raises(MetadataError, match="69,499 wells, which no plate has"):
        sound(fileset)


PLANES = st.tuples(
    st.sampled_from(["A01", "A02", "B01"]),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 2),
)


@given(st.sets(PLANES), st.sets(PLANES), st.integers(0, 5))
def test_every_stack_that_is_there_in_part_and_every_lost_well_has_one_that_is_named(
    there: set[tuple[str, int, int, int, int]], declared: set[tuple[str, int, int, int, int]], most: int
) -> None:
    images = [Image(w, f, c, z, t, "plane", "a.tif", 0, 8, 8, "uint8") for w, f, t, c, z in sorted(there)]
    gone = sorted(declared - there)
    whole = build_plate(
        images,
        id=0,
        name="P",
        missing=tuple(Missing(well=w, field=f, c=c, z=z, t=t) for w, f, t, c, z in gone),
    )
    few = with_few_named(whole, most=most)
    assert (few.n_missing, few.declared_wells) == (len(gone), whole.declared_wells)
    assert [one for one in whole.missing if one in few.missing] == list(few.missing)

    def in_part(plate: Plate) -> set[tuple[str, int, int, int]]:
        stacks = {(one.well, one.field, one.t, one.c) for one in plate.images()}
        return {stack for one in plate.missing if (stack := (one.well, one.field, one.t, one.c)) in stacks}

    def lost(plate: Plate) -> set[str]:
        return {one.well for one in plate.missing} - set(plate.wells)

    assert (in_part(few), lost(few)) == (in_part(whole), lost(whole))
    assert len(few.missing) <= max(most, len(there) + 3)
