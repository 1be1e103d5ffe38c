"""Folders of links, and names that are not text: told by name, with what to do."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hcs_mesh.actors.imports.scanning import manifest, scan_source
from hcs_mesh.actors.watching.eye import WatchEye
from hcs_mesh.actors.watching.sight import Wish
from hcs_mesh.config import WatchSettings
from hcs_mesh.plates import NothingToImport, PatternError, plan
from hcs_mesh.plates.errors import BadSourceName, BadSourceTime
from hcs_mesh.plates.exclusion import Exclusion
from hcs_mesh.plates.source_names import DEEPEST, LAST_NS, check_source_name, check_source_time


@pytest.fixture
def gathered(tmp_path: Path) -> Path:
    """A folder that somebody filled with links to the files of another."""
    folder = tmp_path / "gathered"
    folder.mkdir()
    (tmp_path / "original").mkdir()
    for well in ("A01", "A02"):
        tifffile.imwrite(tmp_path / "original" / f"{well}.tif", np.zeros((4, 4), np.uint8))
        (folder / f"{well}.tif").symlink_to(tmp_path / "original" / f"{well}.tif")
    return folder


@pytest.mark.parametrize(("pattern", "error"), [("{well}.tif", PatternError), (None, NothingToImport)])
def test_a_folder_of_links_is_refused_because_of_the_links(
    gathered: Path, pattern: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"2 links in gathered were not followed, for example A01\.tif") as caught:
        plan(gathered, pattern=pattern)
    assert "matches none of the 0 files" not in str(caught.value)
    assert "cp -rL" in getattr(caught.value, "hint", "")


def test_a_link_to_nowhere_is_no_file_that_went_away(gathered: Path) -> None:
    (gathered / "B01.tif").symlink_to("nowhere")
    assert scan_source(gathered).files["B01.tif"] == (0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("folder", [False, True])
def test_a_name_that_is_not_utf_8_is_told_by_its_bytes(tmp_path: Path, *, folder: bool) -> None:
    name = os.fsdecode(b"a\xff.ome.tif")
    path = tmp_path / name / "x.tif" if folder else tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    tifffile.imwrite(tmp_path / "A01.tif", np.zeros((4, 4), np.uint8))
    for look in (plan, scan_source):
        with pytest.raises(BadSourceName, match=r"a\\udcff\.ome\.tif.* is not UTF-8") as caught:
            look(tmp_path)
        str(caught.value).encode()
        assert caught.value.hint.startswith("Rename")


def test_a_name_in_any_script_is_text() -> None:
    check_source_name("пластина/板/plaque é.tif")


def test_a_folder_deeper_than_anything_is_taken_over_from_is_told_and_not_walked_through(tmp_path: Path) -> None:
    incoming, source = tmp_path / "incoming", tmp_path / "incoming" / "plate"
    (source / "deep" / "/".join("a" * (DEEPEST + 100))).mkdir(parents=True)
    tifffile.imwrite(source / "A01.tif", np.zeros((4, 4), np.uint8))
    for look in (plan, scan_source):
        with pytest.raises(BadSourceName, match="more than 200 folders deep") as caught:
            look(source)
        assert "--exclude" in caught.value.hint
    assert scan_source(source, exclude=Exclusion(["deep"])).files.keys() == {"A01.tif"}
    sight = WatchEye(WatchSettings(path=str(incoming))).look(Wish(), 0.0)
    assert "more than 200 folders deep" in sight.trouble["plate/"]


def test_a_folder_as_deep_as_any_is_taken_over(tmp_path: Path) -> None:
    name = f"{'a/' * DEEPEST}A01.tif"
    (tmp_path / name).parent.mkdir(parents=True)
    tifffile.imwrite(tmp_path / name, np.zeros((4, 4), np.uint8))
    assert scan_source(tmp_path).files.keys() == {name}
    assert plan(tmp_path, as_files=True).n_files == 1


def test_a_time_that_no_clock_has_told_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "A01.tif", np.zeros((4, 4), np.uint8))
    planned = plan(tmp_path, as_files=True)
    in_2300_ns = 10_413_792_000 * 10**9
    os.utime(tmp_path / "A01.tif", ns=(in_2300_ns, in_2300_ns))
    assert (tmp_path / "A01.tif").stat().st_mtime_ns == in_2300_ns, "the tests' own disk keeps such times"
    for look in (lambda: scan_source(tmp_path), lambda: manifest(planned)):
        with pytest.raises(BadSourceTime, match=r"A01\.tif was written in the year 2300") as caught:
            look()
        assert "touch" in caught.value.hint


def test_times_are_taken_as_far_as_a_catalogue_counts() -> None:
    for mtime_ns in (-LAST_NS, 0, LAST_NS):
        check_source_time("a.tif", mtime_ns)
    for mtime_ns in (-LAST_NS - 1, LAST_NS + 1, 1 << 80):
        with pytest.raises(BadSourceTime):
            check_source_time("a.tif", mtime_ns)
