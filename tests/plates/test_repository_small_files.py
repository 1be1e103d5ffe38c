"""Many small files taken over: read at once where nothing has touched them, judged one by one where something has."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hcs_mesh.plates.holding import HeldReader, hold
from hcs_mesh.plates.local import FolderReader, LocalRepository, SourceChanged, SourceMissing, TransferCancelled
from hcs_mesh.plates.local.small_files import read_untouched
from hcs_mesh.plates.repository import OpenSource, SourceFile, StoredFile

N_FILES = 200
PATH = "day 1/7.tif"


def content(n: int) -> bytes:
    return n.to_bytes(2, "little") * (n * 7)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small files of many sizes, an empty one among them, in two folders."""
    folder = tmp_path / "source"
    for n in range(N_FILES):
        path = folder / f"day {n % 2}" / f"{n}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(n))
        os.utime(path, ns=(10**18, 10**18 + n))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def settled(source: Path) -> list[SourceFile]:
    found = ((path, path.stat()) for path in sorted(source.rglob("*.tif")))
    return [
        SourceFile(
            path=path.relative_to(source).as_posix(),
            size=seen.st_size,
            mtime_ns=seen.st_mtime_ns,
            inode=seen.st_ino,
            device=seen.st_dev,
        )
        for path, seen in found
    ]


def overwrite(path: Path) -> None:
    """Change a file in place, and put its time back."""
    seen = path.stat()
    with path.open("r+b") as file:
        file.write(b"!")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def replace(path: Path) -> None:
    """Put another file of the same size and time in a file's place."""
    seen = path.stat()
    path.with_name("new").write_bytes(b"!" * seen.st_size)
    os.utime(path.with_name("new"), ns=(seen.st_atime_ns, seen.st_mtime_ns))
    path.with_name("new").replace(path)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


class Opened:
    """A reader that says which files were opened by themselves."""

    def __init__(self, inner: FolderReader | HeldReader) -> None:
        self._inner = inner
        self.paths: list[str] = []

    def open(self, path: str) -> OpenSource:
        self.paths.append(path)
        return self._inner.open(path)

    def read_small(self, files: list[SourceFile]) -> list[bytes | None]:
        return self._inner.read_small(files)


def test_small_files_arrive_byte_for_byte_and_none_is_opened_by_itself(
    source: Path, repository: LocalRepository
) -> None:
    held = hold(settled(source), source, None, "i1")
    reader, seen = Opened(HeldReader(held)), list[int]()
    stored = repository.transfer("i1", reader, held.expected, on_bytes=seen.append)
    assert reader.paths == []
    assert sum(seen) == sum(len(content(n)) for n in range(N_FILES))
    for file in stored:
        copy, n = repository.files_folder("i1") / file.path, int(Path(file.path).stem)
        assert copy.read_bytes() == content(n)
        assert copy.stat().st_mtime_ns == file.mtime_ns == 10**18 + n
        assert file.checksum == hashlib.sha1(content(n)).hexdigest()
    repository.verify("i1", stored)


@pytest.mark.parametrize(
    ("happens", "error"),
    [
        (overwrite, SourceChanged),
        (replace, SourceChanged),
        (make_pipe, SourceChanged),
        (lambda path: path.write_bytes(b"longer" * 99), SourceChanged),
        (Path.unlink, SourceMissing),
    ],
    ids=["overwritten", "replaced", "a pipe", "longer", "gone"],
)
def test_one_small_file_that_is_not_what_was_held_is_found_among_many(
    source: Path, repository: LocalRepository, happens: Callable[[Path], object], error: type[Exception]
) -> None:
    held = hold(settled(source), source, None, "i1")
    happens(source / PATH)
    with pytest.raises(error, match=r"7\.tif"):
        repository.transfer("i1", HeldReader(held), held.expected)
    assert PATH not in repository.reconcile("i1").complete


@pytest.mark.parametrize("happens", [overwrite, replace, Path.unlink], ids=["overwritten", "replaced", "gone"])
def test_what_befalls_a_small_file_while_it_is_read_is_found_out(
    source: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], object]
) -> None:
    (file,) = (one for one in settled(source) if one.path == PATH)
    name, read = source / PATH, os.read
    assert read_untouched(str(name), file) == content(7)

    def read_then_happens(descriptor: int, n_bytes: int) -> bytes:
        found = read(descriptor, n_bytes)
        happens(name)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", read_then_happens)
        assert read_untouched(str(name), file) is None


def test_of_a_file_whose_time_or_inode_nobody_knows_nothing_is_read_at_once(source: Path) -> None:
    (file,) = (one for one in settled(source) if one.path == PATH)
    unknown = SourceFile(path=PATH, size=file.size), SourceFile(path=PATH, size=file.size, mtime_ns=file.mtime_ns)
    assert FolderReader(source).read_small([file, *unknown]) == [content(7), None, None]


def test_small_files_that_a_crash_left_torn_are_compared_and_mended(source: Path, repository: LocalRepository) -> None:
    files = settled(source)
    for n, torn in ((7, b""), (8, content(8)[:9]), (9, content(9)), (10, b"?" * 500)):
        part = repository.files_folder("i1") / f"day {n % 2}" / f"{n}.tif.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(torn)
    reader = Opened(FolderReader(source))
    stored = repository.transfer("i1", reader, files)
    assert sorted(reader.paths) == sorted(f"day {n % 2}/{n}.tif" for n in (7, 8, 9, 10))
    folder = repository.files_folder("i1")
    assert all((folder / one.path).read_bytes() == (source / one.path).read_bytes() for one in stored)
    repository.verify("i1", stored)


def test_a_transfer_of_small_files_that_is_cancelled_goes_on_where_it_was(
    source: Path, repository: LocalRepository
) -> None:
    seen: list[int] = []
    with pytest.raises(TransferCancelled):
        repository.transfer(
            "i1", FolderReader(source), settled(source), on_bytes=seen.append, cancelled=lambda: sum(seen) > 0
        )
    assert repository.reconcile("i1").partial
    done: list[StoredFile] = []
    repository.transfer("i1", FolderReader(source), settled(source), on_files=done.extend)
    assert len(done) == N_FILES
    assert repository.reconcile("i1").partial == ()


def test_of_a_held_file_that_is_as_it_had_settled_no_number_is_kept_twice(source: Path) -> None:
    seen = (source / PATH).stat()
    file = SourceFile(path=PATH, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev)
    held = hold([file], source, None, "import-0001").files[0]
    assert (held.mtime_ns, held.inode, held.origin) == (file.mtime_ns, file.inode, file.inode)
    assert held.mtime_ns is file.mtime_ns
    assert held.inode is file.inode
    assert held.origin is file.inode
