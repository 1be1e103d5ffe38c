"""The generated plate: reproducible, readable, and true to what it says about itself."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from scipy import ndimage

from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.plates.synthetic_field import expected_ratio, render_field

SMALL = Recipe(name="Small", n_rows=2, n_columns=3, n_fields=2, size_px=256)


def nuclei_mask(plane: np.ndarray) -> np.ndarray:
    """Blur and Otsu, as an independent reader of the picture would begin."""
    blurred = cv2.GaussianBlur(plane, (0, 0), 1.5)
    threshold, _ = cv2.threshold(blurred, 0, 65535, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return ndimage.binary_fill_holes(blurred > threshold)


def test_files_are_laid_out_as_metaxpress_exports_them(tmp_path: Path) -> None:
    truth = write_plate(tmp_path, SMALL)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"Small.HTD"} | {
        f"TimePoint_1/Small_{well}_s{site}_w{wave}.TIF"
        for well in ("A01", "A02", "A03", "B01", "B02", "B03")
        for site in (1, 2)
        for wave in (1, 2)
    }
    assert truth.n_files == len(names)
    assert truth.n_bytes == sum((tmp_path / name).stat().st_size for name in names)
    htd = (tmp_path / "Small.HTD").read_text("latin-1")
    assert '"XWells", 3' in htd
    assert '"WaveName2", "GFP"' in htd
    assert '"XSites", 2' in htd


def test_every_file_is_one_uint16_page_with_its_place_in_the_description(
    tmp_path: Path,
) -> None:
    write_plate(tmp_path, SMALL)
    for path in (tmp_path / "TimePoint_1").iterdir():
        with tifffile.TiffFile(path) as tiff:
            assert len(tiff.pages) == 1
            page = tiff.pages[0]
            assert (page.shape, page.dtype) == ((256, 256), np.uint16)
            well, site = path.stem.split("_")[1:3]
            assert f'value="{well} : Site {site[1:]}"' in page.description


def test_the_planner_takes_it_for_a_plate_from_the_microscope(tmp_path: Path) -> None:
    truth = write_plate(tmp_path, SMALL)
    planned = plan(tmp_path)
    assert planned.left_out == ()
    (fileset,) = planned.filesets
    assert (fileset.planner, len(fileset.files), fileset.n_bytes) == ("metaxpress", truth.n_files, truth.n_bytes)
    (plate,) = fileset.plates
    assert (plate.name, plate.n_rows, plate.n_columns, plate.channels) == ("Small", 2, 3, ("DAPI", "GFP"))
    assert (plate.n_images, plate.n_fields, plate.pixel_size_um) == (24, 12, 0.65)
    assert plate.notes == ()
    assert plate.missing == ()


def test_equal_recipes_give_equal_bytes_and_another_seed_another_plate(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    truths = [
        write_plate(folder, recipe)
        for folder, recipe in zip(folders, (SMALL, SMALL, Recipe(**{**fields(SMALL), "seed": 1})), strict=True)
    ]
    one, two, three = ({p.name: p.read_bytes() for p in (f / "TimePoint_1").iterdir()} for f in folders)
    assert one == two
    assert truths[0] == truths[1]
    assert one.keys() == three.keys()
    assert one != three


def test_the_counts_are_what_segmentation_finds_within_two_per_field() -> None:
    recipe = Recipe()
    for row, column in ((0, 0), (1, 3), (3, 5)):
        planes, truth = render_field(recipe, row, column, 1)
        mask = nuclei_mask(planes[0])
        distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
        peaks = (distance == ndimage.maximum_filter(distance, 13)) & (distance > 4)
        _, n = ndimage.label(ndimage.binary_dilation(peaks, iterations=2))
        assert abs(n - truth.n_nuclei - truth.n_cut) <= 2
        assert truth.n_nuclei >= 15


def test_the_reporter_moves_into_the_nucleus_as_the_dose_rises() -> None:
    recipe = Recipe()
    measured = []
    for column in range(recipe.n_columns):
        planes, _ = render_field(recipe, 1, column, 1)
        away = ndimage.distance_transform_edt(~nuclei_mask(planes[0]))
        inside, ring = planes[1][away == 0], planes[1][(away > 2) & (away <= 8)]
        measured.append(float(inside.mean() / ring.mean()))
    assert measured == sorted(measured)
    assert measured[0] < 1.0
    assert measured[-1] > 4.0
    expected = [expected_ratio(recipe, column) for column in range(recipe.n_columns)]
    assert measured == pytest.approx(expected, rel=0.25)


def test_a_demo_plate_costs_under_three_seconds_of_a_core(tmp_path: Path) -> None:
    began = time.process_time()
    truth = write_plate(tmp_path)
    assert time.process_time() - began < 3.0
    assert truth.n_files == 24 * 2 * 2 + 1
    assert len(truth.ratios) == 24
    assert sum(truth.n_nuclei(well) for well in truth.ratios) == sum(one.n_nuclei for one in truth.fields)


@pytest.mark.parametrize(
    "wrong",
    [{"n_rows": 0}, {"n_rows": 27}, {"n_fields": 0}, {"channels": ()}, {"size_px": 63}, {"nuclear_channel": 2}],
)
def test_an_impossible_recipe_is_refused_with_its_numbers(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot generate"):
        write_plate(tmp_path, Recipe(**wrong))
    assert not any(tmp_path.iterdir())


def fields(recipe: Recipe) -> dict[str, object]:
    """The recipe's fields by name."""
    return {name: getattr(recipe, name) for name in recipe.__struct_fields__}
