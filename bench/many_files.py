"""Imports at their extremes: many small files beside ``cp -r`` and sync, and a plate larger than any memory.

``python bench/many_files.py --long`` takes the full sizes: 100,000 files, and 20 GB.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from imports import MIB, peak_mib
from rounds import medians
from rows import Row

SMALL_BYTES = 2048
FILES_IN_FOLDER = 1000


def _make_small(source: Path, n_files: int) -> None:
    for n in range(n_files):
        if n % FILES_IN_FOLDER == 0:
            folder = source / f"{n // FILES_IN_FOLDER}"
            folder.mkdir(parents=True)
        (folder / f"{n}.tif").write_bytes(n.to_bytes(8, "little") * (SMALL_BYTES // 8))
    subprocess.run(["sync", "-f", str(source)], check=True)


def _copied(source: Path, target: Path) -> list[float]:
    start = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)
    return [time.perf_counter() - start]


def _taken_over(source: Path, data: Path) -> list[float]:
    from hcs_mesh.plates.local import FolderReader, LocalRepository
    from hcs_mesh.plates.repository import SourceFile

    files = [
        SourceFile(path=path.relative_to(source).as_posix(), size=SMALL_BYTES) for path in sorted(source.rglob("*.tif"))
    ]
    repository = LocalRepository(data)
    start = time.perf_counter()
    repository.transfer("bench", FolderReader(source), files)
    spent = time.perf_counter() - start
    repository.close()
    return [spent]


def measure(*, n_files: int = 10_000, sparse_mib: int = 2048) -> list[Row]:
    """Measure both extremes; the sizes stand in the rows' names."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        _make_small(folder / "small", n_files)
        numbers: Iterator[int] = count()
        copied, ours = medians(
            lambda: _copied(folder / "small", folder / f"round{next(numbers)}"),
            lambda: _taken_over(folder / "small", folder / f"round{next(numbers)}"),
            rounds=3,
        )
        small_peak = peak_mib(folder / "small", folder / "small-peak")
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        (folder / "plate").mkdir()
        for n in range(16):
            with (folder / "plate" / f"{n}.tif").open("wb") as file:
                file.truncate(sparse_mib // 16 * MIB)
        sparse_peak = peak_mib(folder / "plate", folder / "data")
    return [
        Row(
            name=f"import, {n_files:,} small files: cp -r and sync",
            reference=copied[0],
            ours=ours[0],
            unit="s",
            target=2.0,
            higher_is_better=False,
        ),
        Row(
            name=f"import, {n_files:,} small files, memory: a bound",
            reference=256.0,
            ours=small_peak,
            unit="MiB",
            target=1.0,
            higher_is_better=False,
        ),
        Row(
            name=f"import, a sparse plate of {sparse_mib / 1024:.0f} GiB, memory: a bound",
            reference=256.0,
            ours=sparse_peak,
            unit="MiB",
            target=1.0,
            higher_is_better=False,
        ),
    ]


if __name__ == "__main__":
    for row in measure(n_files=100_000, sparse_mib=20 * 1024) if "--long" in sys.argv else measure():
        print(row)
