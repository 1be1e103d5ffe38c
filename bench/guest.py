"""An import beside an acquisition that writes: ``python bench/guest.py``.

The writer is a process of its own that makes one file after another durable, as an acquisition does: a camera
that gives ten frames of 8 MiB a second, and one that writes as fast as the disk lets it. Each works alone and
beside an import, in turns; the import's free rate is measured in the same rounds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rows import Row

from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.plates.local import FolderReader, LocalRepository, TransferCancelled
from hcs_mesh.plates.local.disk import sync_files
from hcs_mesh.plates.pace_reader import Pace
from hcs_mesh.plates.repository import SourceFile, SourceReader

MIB = 1 << 20
ROUNDS = 5
SECONDS = 4.0
FRAME_BYTES = 8 * MIB
N_FILES, FILE_BYTES = 24, 16 * MIB

WRITER = """
import os, shutil, sys, time
folder, seconds, gap_s, n_bytes = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
frame, n = os.urandom(n_bytes), 0
os.makedirs(folder)
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
while time.perf_counter() - start < seconds:
    with open(f"{folder}/{n}.tif", "wb", buffering=0) as file:
        file.write(frame)
        os.fsync(file.fileno())
    n += 1
    due = start + n * gap_s - time.perf_counter()
    if due > 0:
        time.sleep(due)
print(n * n_bytes / (time.perf_counter() - start))
shutil.rmtree(folder)
"""


def written(folder: Path, gap_s: float) -> float:
    """MiB/s that a writer keeps up."""
    words = [sys.executable, "-c", WRITER, str(folder), str(SECONDS), str(gap_s), str(FRAME_BYTES)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.stdin.write("go\n")
        writer.stdin.flush()
        return float(writer.stdout.readline()) / MIB


class Importing:
    """Takes one plate over again and again, until it is left."""

    def __init__(
        self, repository: LocalRepository, source: Path, files: list[SourceFile], pace: Pace | None = None
    ) -> None:
        self._repository, self._source, self._files, self._pace = repository, source, files, pace
        self._leave = threading.Event()
        self._thread: threading.Thread | None = None
        self._n_bytes = 0

    def __enter__(self) -> "Importing":
        self._leave.clear()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        assert self._thread is not None
        self._thread.join()

    def _work(self) -> None:
        while not self._leave.is_set():
            cancelled = self._leave.is_set
            reader: SourceReader = FolderReader(self._source)
            if self._pace is not None:
                reader = self._pace.reader(reader, self._source, cancelled=cancelled)
            with suppress(TransferCancelled):
                self._repository.transfer("bench", reader, self._files, on_bytes=self._count, cancelled=cancelled)
            self._repository.discard("bench")

    def rate_while(self, work: Callable[[], object]) -> float:
        """MiB/s while something else is done."""
        before, start = self._n_bytes, time.perf_counter()
        work()
        return (self._n_bytes - before) / MIB / (time.perf_counter() - start)

    def _count(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Measure both writers, each alone and beside an import that makes way."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        source = folder / "plate"
        source.mkdir()
        for n in range(N_FILES):
            (source / f"{n}.tif").write_bytes(os.urandom(FILE_BYTES))
        files = [SourceFile(path=f"{n}.tif", size=FILE_BYTES) for n in range(N_FILES)]
        os.sync()
        repository = LocalRepository(folder / "data")
        for told, gap_s in (("ten frames of 8 MiB/s", 0.1), ("flat out", 0.0)):
            # Who comes first takes turns as well: whoever comes second finds the other's bytes still on their way.
            found = [one_round(folder, repository, source, files, gap_s, swap=n % 2 == 1) for n in range(rounds)]
            alone, beside, free, guest = (statistics.median(column) for column in zip(*found, strict=True))
            kept = statistics.median(one[1] / one[0] for one in found)
            share = statistics.median(one[3] / one[2] for one in found)
            print(f"{told}: {alone:.0f} -> {beside:.0f}, {free:.0f} -> {guest:.0f} MiB/s", file=sys.stderr)
            rows += [
                Row(
                    name=f"guest: a writer, {told}, beside an import / alone",
                    reference=alone,
                    ours=alone * kept,
                    unit="MiB/s",
                    target=0.95,
                ),
                Row(
                    name=f"guest: the import beside it, {told} / unhindered",
                    reference=free,
                    ours=free * share,
                    unit="MiB/s",
                    target=0.2,
                ),
            ]
        repository.close()
    return rows


def one_round(
    folder: Path, repository: LocalRepository, source: Path, files: list[SourceFile], gap_s: float, *, swap: bool
) -> tuple[float, float, float, float]:
    """MiB/s of the writer alone and beside the import, and of the import unhindered and beside the writer."""
    frames = folder / "frames"
    speeds: dict[str, float] = {}

    def unhindered() -> None:
        with Importing(repository, source, files) as importing:
            speeds["free"] = importing.rate_while(lambda: time.sleep(SECONDS))

    def alone() -> None:
        speeds["alone"] = written(frames, gap_s)

    def together() -> None:
        # Known to a mesh that has imported before: it keeps the rate over its restarts.
        pace = Pace(GuestSettings(), folder / "data", free_rate=speeds["free"] * MIB)
        with Importing(repository, source, files, pace) as importing:
            speeds["guest"] = importing.rate_while(lambda: speeds.update(beside=written(frames, gap_s)))

    for part in (unhindered, together, alone) if swap else (unhindered, alone, together):
        part()
        # What is on its way to the disk is nobody's in the next part.
        sync_files(folder, [])
    return speeds["alone"], speeds["beside"], speeds["free"], speeds["guest"]


if __name__ == "__main__":
    for row in measure():
        print(row)
