"""Many small files read again: fetched together, checked one by one, and nothing left open."""

import os
from pathlib import Path

import pytest
from open_below import open_below

from hcs_mesh.plates.local import ChecksumMismatch, FolderReader, TransferCancelled, verify
from hcs_mesh.plates.local.transfer import transfer
from hcs_mesh.plates.repository import SourceFile, StoredFile

N_FILES = 200


@pytest.fixture
def stored(tmp_path: Path) -> tuple[StoredFile, ...]:
    source = tmp_path / "source"
    source.mkdir()
    for n in range(N_FILES):
        (source / f"{n}.tif").write_bytes(n.to_bytes(2, "little") * 500)
    return transfer(
        FolderReader(source),
        tmp_path / "files",
        [SourceFile(path=f"{n}.tif", size=1000) for n in range(N_FILES)],
    )


def test_a_link_among_small_files_is_no_copy_whatever_it_leads_to(
    tmp_path: Path, stored: tuple[StoredFile, ...]
) -> None:
    (tmp_path / "files" / "7.tif").unlink()
    (tmp_path / "files" / "7.tif").symlink_to(tmp_path / "source" / "7.tif")
    with pytest.raises(ChecksumMismatch, match=r"7\.tif is a link, and no copy"):
        verify(tmp_path / "files", stored)


def test_each_small_file_that_is_wrong_is_named(tmp_path: Path, stored: tuple[StoredFile, ...]) -> None:
    (tmp_path / "files" / "1.tif").unlink()
    (tmp_path / "files" / "2.tif").write_bytes(b"other bytes")
    os.truncate(tmp_path / "files" / "199.tif", 0)
    (tmp_path / "files" / "4.tif").write_bytes(b"as many " * 125)
    with (tmp_path / "files" / "3.tif").open("ab") as longer:
        longer.write(b"!")
    with pytest.raises(ChecksumMismatch) as caught:
        verify(tmp_path / "files", stored)
    assert sorted(caught.value.files) == ["1.tif", "199.tif", "2.tif", "3.tif", "4.tif"]


@pytest.mark.parametrize("n_bytes_wanted", [0, 5_000])
def test_a_verification_that_is_cancelled_leaves_nothing_open(
    tmp_path: Path, stored: tuple[StoredFile, ...], n_bytes_wanted: int
) -> None:
    read: list[int] = []
    with pytest.raises(TransferCancelled):
        verify(tmp_path / "files", stored, on_bytes=read.append, cancelled=lambda: sum(read) >= n_bytes_wanted)
    assert open_below(tmp_path) == []
