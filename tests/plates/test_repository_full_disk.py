"""A file system of a few megabytes, so that it is full in earnest."""

import subprocess
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from hcs_mesh.plates.local import FolderReader, LocalRepository, RepositoryFull, seal_well, write_ome_tiff
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.repository import SourceFile, StoredFile, StoredFileset, StoredResult

DISK_BYTES = 8 << 20

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def repository(disk: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(disk)
    yield repository
    repository.close()


def make_source(folder: Path, n_files: int, n_bytes: int) -> list[SourceFile]:
    folder.mkdir()
    for n in range(n_files):
        (folder / f"{n}.tif").write_bytes(bytes([n]) * n_bytes)
    return [SourceFile(path=f"{n}.tif", size=n_bytes) for n in range(n_files)]


def write_for_ever(file: FileIO) -> None:
    while file.write(bytes(1 << 16)):
        pass


def fill(disk: Path, n_free: int) -> Path:
    """Leave about this many bytes free, whoever else writes at the same time."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):
            write_for_ever(file)
        file.truncate(max(0, file.tell() - n_free))
    return ballast


def test_an_import_that_cannot_fit_is_refused_with_the_numbers(tmp_path: Path, repository: LocalRepository) -> None:
    files = make_source(tmp_path / "source", 10, 1 << 20)

    with pytest.raises(RepositoryFull, match="needs 10,485,760 more") as caught:
        repository.transfer("i1", FolderReader(tmp_path / "source"), files)

    assert "Free" in caught.value.hint
    assert repository.reconcile("i1").n_bytes == 0


def test_a_disk_that_fills_up_on_the_way_is_named_and_continued(
    tmp_path: Path, disk: Path, repository: LocalRepository
) -> None:
    files = make_source(tmp_path / "source", 4, 1 << 20)
    ballast: list[Path] = []

    one_at_a_time = threading.Lock()

    def somebody_else_writes(_: int) -> None:
        with one_at_a_time:
            if not ballast:
                ballast.append(fill(disk, 100_000))

    with pytest.raises(RepositoryFull, match=r"\.tif\.part could not be written .* bytes are free"):
        repository.transfer("i1", FolderReader(tmp_path / "source"), files, on_bytes=somebody_else_writes)
    ballast[0].unlink()

    repository.verify("i1", repository.transfer("i1", FolderReader(tmp_path / "source"), files))
    assert len(repository.reconcile("i1").complete) == 4


def test_a_full_disk_registers_nothing_and_the_repository_goes_on(disk: Path, repository: LocalRepository) -> None:
    images = [Image("A01", 1, 0, z, 0, "plane", f"{z}.tif", 0, 4, 4, "uint8") for z in range(20_000)]
    files = tuple(StoredFile(path=image.file, size=1, checksum="0" * 40) for image in images)
    filesets = [StoredFileset(planner="test", files=files, plates=(build_plate(images, id=0, name="P"),))]
    ballast = fill(disk, 1 << 20)

    with pytest.raises(RepositoryFull, match="full"):
        repository.register("i1", filesets)
    assert repository.plates() == ()
    ballast.unlink()

    assert len(repository.register("i1", filesets)) == 1


def test_a_full_disk_seals_no_result(disk: Path, repository: LocalRepository) -> None:
    images = [Image("A01", 1, 0, 0, 0, "plane", "a.tif", 0, 4, 4, "uint8")]
    files = (StoredFile(path="a.tif", size=1, checksum="0" * 40),)
    repository.register(
        "i1", [StoredFileset(planner="test", files=files, plates=(build_plate(images, id=0, name="P"),))]
    )
    folder = repository.results_folder(1, "j1", "A01", 1)
    ballast = fill(disk, 0)

    with pytest.raises(RepositoryFull):
        write_ome_tiff(folder / "a.ome.tiff", np.random.default_rng(0).random((512, 512)))
    with pytest.raises(RepositoryFull):
        seal_well(folder, StoredResult(job="j1", plate_id=1, well="A01", attempt=1))
    ballast.unlink()

    seal_well(folder, StoredResult(job="j1", plate_id=1, well="A01", attempt=1))
    assert repository.commit_well(1, "j1", "A01", 1).well == "A01"
