"""Imports at their extremes: many small files beside ``cp -r`` and sync, and a plate larger than any memory.

Each is a whole import through a mesh, ``hcs-mesh up`` and ``hcs-mesh import --as-files --wait``, from the order to its
end: settled, held, taken over, verified, certified, without making way. The memory is the hub's own, without what it
maps.

``cp`` and the import take turns in who comes first: for minutes after many files were deleted, ext4 looks long for the
inode of a new one, and whoever makes the first files in a corner of the disk pays for all.

``python bench/many_files.py --long`` takes the full sizes once, 100,000 files and 20 GiB, and writes them down for the
page of measurements; it needs 24 GiB on the disk and some minutes.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from rows import LONG_ROWS, LongRows, Row
from through_mesh import FLAT_OUT, Taken, median, mesh

MIB = 1 << 20
SMALL_BYTES = 2048
FILES_IN_FOLDER = 1000


def _make_small(source: Path, n_files: int) -> None:
    for n in range(n_files):
        if n % FILES_IN_FOLDER == 0:
            folder = source / f"{n // FILES_IN_FOLDER}"
            folder.mkdir(parents=True)
        (folder / f"{n}.tif").write_bytes(n.to_bytes(8, "little") * (SMALL_BYTES // 8))
    subprocess.run(["sync", "-f", str(source)], check=True)


def _make_sparse(source: Path, n_mib: int) -> None:
    source.mkdir()
    for n in range(16):
        with (source / f"{n}.tif").open("wb") as file:
            file.truncate(n_mib // 16 * MIB)


def _copied(source: Path, target: Path) -> float:
    start = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)
    return time.perf_counter() - start


def measure(*, n_files: int = 10_000, sparse_mib: int = 2048, rounds: int = 3) -> list[Row]:
    """Measure both extremes through a mesh with the usual settings; the sizes stand in the rows' names."""
    copied: list[float] = []
    taken: list[Taken] = []
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        _make_small(folder / "small", n_files)
        with mesh(folder / "mesh", FLAT_OUT) as ours:
            for n in range(rounds):
                if n % 2:
                    taken.append(ours.take_over(folder / "small", "--as-files"))
                copied.append(_copied(folder / "small", folder / f"copy{n}"))
                if not n % 2:
                    taken.append(ours.take_over(folder / "small", "--as-files"))
    small, copied_s = median(taken), statistics.median(copied)
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        _make_sparse(folder / "plate", sparse_mib)
        with mesh(folder / "mesh", FLAT_OUT) as ours:
            sparse = ours.take_over(folder / "plate", "--as-files")
    of_small, of_sparse = f"import, {n_files:,} small files", f"import, a sparse plate of {sparse_mib / 1024:.0f} GiB"
    return [
        Row(
            name=f"{of_small}, whole: cp -r and sync",
            reference=copied_s,
            ours=small.whole_s,
            unit="s",
            target=2.0,
            higher_is_better=False,
            parts=str(small),
        ),
        Row(
            name=f"{of_small}, transferring alone: cp -r and sync",
            reference=copied_s,
            ours=small.phases["transferring"],
            unit="s",
            target=2.0,
            higher_is_better=False,
        ),
        _memory(of_small, small),
        _memory(of_sparse, sparse, str(sparse)),
    ]


def _memory(of: str, taken: Taken, parts: str = "") -> Row:
    return Row(
        name=f"{of}, the hub's own memory: a bound",
        reference=256.0,
        ours=taken.anonymous_mib,
        unit="MiB",
        target=1.0,
        higher_is_better=False,
        parts=parts,
    )


def measure_long() -> LongRows:
    """Measure the full sizes, once, and say when and under what load it was."""
    start, load = datetime.now(UTC), os.getloadavg()[0]
    rows = measure(n_files=100_000, sparse_mib=20 * 1024, rounds=1)
    took_s = (datetime.now(UTC) - start).total_seconds()
    of = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}"
    return LongRows(date=f"{start:%Y-%m-%d}", machine=of, load=load, took_s=took_s, rows=tuple(rows))


if __name__ == "__main__":
    if "--long" in sys.argv:
        long = measure_long()
        LONG_ROWS.write_bytes(msgspec.json.format(msgspec.json.encode(long), indent=1) + b"\n")
    for row in long.rows if "--long" in sys.argv else measure():
        print(row)
