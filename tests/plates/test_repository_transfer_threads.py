"""How many files of an import are copied at the same time."""

import threading
from pathlib import Path

import pytest

from hcs_mesh.plates.local import FolderReader, LocalRepository
from hcs_mesh.plates.repository import SourceFile


@pytest.mark.parametrize("n_threads", [1, 3, 5])
def test_as_many_files_are_copied_at_once_as_the_setting_says(tmp_path: Path, n_threads: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(n_threads):
        (source / f"{number}.tif").write_bytes(b"pixels")
    together = threading.Barrier(n_threads, timeout=45.0)
    repository = LocalRepository(tmp_path / "data", transfer_threads=n_threads)
    repository.transfer(
        "import-1",
        FolderReader(source),
        tuple(SourceFile(path=f"{number}.tif", size=6) for number in range(n_threads)),
        on_bytes=lambda n_bytes: together.wait() and None,
    )
    repository.close()
