"""Reading past the page cache, and where a file system has no such reads."""

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from hcs_mesh.plates.local.disk_file import DiskFile, disk_buffer


def read(path: Path) -> bytes:
    buffer, found = disk_buffer(), b""
    with closing(DiskFile(str(path))) as file:
        while n := file.read_into(buffer):
            found += bytes(buffer[:n])
    return found


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_001])
def test_a_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(os.urandom(size))
    assert read(path) == path.read_bytes()


def test_a_file_system_without_direct_reads_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    really = os.open

    def refuses_direct(path: str, flags: int) -> int:
        opened.append(flags)
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return really(path, flags)

    monkeypatch.setattr(os, "open", refuses_direct)
    assert read(Path(__file__)) == Path(__file__).read_bytes()
    assert len(opened) == 2


def test_a_file_system_that_opens_and_then_wants_other_sizes_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(range(256)) * 40)
    crooked, found = disk_buffer()[1:6002], b""
    with closing(DiskFile(str(path))) as file:
        while n := file.read_into(crooked):
            found += bytes(crooked[:n])
    assert found == path.read_bytes()


def test_other_refusals_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DiskFile(str(tmp_path / "nothing"))
