"""Planes of what was imported in place: read from the very files that were imported, and from nothing else."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
import zarr

from hcs_mesh.plates import Plate, UnreadableImage, plan, read_image, read_plane
from hcs_mesh.plates.errors import NoLongerAsImported
from hcs_mesh.plates.link_records import RECORDS
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile, StoredFileset

PIXELS = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
SECRET = np.full((64, 64), 4711, np.uint16)


class Imported(NamedTuple):
    """A plate in place, the file that its plane is in, and another person's file of the same kind."""

    repository: LocalRepository
    plate: Plate
    source: Path
    pixels: Path
    foreign: Path


def write_tiff(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "a.tif", pixels, ome=True)
    return folder / "a.tif"


def write_zarr(folder: Path, pixels: np.ndarray) -> Path:
    group = zarr.open_group(str(folder / "one.zarr"), mode="w", zarr_format=2)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    array = group.create_array("0", shape=pixels.shape, chunks=(32, 64), dtype=pixels.dtype, compressors=None)
    array[:] = pixels
    return next(path for path in folder.rglob("*") if path.name in ("1.0", "0") and path.is_file())


WRITERS = {"TIFF": write_tiff, "OME-Zarr": write_zarr}


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def adopted(repository: LocalRepository, source: Path, import_id: str = "i1") -> Plate:
    """The plate that a folder holds, imported in place."""
    planned = plan(source)
    looks = [(file.path, (source / file.path).stat()) for fileset in planned.filesets for file in fileset.files]
    files = [
        SourceFile(path=path, size=look.st_size, mtime_ns=look.st_mtime_ns, inode=look.st_ino) for path, look in looks
    ]
    stored = repository.adopt(import_id, Path(planned.root), files)
    (plate_id,) = repository.register(
        import_id, [StoredFileset(planner="any", files=stored, plates=planned.filesets[0].plates)]
    )
    return repository.plate(plate_id)


@pytest.fixture(params=WRITERS)
def imported(request: pytest.FixtureRequest, tmp_path: Path, repository: LocalRepository) -> Imported:
    write: Callable[[Path, np.ndarray], Path] = WRITERS[request.param]
    source = tmp_path / "anna" / "plate"
    pixels = write(source, PIXELS)
    foreign = write(tmp_path / "ben" / "plate", SECRET)
    assert foreign.stat().st_size == pixels.stat().st_size, "so that the size alone tells nothing"
    return Imported(repository, adopted(repository, source), source, pixels, foreign)


def read(imported: Imported) -> np.ndarray:
    return read_image(imported.plate, imported.plate.image(0))


def link_of(imported: Imported) -> Path:
    files = imported.repository.files_folder("i1")
    return files / imported.pixels.relative_to(imported.source)


def same_time(path: Path, like: os.stat_result) -> None:
    os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


def swap_the_link(imported: Imported) -> None:
    link_of(imported).unlink()
    link_of(imported).symlink_to(imported.foreign)


def put_a_link_in_its_place(imported: Imported) -> None:
    imported.pixels.unlink()
    imported.pixels.symlink_to(imported.foreign)


def put_another_file_in_its_place(imported: Imported) -> None:
    before = imported.pixels.stat()
    shutil.copyfile(imported.foreign, imported.pixels.with_name("new"))
    imported.pixels.with_name("new").replace(imported.pixels)
    same_time(imported.pixels, before)


def put_a_link_to_it_in_its_place(imported: Imported) -> None:
    imported.pixels.rename(imported.source / "moved")
    imported.pixels.symlink_to(imported.source / "moved")


def put_a_link_in_its_folders_place(imported: Imported) -> None:
    imported.source.rename(imported.source.with_name("moved"))
    imported.source.symlink_to(imported.foreign.parents[len(imported.pixels.relative_to(imported.source).parts) - 1])


def put_a_link_to_it_in_its_folders_place(imported: Imported) -> None:
    imported.source.rename(imported.source.with_name("moved"))
    imported.source.symlink_to(imported.source.with_name("moved"))


def change_it(imported: Imported) -> None:
    content = bytearray(imported.pixels.read_bytes())
    content[-1] ^= 0xFF
    imported.pixels.write_bytes(content)


def lengthen_it(imported: Imported) -> None:
    before = imported.pixels.stat()
    with imported.pixels.open("ab") as file:
        file.write(b"more")
    same_time(imported.pixels, before)


def put_a_pipe_in_its_place(imported: Imported) -> None:
    imported.pixels.unlink()
    os.mkfifo(imported.pixels)


CHANGES = {
    swap_the_link: "the repository's link leads to {foreign} instead of {pixels}",
    put_a_link_in_its_place: "{pixels} is a link by now",
    put_a_link_to_it_in_its_place: "{pixels} is a link by now",
    put_another_file_in_its_place: "{pixels} was replaced by another file",
    put_a_link_in_its_folders_place: "{source} is a link by now",
    put_a_link_to_it_in_its_folders_place: "{source} is a link by now",
    change_it: "{pixels} was changed: last written at",
    lengthen_it: "{pixels} was changed: .* bytes instead of",
    put_a_pipe_in_its_place: "{pixels} is no file any more",
    lambda imported: imported.pixels.unlink(): "{pixels} is no longer there",
}


def told(imported: Imported, what: str) -> str:
    return "imported in place, and " + what.format(
        foreign=imported.foreign, pixels=imported.pixels, source=imported.source
    )


def test_an_untouched_file_is_read(imported: Imported) -> None:
    np.testing.assert_array_equal(read(imported), PIXELS)
    out = np.zeros_like(PIXELS)
    read_image(imported.plate, imported.plate.image(0), out=out)
    np.testing.assert_array_equal(out, PIXELS)


@pytest.mark.parametrize(("change", "what"), CHANGES.items(), ids=[one.__name__ for one in CHANGES])
def test_what_is_not_the_imported_file_any_more_is_refused(
    imported: Imported, change: Callable[[Imported], None], what: str
) -> None:
    change(imported)
    with pytest.raises(NoLongerAsImported, match=told(imported, what)) as refused:
        read(imported)
    assert "import the folder again" in refused.value.hint


@pytest.mark.parametrize(("change", "what"), CHANGES.items(), ids=[one.__name__ for one in CHANGES])
def test_verification_says_the_same_of_it(imported: Imported, change: Callable[[Imported], None], what: str) -> None:
    change(imported)
    path = imported.pixels.relative_to(imported.source).as_posix()
    (file,) = [file for file in imported.repository.files(imported.plate.id) if file.path == path]
    with pytest.raises(ValueError, match=told(imported, what)):
        imported.repository.verify("i1", [file])


def test_what_is_moved_back_is_read_again(imported: Imported) -> None:
    put_a_link_to_it_in_its_folders_place(imported)
    imported.source.unlink()
    imported.source.with_name("moved").rename(imported.source)
    np.testing.assert_array_equal(read(imported), PIXELS)


def test_a_file_that_changes_while_it_is_read_is_refused(imported: Imported, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    fstat = os.fstat

    def fstat_then_write(descriptor: int) -> os.stat_result:
        seen = fstat(descriptor)
        if seen.st_ino == imported.pixels.stat().st_ino:
            looks.append(descriptor)
            if len(looks) == 1:
                change_it(imported)
        return seen

    monkeypatch.setattr(os, "fstat", fstat_then_write)
    with pytest.raises(NoLongerAsImported, match="was changed"):
        read(imported)
    assert len(looks) > 1


def test_a_link_that_no_import_recorded_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    real = write_tiff(tmp_path / "real", PIXELS)
    (tmp_path / "b.tif").symlink_to(real)
    with pytest.raises(UnreadableImage, match="no import recorded what it led to"):
        read_plane(tmp_path, "b.tif")
    np.testing.assert_array_equal(read_plane(tmp_path, "b.tif", follow_links=True), PIXELS)


def test_a_file_of_the_import_that_is_called_as_the_records_records_nothing(
    tmp_path: Path, repository: LocalRepository
) -> None:
    """A person who writes records of his own could have any file read."""
    source, secret = tmp_path / "anna", write_tiff(tmp_path / "ben", SECRET)
    write_tiff(source / "files", PIXELS)
    theirs = LocalRepository(tmp_path / "theirs")
    adopted(theirs, secret.parent, "i1")
    theirs.close()
    shutil.copyfile(theirs.files_folder("i1").with_name(RECORDS), source / RECORDS)
    adopted(repository, source)
    files = [SourceFile(path=name, size=(source / name).stat().st_size) for name in (RECORDS, "files/a.tif")]
    repository.adopt("i2", source, files)
    np.testing.assert_array_equal(read_plane(repository.files_folder("i2") / "files", "a.tif"), PIXELS)
    (source / "files" / "a.tif").unlink()
    (source / "files" / "a.tif").symlink_to(secret)
    with pytest.raises(NoLongerAsImported):
        read_plane(repository.files_folder("i2") / "files", "a.tif")


def test_a_link_inside_of_the_source_is_kept_as_what_it_leads_to(tmp_path: Path, repository: LocalRepository) -> None:
    real = write_tiff(tmp_path / "anna", PIXELS)
    real.rename(real.with_name("kept"))
    real.symlink_to("kept")
    plate = adopted(repository, real.parent)
    assert {file.links_to for file in repository.files(plate.id)} >= {str(real.with_name("kept"))}
    np.testing.assert_array_equal(read_image(plate, plate.image(0)), PIXELS)


def test_records_that_an_older_version_did_not_keep_come_from_the_catalogue(tmp_path: Path) -> None:
    source = tmp_path / "anna"
    pixels = write_tiff(source, PIXELS)
    with_records = LocalRepository(tmp_path / "data")
    plate = adopted(with_records, source)
    with_records.close()
    with_records.files_folder("i1").with_name(RECORDS).unlink()
    with pytest.raises(UnreadableImage, match="no import recorded"):
        read_image(plate, plate.image(0))

    LocalRepository(tmp_path / "data").close()

    np.testing.assert_array_equal(read_image(plate, plate.image(0)), PIXELS)
    pixels.write_bytes(pixels.read_bytes())
    with pytest.raises(NoLongerAsImported):
        read_image(plate, plate.image(0))


def test_a_chunk_that_is_gone_is_not_taken_for_one_that_was_never_written(
    tmp_path: Path, repository: LocalRepository
) -> None:
    source = tmp_path / "anna"
    write_zarr(source, PIXELS)
    plate = adopted(repository, source)
    (chunk,) = [path for path in source.rglob("1.0") if path.is_file()] or list(source.rglob("1/0"))
    chunk.unlink()
    with pytest.raises(NoLongerAsImported, match="is no longer there"):
        read_image(plate, plate.image(0))


def test_pixels_behind_the_first_page_are_not_looked_for_in_files_that_the_metadata_name(tmp_path: Path) -> None:
    write_tiff(tmp_path / "ben", SECRET)
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="64" SizeY="64" SizeZ="2"'
        ' SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="../ben/a.tif">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    (tmp_path / "anna").mkdir()
    tifffile.imwrite(tmp_path / "anna" / "a.tif", PIXELS, description=xml, metadata=None)
    assert read_plane(tmp_path / "anna", "a.tif", 0)[0, 1] == 1
    with pytest.raises(UnreadableImage, match="holds 1 page"):
        read_plane(tmp_path / "anna", "a.tif", 1)
