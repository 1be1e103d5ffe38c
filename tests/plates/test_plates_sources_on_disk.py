"""Sources as people give them: empty, wrong, linked, damaged."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tifffile

from hcs_mesh.config.errors import MeshError
from hcs_mesh.plates import NothingToImport, PatternError, Plan, SourceNotFound, SourceUnreadable, UnreadableImage, plan
from hcs_mesh.plates.folder import DiskFolder

PATTERN = "{well}.tif"


def write_image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full((8, 8), value, np.uint8))


def test_nothing_at_the_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is nothing at") as caught:
        plan(tmp_path / "nope")
    assert isinstance(caught.value, SourceNotFound)
    assert str(caught.value).endswith("nope")
    assert caught.value.hint


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NothingToImport, match=f"{tmp_path.name} is empty"):
        plan(tmp_path)


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.csv").write_text("1,2")
    with pytest.raises(NothingToImport, match=r"holds 2 files and no image of a known layout, for example a\.txt"):
        plan(tmp_path)


def test_a_text_file_by_its_own_path(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(NothingToImport, match="is not a TIFF file"):
        plan(tmp_path / "a.txt")
    (tmp_path / "a.tif").write_text("hello")
    with pytest.raises(UnreadableImage, match=r"a\.tif cannot be read as an image"):
        plan(tmp_path / "a.tif")


def test_a_device_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(NothingToImport, match="neither a folder nor a regular file"):
        plan(Path(os.devnull))


def test_links_out_of_the_folder_are_left_out_and_links_within_it_are_files(tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "B01.tif"
    write_image(secret)
    source = tmp_path / "source"
    write_image(source / "A01.tif")
    (source / "A02.tif").symlink_to("A01.tif")
    (source / "B01.tif").symlink_to(secret)
    (source / "B02.tif").symlink_to("nowhere")
    (source / "loop").symlink_to(source)
    (source / "away").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(source / "A03.tif")
    found = plan(source, pattern=PATTERN)
    assert found.plates[0].wells == ("A01", "A02")
    assert {one.path: one.reason for one in found.left_out} == {
        "A03.tif": "not a regular file",
        "B01.tif": "a link that leads out of the folder",
        "B02.tif": "a link that leads out of the folder",
        "away": "a link that leads out of the folder",
        "loop": "a link to a folder",
    }


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "deep" / "A01.tif")
    listed = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(SourceUnreadable, match="deep cannot be read: Permission denied") as caught:
        plan(tmp_path)
    assert isinstance(caught.value, OSError)


def test_texts_in_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.HTD").write_bytes(b"\xb5")
    folder = DiskFolder(tmp_path)
    assert folder.text("a.HTD", "latin-1") == "µ"
    with pytest.raises(SourceUnreadable, match="is not utf-8 text"):
        folder.text("a.HTD")
    with pytest.raises(SourceNotFound):
        folder.text("gone.HTD")


def test_one_damaged_file_of_a_plate_is_missing_and_the_rest_is_planned(tmp_path: Path) -> None:
    write_image(tmp_path / "A01.tif")
    (tmp_path / "A02.tif").write_bytes(b"II*\0 not really")
    found = plan(tmp_path, pattern=PATTERN)
    (plate,) = found.plates
    assert (plate.n_images, [(one.well, one.file) for one in plate.missing]) == (1, [("A02", "A02.tif")])
    assert any("A02.tif" in note for note in plate.notes)
    assert found.n_files == 2


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_cut_short_is_missing_from_its_plate_before_anything_is_copied(
    tmp_path: Path, compression: str | None
) -> None:
    for well in ("A01", "A02"):
        noise = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
        tifffile.imwrite(tmp_path / f"{well}.tif", noise, compression=compression)
    content = (tmp_path / "A02.tif").read_bytes()
    (tmp_path / "A02.tif").write_bytes(content[:-200])
    (plate,) = plan(tmp_path, pattern=PATTERN).plates
    assert (plate.wells, [one.file for one in plate.missing]) == (("A01",), ["A02.tif"])
    assert "A02.tif is cut short" in plate.notes[0]
    with pytest.raises(UnreadableImage, match=r"A02\.tif is cut short"):
        plan(tmp_path / "A02.tif")


def test_a_pattern_may_name_one_file_and_names_are_given(tmp_path: Path) -> None:
    write_image(tmp_path / "A01.tif")
    found = plan(tmp_path / "A01.tif", pattern=PATTERN, name="mine")
    assert [(plate.name, plate.wells) for plate in found.plates] == [("mine", ("A01",))]
    with pytest.raises(PatternError):
        plan(tmp_path, pattern="{x}")


def test_a_relative_path_is_planned_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "A01.tif")
    monkeypatch.chdir(tmp_path)
    assert plan(Path(), pattern=PATTERN).root == str(tmp_path)
    assert plan(Path(), pattern=PATTERN).plates[0].name == tmp_path.name


def test_a_name_for_several_plates_precedes_theirs(tmp_path: Path) -> None:
    write_image(tmp_path / "p1_A01.tif")
    write_image(tmp_path / "p2_A01.tif")
    found = plan(tmp_path, pattern="{plate}_{well}.tif", name="screen")
    assert [plate.name for plate in found.plates] == ["screen p1", "screen p2"]


READ_ALL = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from hcs_mesh.plates import UnreadableImage, plan, read_plane
read = refused = 0
for file in sorted(path for path in Path(sys.argv[1]).rglob("*") if path.is_file()):
    try:
        found = plan(file)
        for plate in found.plates:
            for image in plate.images():
                plane = read_plane(Path(found.root), image.file, image.page)
                assert plane.shape == (image.height, image.width), (file, plane.shape, image)
                assert plane.dtype.name == image.dtype and plane.dtype.isnative, (file, plane.dtype, image)
        read += 1
    except UnreadableImage as error:
        assert file.name in str(error), (file, error)
        assert error.hint and "\\n" not in str(error), error
        refused += 1
print(read, refused)
"""


@pytest.mark.parametrize(("folder", "n_files", "n_readable"), [("images", 137, 136), ("fuzz_images", 111, 4)])
def test_every_file_of_the_corpus_is_read_or_refused_by_name(
    shared_data: Path, folder: str, n_files: int, n_readable: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(shared_data / "tiff-corpus" / folder)],
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert read + refused == n_files
    # tifffile opens 50 more of the malformed files, as arrays of no pixels at all; a fifth asks for gigabytes.
    assert n_readable <= read <= n_readable + 1


def test_errors_are_values_and_mesh_errors() -> None:
    for error in (SourceNotFound("x", hint="y"), SourceUnreadable("x", hint="y"), UnreadableImage("x", hint="y")):
        assert isinstance(error, MeshError)
        assert isinstance(error, ValueError)
        assert (str(error), error.hint) == ("x", "y")


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    write_image(tmp_path / "real" / "image.tif")
    (tmp_path / "link.tif").symlink_to(tmp_path / "real" / "image.tif")
    found = plan(tmp_path / "link.tif")
    assert (found.root, found.plates[0].name) == (str(tmp_path / "real"), "image")


def test_paths_that_no_file_can_have(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif")
    for path in (tmp_path / "a.tif" / "below", Path("a\0b")):
        with pytest.raises(SourceNotFound):
            plan(path)
    with pytest.raises(SourceUnreadable, match="File name too long"):
        plan(tmp_path / ("x" * 300))


def test_a_plan_travels(tmp_path: Path) -> None:
    write_image(tmp_path / "A01.tif")
    found = plan(tmp_path, pattern=PATTERN)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Plan) == found
