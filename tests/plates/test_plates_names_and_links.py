"""Folders of links, and names that are not text: told by name, with what to do."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hcs_mesh.actors.imports.scanning import scan_source
from hcs_mesh.plates import NothingToImport, PatternError, plan
from hcs_mesh.plates.errors import BadSourceName
from hcs_mesh.plates.source_names import check_source_name


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
