"""Planes of what was imported in place: read from the very files that were imported, and from nothing else."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from linked_plates import PIXELS, SECRET, adopted, write_sharded_zarr, write_tiff, write_zarr

from hcs_mesh.plates import Plate, read_image
from hcs_mesh.plates.errors import NoLongerAsImported
from hcs_mesh.plates.local import LocalRepository


class Imported(NamedTuple):
    """A plate in place, the file that its plane is in, and another person's file of the same kind."""

    repository: LocalRepository
    plate: Plate
    source: Path
    pixels: Path
    foreign: Path


WRITERS = {"TIFF": write_tiff, "OME-Zarr": write_zarr, "sharded OME-Zarr": write_sharded_zarr}


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


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


def test_a_chunk_that_is_gone_is_not_taken_for_one_that_was_never_written(
    tmp_path: Path, repository: LocalRepository
) -> None:
    source = tmp_path / "anna"
    chunk = write_zarr(source, PIXELS)
    plate = adopted(repository, source)
    chunk.unlink()
    with pytest.raises(NoLongerAsImported, match="is no longer there"):
        read_image(plate, plate.image(0))
