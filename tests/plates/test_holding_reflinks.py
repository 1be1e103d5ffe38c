"""Sources on a file system whose files can share extents: a small one in a loop device."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from waiting import eventually

from hcs_mesh.plates.holding import (
    HeldReader,
    Hold,
    choose_staging,
    held_bytes,
    held_space,
    hold,
    let_go,
    n_unwritten_only,
)
from hcs_mesh.plates.holding.sharing import UNSUPPORTED, share_extents
from hcs_mesh.plates.local import SourceChanged
from hcs_mesh.plates.repository import SourceFile

CONTENT = os.urandom(1 << 20)
IMAGE_BYTES = 320 << 20

on_xfs = pytest.mark.needs("root", "xfs")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A folder on an XFS of its own."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    disk.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    (disk / "root" / "plate").mkdir(parents=True)
    yield disk / "root" / "plate"
    subprocess.run(["umount", str(disk)], check=True)
    image.unlink()


def held_file(source: Path, *, import_id: str = "import-0001") -> tuple[Hold, list[SourceFile], Path]:
    (source / "A01.tif").write_bytes(CONTENT)
    status = (source / "A01.tif").stat()
    files = [SourceFile(path="A01.tif", size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)]
    staging = choose_staging(source, data=source.parent / "data", root=source.parent).folder
    assert staging is not None
    return hold(files, source, staging, import_id), files, staging


def read(held: Hold) -> bytes:
    opened = HeldReader(held).open("A01.tif")
    buffer = bytearray(2 << 20)
    with closing(opened):
        before = opened.look()
        n = opened.read_into(memoryview(buffer))
        assert opened.look() == before == msgspec.structs.replace(held.expected[0], device=before.device)
    return bytes(buffer[:n])


@on_xfs
def test_what_is_done_to_the_source_does_not_reach_its_clone(source: Path) -> None:
    held, files, staging = held_file(source)
    assert held.guarantee == "reflink"
    with (source / "A01.tif").open("r+b") as file:
        file.write(b"overwritten in place")
    assert read(held) == CONTENT
    shutil.rmtree(source)
    assert read(held) == CONTENT
    assert read(hold(files, source, staging, "import-0001")) == CONTENT


@on_xfs
def test_a_clone_costs_what_it_no_longer_shares(source: Path) -> None:
    held, _, _ = held_file(source)
    assert held_bytes(held) == 0
    with (source / "A01.tif").open("r+b") as file:
        file.write(CONTENT[: 256 << 10][::-1])
        os.fsync(file.fileno())
    assert 256 << 10 <= held_bytes(held) < len(CONTENT)
    (source / "A01.tif").unlink()
    # XFS gives a deleted file's extents up a moment later.
    asyncio.run(eventually(lambda: held_bytes(held) >= len(CONTENT)))
    assert held_space(held).n_bytes_again == 0


@on_xfs
def test_the_clone_of_a_source_that_changed_is_the_only_copy_and_kept(source: Path) -> None:
    held, _, _ = held_file(source)
    with (source / "A01.tif").open("r+b") as file:
        file.write(b"overwritten in place")
    assert held_space(held).n_files_only == 1
    less = let_go(held)
    assert less.guarantee == "reflink"
    assert read(less) == CONTENT


@on_xfs
def test_a_clone_of_which_no_hold_was_written_down_counts_once_its_original_is_gone(source: Path) -> None:
    _, _, staging = held_file(source)
    (staging / "import-0001" / "B01.tif.cloning").write_bytes(b"half of one")
    assert n_unwritten_only(staging / "import-0001", str(source)) == 0
    (source / "A01.tif").unlink()
    assert n_unwritten_only(staging / "import-0001", str(source)) == 1


@on_xfs
def test_a_clone_is_let_go_of_only_while_its_original_is_untouched(source: Path) -> None:
    held, _, _ = held_file(source)
    before = (source / "A01.tif").stat()
    with (source / "A01.tif").open("r+b") as file:
        file.write(b"overwritten in place")
        os.fsync(file.fileno())
    os.utime(source / "A01.tif", ns=(before.st_atime_ns, before.st_mtime_ns))
    space = held_space(held)
    assert (space.n_bytes_again, space.n_files_only) == (0, 1), "its time was put back, and its bytes are others"
    assert read(let_go(held)) == CONTENT
    (source / "B01").mkdir()
    other, _, _ = held_file(source / "B01", import_id="import-0002")
    less = let_go(other)
    assert less.guarantee == "watched only"
    assert read(less) == CONTENT
    with (source / "B01" / "A01.tif").open("r+b") as file:
        file.write(b"overwritten in place")
    with pytest.raises(SourceChanged):
        read(less)


@on_xfs
def test_the_clone_of_another_file_of_the_same_size_and_time_is_not_taken_for_this_one(source: Path) -> None:
    held_file(source)
    status = (source / "A01.tif").stat()
    (source / "new").write_bytes(CONTENT[::-1])
    os.utime(source / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    inode = (source / "new").stat().st_ino
    (source / "new").replace(source / "A01.tif")
    files = [SourceFile(path="A01.tif", size=status.st_size, mtime_ns=status.st_mtime_ns, inode=inode)]
    staging = choose_staging(source, data=source.parent / "data", root=source.parent).folder
    assert read(hold(files, source, staging, "import-0001")) == CONTENT[::-1]


@on_xfs
def test_a_source_that_changed_before_it_was_cloned_is_not_held(source: Path) -> None:
    _, files, staging = held_file(source)
    (source / "A01.tif").write_bytes(CONTENT[::-1])
    with pytest.raises(SourceChanged):
        hold(files, source, staging, "import-0002")
    assert not [path for path in (staging / "import-0002").rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="extents are shared on Linux alone")
def test_a_file_system_without_shared_extents_says_so(tmp_path: Path) -> None:
    with (
        Path("/proc/version").open("rb") as source,
        (tmp_path / "target").open("wb") as target,
        pytest.raises(OSError) as refused,
    ):
        share_extents(source.fileno(), target.fileno())
    assert refused.value.errno in UNSUPPORTED
