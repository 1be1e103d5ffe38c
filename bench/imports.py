"""Taking a plate over durably with SHA-1, and proving it, beside the least that does: ``python bench/imports.py``.

The first two lines are of the repository's own calls in this process. The others are of a whole import through a mesh
with the usual settings, but that it does not make way: the sides take turns, and the one before has just written to the
same disk. ``python bench/guest.py`` measures what an import leaves to others. The memory is the hub's own.
"""

import hashlib
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rounds import medians
from rows import Row
from through_mesh import FLAT_OUT, Taken, median, mesh

from hcs_mesh.plates.synthetic import Recipe, write_plate

BUFFER_BYTES = 1 << 20
MIB = 1 << 20


def _copy(source: Path, target: Path) -> str:
    digest, buffer = hashlib.sha1(usedforsecurity=False), memoryview(bytearray(BUFFER_BYTES))
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        while n := reader.readinto(buffer):
            digest.update(buffer[:n])
            writer.write(buffer[:n])
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _hash(path: Path) -> str:
    digest, buffer = hashlib.sha1(usedforsecurity=False), memoryview(mmap.mmap(-1, BUFFER_BYTES))
    # Past the page cache, as a proof must be: straight from the disk where the file system can.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    while n := os.readv(descriptor, [buffer]):
        digest.update(buffer[:n])
    os.close(descriptor)
    return digest.hexdigest()


def _floor(source: Path, files: list[str], target: Path) -> list[float]:
    """MiB/s of two threads, each file read, hashed, written and synced; then of three, read and hashed again."""
    target.mkdir()
    n_bytes = sum((source / file).stat().st_size for file in files)
    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(3) as readers:
        start = time.perf_counter()
        for folder in {(target / file).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
        first = list(pool.map(lambda file: _copy(source / file, target / file), files))
        folder_descriptor = os.open(target, os.O_RDONLY)
        os.fsync(folder_descriptor)
        os.close(folder_descriptor)
        copied = time.perf_counter()
        second = list(readers.map(lambda file: _hash(target / file), files))
        end = time.perf_counter()
    if first != second:
        raise RuntimeError("the floor's copy differs from its source")
    return [n_bytes / MIB / (copied - start), n_bytes / MIB / (end - copied)]


def _ours(source: Path, files: list[str], data: Path) -> list[float]:
    from hcs_mesh.plates.local import FolderReader, LocalRepository
    from hcs_mesh.plates.repository import SourceFile

    repository = LocalRepository(data)
    wanted = [SourceFile(path=file, size=(source / file).stat().st_size) for file in files]
    n_bytes = sum(file.size for file in wanted)
    start = time.perf_counter()
    stored = repository.transfer("bench", FolderReader(source), wanted)
    copied = time.perf_counter()
    repository.verify("bench", stored)
    end = time.perf_counter()
    repository.close()
    return [n_bytes / MIB / (copied - start), n_bytes / MIB / (end - copied)]


def _files(source: Path) -> list[str]:
    return sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())


def measure() -> list[Row]:
    """Measure both phases over a plate of 200 MiB, then all of an import of it through a mesh."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        source = folder / "plate"
        write_plate(source, Recipe(n_fields=2, size_px=1024))
        files = _files(source)
        numbers: Iterator[int] = count()

        def fresh(work: Callable[[Path, list[str], Path], list[float]]) -> Callable[[], list[float]]:
            return lambda: work(source, files, folder / f"round{next(numbers)}")

        runs: list[Taken] = []
        with mesh(folder / "mesh", FLAT_OUT) as through:

            def whole() -> list[float]:
                runs.append(through.take_over(source))
                return []

            floor, ours, _ = medians(fresh(_floor), fresh(_ours), whole, rounds=5)
        taken = median(runs)
        n_mib = sum((source / file).stat().st_size for file in files) / MIB
    return [
        Row(
            name="import, transfer: durable read + SHA-1 + write",
            reference=floor[0],
            ours=ours[0],
            unit="MiB/s",
            target=0.9,
        ),
        Row(name="import, verification: read + SHA-1", reference=floor[1], ours=ours[1], unit="MiB/s", target=0.9),
        Row(
            name="import, transferring, through a mesh flat out: durable read + SHA-1 + write",
            reference=floor[0],
            ours=n_mib / taken.phases["transferring"],
            unit="MiB/s",
            target=0.9,
            parts=str(taken),
        ),
        Row(
            name="import, the hub's own memory: a bound",
            reference=256.0,
            ours=taken.anonymous_mib,
            unit="MiB",
            target=1.0,
            higher_is_better=False,
        ),
    ]


if __name__ == "__main__":
    for row in measure():
        print(row)
