"""What of a source is looked at: how deep, and what is left out by pattern."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates import NothingToImport, PatternError, plan
from hcs_mesh.plates.exclusion import Exclusion
from hcs_mesh.plates.folder import EXCLUDED, TOO_DEEP, DiskFolder

GUID = "{:08X}-0000-4000-8000-00000000000A"


def write_plate(folder: Path, wells: tuple[str, ...] = ("A01", "A02")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, well in enumerate(wells):
        tifffile.imwrite(folder / f"{folder.name}_{well}{GUID.format(number)}.tif", np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize(
    ("pattern", "excluded", "kept"),
    [
        ("*_thumb*", ("a_thumb.tif", "x/y/a_thumb.tif", "x_thumbs/a.tif"), ("a.tif", "x/thumb.tif")),
        ("Evaluation1", ("Evaluation1", "x/Evaluation1/a.csv"), ("Evaluation10/a.csv", "x/evaluation1")),
        ("p/Evaluation1", ("p/Evaluation1", "p/Evaluation1/a/b"), ("Evaluation1", "x/p/Evaluation1")),
        ("p/*.csv", ("p/a.csv",), ("p/x/a.csv", "a.csv")),
        ("p/**/*.csv", ("p/a.csv", "p/x/a.csv", "p/x/y/a.csv"), ("x/p/a.csv", "p/a.tif")),
        ("**/x/*.csv", ("x/a.csv", "p/x/a.csv"), ("p/x/y/a.csv",)),
        ("p/**", ("p/a", "p/x/y", "p"), ("q/p",)),
        ("p/", ("p", "p/a", "q/p/a"), ("pp",)),
        ("./p/a", ("p/a",), ("p/b", "q/p/a")),
        ("a?[0-3].tif", ("ab1.tif",), ("ab4.tif", "a/1.tif", "a1.tif")),
        ("[", ("[", "x/["), ("x",)),
    ],
)
def test_what_a_pattern_leaves_out(pattern: str, excluded: tuple[str, ...], kept: tuple[str, ...]) -> None:
    exclusion = Exclusion([pattern])
    assert [path for path in excluded if path not in exclusion] == []
    assert [path for path in kept if path in exclusion] == []


@pytest.mark.parametrize("pattern", ["", "/", "/data/x", "../x", "a/../b", ".", "./"])
def test_a_pattern_that_names_nothing_of_a_source_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(PatternError, match="excludes nothing of a source") as caught:
        plan(tmp_path, exclude=(pattern,))
    assert caught.value.hint


NAMES = st.text(alphabet="ab*?[]!", min_size=1, max_size=4)


@given(st.lists(NAMES, min_size=1, max_size=5), st.lists(NAMES | st.just("**"), min_size=1, max_size=7))
def test_what_lies_in_an_excluded_folder_is_excluded(path: list[str], pattern: list[str]) -> None:
    exclusion = Exclusion(["/".join(pattern)])
    if "/".join(path) in exclusion:
        assert "/".join([*path, "below"]) in exclusion


def test_nothing_is_left_out_where_nothing_is_asked_for(tmp_path: Path) -> None:
    write_plate(tmp_path / "p")
    assert plan(tmp_path).left_out == ()
    assert "anything" not in Exclusion()


def test_excluded_files_and_folders_are_left_out_by_name(tmp_path: Path) -> None:
    write_plate(tmp_path / "one")
    write_plate(tmp_path / "two")
    found = plan(tmp_path, exclude=("two", "*_A02*"))
    (plate,) = found.plates
    assert (plate.name, plate.wells) == ("one", ("A01",))
    assert [(one.path, one.reason) for one in found.left_out] == [
        (f"one/one_A02{GUID.format(1)}.tif", EXCLUDED),
        ("two", EXCLUDED),
    ]


def test_an_excluded_folder_is_not_entered(tmp_path: Path) -> None:
    write_plate(tmp_path / "one")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "Index.idx.xml").write_text("<Evaluation")
    assert plan(tmp_path, exclude=("broken",)).plates[0].n_images == 2


@pytest.mark.parametrize(("depth", "plates"), [(0, 3), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_folders_are_looked_into_as_deep_as_was_asked_for(tmp_path: Path, depth: int, plates: int) -> None:
    for folder in (tmp_path, tmp_path / "one", tmp_path / "one" / "two"):
        write_plate(folder)
    found = plan(tmp_path, depth=depth)
    assert len(found.plates) == plates
    deeper = {1: [("one", TOO_DEEP)], 2: [("one/two", TOO_DEEP)]}
    assert [(one.path, one.reason) for one in found.left_out] == deeper.get(depth, [])


def test_who_looks_too_shallow_is_told_so(tmp_path: Path) -> None:
    write_plate(tmp_path / "one")
    with pytest.raises(
        NothingToImport, match=r"1 of what lies in .* was not looked at, for example one: a folder deeper"
    ) as told:
        plan(tmp_path, depth=1)
    assert "--depth 2, or 0 for all" in told.value.hint
    assert plan(tmp_path, depth=2).plates
    (tmp_path / "a.txt").touch()
    with pytest.raises(NothingToImport, match=r"no image of a known layout, .*; 1 of .* one: excluded"):
        plan(tmp_path, exclude=("one",))


def test_depth_and_exclusion_hold_for_patterns_too(tmp_path: Path) -> None:
    write_plate(tmp_path / "one")
    found = plan(tmp_path, pattern="{_}_{well}{_}.tif", exclude=("*_A01*",))
    assert found.plates[0].wells == ("A02",)


def test_a_member_of_a_set_can_be_excluded_where_one_file_is_given(shared_data: Path) -> None:
    source = shared_data / "ome-tiff-companion"
    found = plan(source / "multifile.companion.ome", exclude=("*-Z2*",))
    assert (found.plates[0].n_images, found.n_files) == (4, 5)
    assert [one.file for one in found.plates[0].missing] == ["multifile-Z2.ome.tiff"]


def test_what_was_excluded_is_missing_and_not_waited_for(shared_data: Path) -> None:
    source = shared_data / "metaxpress-htd-9987" / "9987_Plate_3433"
    found = plan(source, exclude=("*_w2.TIF",))
    assert (len(found.plates[0].missing), found.pending) == (12, ())
    (measured,) = (shared_data / "yokogawa-cv8000-minimal").glob("CV8000*/CV8000*")
    found = plan(measured, exclude=("*C02.tif",))
    assert (found.plates[0].n_images, len(found.plates[0].missing), found.pending) == (48, 48, ())
    found = plan(shared_data / "operetta-ball", exclude=("*f02p01*",))
    assert (found.plates[0].n_images, len(found.plates[0].missing), found.pending) == (1, 1, ())
    assert plan(shared_data / "ome-tiff-companion", exclude=("multifile-Z2*",)).pending == ()


def test_a_folder_that_is_looked_at_alone_lists_its_files_alone(tmp_path: Path) -> None:
    write_plate(tmp_path / "one")
    (tmp_path / "a.txt").touch()
    assert list(DiskFolder(tmp_path, depth=1).files) == ["a.txt"]
