import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hcs_mesh.plates.local import (
    BadName,
    ChecksumMismatch,
    FolderReader,
    ImportRegistered,
    LocalRepository,
    RepositoryNotWritable,
    SourceChanged,
    SourceMissing,
    SourceUnreadable,
    TransferCancelled,
    verify,
)
from hcs_mesh.plates.local.transfer import transfer
from hcs_mesh.plates.repository import SourceFile, StoredFile, StoredFileset

NOBODY = 65534
SIZES = {"a.tif": 3_000_001, "b/c/d.tif": 1 << 20, "b/e.xml": 17, "b/empty.txt": 0, "ü ñ.tif": 2_500_000}


def settled(source: Path) -> tuple[SourceFile, ...]:
    """Every file of a folder, as it looks now."""
    return tuple(
        SourceFile(
            path=path.relative_to(source).as_posix(),
            size=path.stat().st_size,
            mtime_ns=path.stat().st_mtime_ns,
            inode=path.stat().st_ino,
        )
        for path in sorted(source.rglob("*"))
        if path.is_file()
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_source(source: Path) -> Path:
    random = np.random.default_rng(7)
    for n, (name, size) in enumerate(SIZES.items()):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.bytes(size))
        os.utime(path, ns=(10**18 + n, 10**18 + 1234567 * n))
    return source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of files large and small, deep and flat, last changed long ago."""
    return make_source(tmp_path / "source")


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other accounts reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def as_another_account() -> Iterator[None]:
    """As nobody where we are root, for whom permissions do not count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def test_files_arrive_byte_for_byte_with_their_times_and_sha1(source: Path, repository: LocalRepository) -> None:
    stored = repository.transfer("i1", FolderReader(source), settled(source))

    folder = repository.files_folder("i1")
    assert contents(folder) == contents(source)
    for file in stored:
        assert file.checksum == hashlib.sha1((source / file.path).read_bytes()).hexdigest()
        assert (folder / file.path).stat().st_mtime_ns == (source / file.path).stat().st_mtime_ns == file.mtime_ns
    assert [file.path for file in stored] == [file.path for file in settled(source)]
    repository.verify("i1", stored)


def test_a_read_only_source_is_enough_and_stays_as_it_was(shared_folder: Path) -> None:
    source = make_source(shared_folder / "source")
    paths = [source, *source.rglob("*")]
    for path in reversed(paths):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}
    target = shared_folder / "target"
    target.mkdir()
    target.chmod(0o777)

    with as_another_account():
        transfer(FolderReader(source), target, settled(source))

    assert contents(target) == contents(source)
    assert before == {path: (path.stat().st_mode, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}
    for path in paths:
        path.chmod(0o755)


def test_progress_counts_every_byte_once(source: Path, repository: LocalRepository) -> None:
    seen: list[int] = []
    batches: list[StoredFile] = []

    stored = repository.transfer(
        "i1", FolderReader(source), settled(source), on_bytes=seen.append, on_files=batches.extend
    )

    assert sum(seen) == sum(SIZES.values())
    assert {file.path for file in batches} == {file.path for file in stored}


def test_a_part_is_continued_where_it_equals_the_source(source: Path, tmp_path: Path) -> None:
    part = tmp_path / "target" / "a.tif.part"
    part.parent.mkdir()
    part.write_bytes((source / "a.tif").read_bytes()[:1_500_000])
    inode = part.stat().st_ino

    transfer(FolderReader(source), tmp_path / "target", settled(source))

    assert (tmp_path / "target" / "a.tif").stat().st_ino == inode
    assert contents(tmp_path / "target") == contents(source)


@pytest.mark.parametrize("torn", [b"", b"\0" * 3_000_001, b"\0" * 5_000_000, b"x"])
def test_a_part_that_a_crash_garbled_is_mended(source: Path, tmp_path: Path, torn: bytes) -> None:
    part = tmp_path / "target" / "a.tif.part"
    part.parent.mkdir()
    part.write_bytes((source / "a.tif").read_bytes()[:700_000] + torn)

    stored = transfer(FolderReader(source), tmp_path / "target", settled(source))

    assert contents(tmp_path / "target") == contents(source)
    verify(tmp_path / "target", stored)


def test_cancelling_keeps_what_is_there_and_the_next_call_continues(source: Path, repository: LocalRepository) -> None:
    seen: list[int] = []
    with pytest.raises(TransferCancelled):
        repository.transfer(
            "i1", FolderReader(source), settled(source), on_bytes=seen.append, cancelled=lambda: sum(seen) > 10**6
        )
    standing = repository.reconcile("i1")
    assert not standing.registered
    assert 10**6 < standing.n_bytes < sum(SIZES.values())

    repository.transfer("i1", FolderReader(source), settled(source))

    assert contents(repository.files_folder("i1")) == contents(source)
    assert set(repository.reconcile("i1").complete) == set(SIZES)
    assert repository.reconcile("i1").partial == ()


def test_known_files_are_not_read_again(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    stored = repository.transfer("i1", FolderReader(source), files)
    (source / "a.tif").unlink()

    assert repository.transfer("i1", FolderReader(source), files, known=stored) == stored


def test_transferring_twice_gives_the_same_answer(source: Path, repository: LocalRepository) -> None:
    files = settled(source)

    assert repository.transfer("i1", FolderReader(source), files) == repository.transfer(
        "i1", FolderReader(source), files
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"1" * path.stat().st_size),
        lambda path: os.truncate(path, path.stat().st_size + 4),
        lambda path: (
            path.with_name("new").write_bytes(b"2" * path.stat().st_size) and path.with_name("new").replace(path)
        ),
    ],
    ids=["rewritten in place", "still growing", "replaced by another file"],
)
def test_a_source_that_changes_while_it_is_read_is_never_complete(
    source: Path, repository: LocalRepository, change: Callable[[Path], object]
) -> None:
    files = [file for file in settled(source) if file.path == "a.tif"]
    changed = threading.Event()

    def change_once(_: int) -> None:
        if not changed.is_set():
            changed.set()
            change(source / "a.tif")

    with pytest.raises(SourceChanged, match=r"a\.tif changed"):
        repository.transfer("i1", FolderReader(source), files, on_bytes=change_once)
    assert repository.reconcile("i1").complete == ()

    repository.transfer("i1", FolderReader(source), [file for file in settled(source) if file.path == "a.tif"])
    assert (repository.files_folder("i1") / "a.tif").read_bytes() == (source / "a.tif").read_bytes()


def test_a_source_that_changed_since_it_settled_is_refused(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    (source / "b/e.xml").write_bytes(b"other 17 bytes!!!")

    with pytest.raises(SourceChanged):
        repository.transfer("i1", FolderReader(source), files)


def test_a_missing_source_file_is_named(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    (source / "b/e.xml").unlink()

    with pytest.raises(SourceMissing, match=r"e\.xml"):
        repository.transfer("i1", FolderReader(source), files)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "", "a//b", "a/../b", "x.part", "a/./b"])
def test_a_path_cannot_leave_the_import(source: Path, repository: LocalRepository, path: str) -> None:
    with pytest.raises(BadName):
        repository.transfer("i1", FolderReader(source), [SourceFile(path=path, size=1)])


@pytest.mark.parametrize("import_id", ["", "../x", "a/b", ".", "..", "x" * 200])
def test_an_import_id_cannot_leave_the_repository(repository: LocalRepository, import_id: str) -> None:
    with pytest.raises(BadName):
        repository.reconcile(import_id)


def test_verification_names_every_damaged_file_and_the_next_transfer_mends_them(
    source: Path, repository: LocalRepository
) -> None:
    stored = repository.transfer("i1", FolderReader(source), settled(source))
    folder = repository.files_folder("i1")
    with (folder / "a.tif").open("r+b") as damaged:
        damaged.seek(2_000_000)
        damaged.write(b"!")
    (folder / "b/e.xml").write_bytes(b"short")
    (folder / "b/c/d.tif").unlink()

    with pytest.raises(ChecksumMismatch, match="3 of 5") as caught:
        repository.verify("i1", stored)
    assert caught.value.files == ("a.tif", "b/c/d.tif", "b/e.xml")

    assert repository.transfer("i1", FolderReader(source), settled(source), known=stored) == stored
    repository.verify("i1", stored)


def test_a_registered_import_keeps_its_files(source: Path, repository: LocalRepository) -> None:
    stored = repository.transfer("i1", FolderReader(source), settled(source))
    repository.register("i1", [StoredFileset(planner="none", files=stored)])

    with pytest.raises(ImportRegistered):
        repository.transfer("i1", FolderReader(source), settled(source))
    with pytest.raises(ImportRegistered):
        repository.discard("i1")
    (repository.files_folder("i1") / "b/e.xml").write_bytes(b"damaged")
    with pytest.raises(ChecksumMismatch):
        repository.verify("i1", stored)
    assert "b/e.xml" in repository.reconcile("i1").complete


def test_a_discarded_import_leaves_nothing(source: Path, repository: LocalRepository) -> None:
    repository.transfer("i1", FolderReader(source), settled(source))

    repository.discard("i1")
    repository.discard("i1")

    assert repository.reconcile("i1").n_bytes == 0
    assert list((repository.folder / "imports").iterdir()) == []


def test_a_source_that_may_not_be_read_says_so(shared_folder: Path) -> None:
    source = make_source(shared_folder / "source")
    files = settled(source)
    target = shared_folder / "target"
    target.mkdir(mode=0o777)
    target.chmod(0o777)
    (source / "b/e.xml").chmod(0)

    with as_another_account(), pytest.raises(SourceUnreadable, match=r"e\.xml") as caught:
        transfer(FolderReader(source), target, files)
    assert "permission" in caught.value.hint


def test_a_repository_that_may_not_be_written_says_so(shared_folder: Path) -> None:
    shared_folder.chmod(0o555)

    with as_another_account(), pytest.raises(RepositoryNotWritable, match="repository"):
        LocalRepository(shared_folder)
    shared_folder.chmod(0o755)
