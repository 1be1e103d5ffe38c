"""Importing in place: links to files that somebody else keeps."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hcs_mesh.plates import UnreadableImage, read_plane
from hcs_mesh.plates.local import (
    ChecksumMismatch,
    FolderReader,
    LocalRepository,
    RepositoryFailed,
    SourceChanged,
    write_ome_tiff,
)
from hcs_mesh.plates.repository import SourceFile, StoredFile, StoredFileset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "notes.txt").write_bytes(b"seen")
    write_ome_tiff(folder / "a.tif", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data", checksum="sha256")
    yield repository
    repository.close()


def settled(source: Path) -> list[SourceFile]:
    looks = [(path, path.stat()) for path in sorted(source.rglob("*")) if path.is_file()]
    return [
        SourceFile(
            path=path.relative_to(source).as_posix(), size=look.st_size, mtime_ns=look.st_mtime_ns, inode=look.st_ino
        )
        for path, look in looks
    ]


def test_an_import_in_place_keeps_links_and_no_bytes(source: Path, repository: LocalRepository) -> None:
    told: list[StoredFile] = []
    stored = repository.adopt("i1", source, settled(source), on_files=told.extend)

    folder = repository.files_folder("i1")
    assert [file.path for file in stored] == ["a.tif", "b/notes.txt"]
    assert sorted(told, key=lambda file: file.path) == list(stored)
    for file in stored:
        assert (folder / file.path).is_symlink()
        assert (folder / file.path).readlink() == source / file.path == Path(file.links_to)
        assert file.algorithm == "sha256"
    repository.verify("i1", stored)
    assert read_plane(folder, "a.tif")[1, 0] == 64
    assert repository.reconcile("i1").complete == ("a.tif", "b/notes.txt")


def test_what_was_linked_is_recorded_as_linked(source: Path, repository: LocalRepository) -> None:
    stored = repository.adopt("i1", source, settled(source))
    repository.register("i1", [StoredFileset(planner="none", files=stored)])
    with repository._catalogue.reading() as connection:
        rows = connection.execute("SELECT path, algorithm, links_to FROM files ORDER BY id").fetchall()
    assert rows == [(file.path, "sha256", file.links_to) for file in stored]


def test_files_that_are_linked_already_are_not_read_again(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    stored = repository.adopt("i1", source, files)
    assert repository.adopt("i1", source, files, known=stored, on_files=lambda _: pytest.fail("read again")) == stored
    assert repository.adopt("i1", source, files) == stored


def changed_with_its_time_put_back(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"SEEN")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed_with_its_time_put_back, "changed since: it has SHA-256"),
        (lambda path: path.write_bytes(b"seen again"), "changed: 10 bytes instead of 4"),
        (
            lambda path: path.with_name("new").write_bytes(b"another") and path.with_name("new").replace(path),
            "replaced by another file of 7 bytes instead of 4",
        ),
        (lambda path: path.unlink(), "no longer there"),
    ],
    ids=["changed in place", "grown", "replaced", "gone"],
)
def test_verification_finds_what_happened_to_a_linked_file(
    source: Path, repository: LocalRepository, change: Callable[[Path], object], told: str
) -> None:
    stored = repository.adopt("i1", source, settled(source))
    repository.register("i1", [StoredFileset(planner="none", files=stored)])
    change(source / "b" / "notes.txt")

    with pytest.raises(ChecksumMismatch, match=told) as caught:
        repository.verify("i1", stored)
    assert caught.value.files == ("b/notes.txt",)
    assert (repository.files_folder("i1") / "b" / "notes.txt").is_symlink()


def test_what_changed_before_registration_is_linked_anew(source: Path, repository: LocalRepository) -> None:
    stored = repository.adopt("i1", source, settled(source))
    (source / "b" / "notes.txt").write_bytes(b"SEEN")
    with pytest.raises(ChecksumMismatch):
        repository.verify("i1", stored)
    again = repository.adopt("i1", source, settled(source), known=stored)
    repository.verify("i1", again)
    assert (source / "b" / "notes.txt").read_bytes() == b"SEEN"


def test_a_file_of_another_mode_is_still_what_was_imported_and_one_of_another_time_is_not(
    source: Path, repository: LocalRepository
) -> None:
    stored = repository.adopt("i1", source, settled(source))
    repository.register("i1", [StoredFileset(planner="none", files=stored)])
    (source / "a.tif").chmod(0o600)
    repository.verify("i1", stored)
    before = (source / "a.tif").stat()
    os.utime(source / "a.tif")
    with pytest.raises(ChecksumMismatch, match=r"last written at .* instead of"):
        repository.verify("i1", stored)
    os.utime(source / "a.tif", ns=(before.st_atime_ns, before.st_mtime_ns))
    repository.verify("i1", stored)


def test_a_file_that_did_not_settle_is_not_linked(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    (source / "b" / "notes.txt").write_bytes(b"still being written")
    with pytest.raises(SourceChanged):
        repository.adopt("i1", source, files)
    assert "b/notes.txt" not in repository.reconcile("i1").complete


def test_discarding_removes_links_and_never_the_source(source: Path, repository: LocalRepository) -> None:
    repository.adopt("i1", source, settled(source))
    repository.discard("i1")
    assert not repository.files_folder("i1").exists()
    assert (source / "b" / "notes.txt").read_bytes() == b"seen"


def test_an_image_whose_source_vanished_says_where_it_was(source: Path, repository: LocalRepository) -> None:
    repository.adopt("i1", source, settled(source))
    (source / "a.tif").unlink()
    with pytest.raises(UnreadableImage, match=f"imported in place, and {source}/a.tif is no longer there") as caught:
        read_plane(repository.files_folder("i1"), "a.tif")
    assert "Put back the very file" in caught.value.hint
    assert repository.reconcile("i1").complete == ("b/notes.txt",)


def test_a_copy_never_writes_through_a_link_of_an_import_in_place(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    repository.adopt("i1", source, files)
    other = source.parent / "other"
    other.mkdir()
    for file in files:
        (other / file.path).parent.mkdir(exist_ok=True)
        (other / file.path).write_bytes(b"x" * file.size)
    plain = [SourceFile(path=file.path, size=file.size) for file in files]

    repository.verify("i1", repository.transfer("i1", FolderReader(other), plain))

    assert (source / "b" / "notes.txt").read_bytes() == b"seen"
    assert not (repository.files_folder("i1") / "a.tif").is_symlink()


def test_a_link_in_the_place_of_a_file_in_transit_is_refused(source: Path, repository: LocalRepository) -> None:
    folder = repository.files_folder("i1")
    folder.mkdir(parents=True)
    (folder / "a.tif.part").symlink_to(source / "a.tif")
    before = (source / "a.tif").read_bytes()

    with pytest.raises(RepositoryFailed):
        repository.transfer("i1", FolderReader(source), [file for file in settled(source) if file.path == "a.tif"])
    assert (source / "a.tif").read_bytes() == before
