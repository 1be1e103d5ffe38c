"""Coming up again, after a kill, with 10,000 jobs in the journal: ``python bench/job_history.py``.

The journal is what the scheduler's ledger leaves of 10,000 jobs of four wells that ended in one life: 100,000 records,
shortened on the way as a running mesh shortens it. Ready is a mesh whose list of jobs has been read whole, and the wait
is the median of three kills.
"""

import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parent))

from rows import Row
from submissions import command, pid_of

from hcs_mesh import Client, MeshError
from hcs_mesh.actors.analysis import job_records as records
from hcs_mesh.actors.analysis.job_book import JobBook
from hcs_mesh.actors.analysis.scheduler import COMPACT_RECORDS
from hcs_mesh.actors.ledger import Ledger
from hcs_mesh.plates.repository import ResultFile, StoredResult
from hcs_mesh.supervisors import Context
from hcs_mesh.supervisors.journal import SEGMENT_BYTES

N_JOBS = 10_000
AT_ONCE = 100
WELLS = ("B02", "B03", "C02", "C03")
SOURCE = "# a pipeline of twenty lines\n" * 20
SETTINGS = f"""
[devices]
cpu_slots = 1
gpu = "off"

[jobs]
keep_ended = {N_JOBS}
"""


def life(n: int, chance: random.Random, wells: tuple[str, ...] = WELLS) -> Iterator[records.Record]:
    """What the journal holds of one job, from its submission to its end."""
    job, now = f"job-{n:04d}", time.time()
    yield records.Submitted(
        job=job,
        at_unix_s=now,
        key=f"{chance.getrandbits(128):032x}",
        plate_id=1 + n % 50,
        plate_name="Screen 7",
        pipeline="nuclei",
        source=SOURCE,
        source_name="nuclei.py",
        owner="eva",
        wells=wells,
    )
    for well in wells:
        yield records.Attempted(job=job, at_unix_s=now, well=well, attempt=1, executor="executor.cpu0")
        names = ("mean area", "median area", "mean intensity", "total intensity", "nuclei per field")
        files = tuple(
            ResultFile(path=name, kind="table", size=4096, sha1=f"{chance.getrandbits(160):040x}")
            for name in ("objects.parquet", "labels.tif", "nuclei.ome.tif", "overview.png")
        )
        result = StoredResult(
            job=job,
            plate_id=1 + n % 50,
            well=well,
            attempt=1,
            folder=f"/srv/mesh/repository/results/{job}/{well}-1",
            n_objects=chance.randrange(2000),
            measurements=tuple((name, chance.random()) for name in names),
            files=files,
        )
        yield records.Kept(job=job, at_unix_s=now, result=result, executor="executor.cpu0", duration_s=chance.random())
    yield records.Ended(job=job, at_unix_s=now)


class Child:
    """What a ledger needs of an actor: somebody who does its work beside it."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it at the next turn."""
        self.tasks.add(asyncio.ensure_future(work))


async def _write(folder: Path) -> None:
    chance, child = random.Random(1), Child()
    ledger: Ledger[records.Record] = Ledger(
        JobBook(), name_of=lambda record: record.job, compact_records=COMPACT_RECORDS
    )
    await ledger.open(cast(Context, child), folder, record_type=records.Record, segment_bytes=SEGMENT_BYTES)
    for first in range(1, N_JOBS + 1, AT_ONCE):
        # Many at once, as one disk access is enough for them; of each job one record behind the other.
        await asyncio.gather(*(_live(ledger, n, chance) for n in range(first, first + AT_ONCE)))
    await asyncio.gather(*child.tasks)
    await ledger.close()


async def _live(ledger: Ledger[records.Record], n: int, chance: random.Random) -> None:
    for record in life(n, chance):
        await ledger.write(record)


async def _listed(folder: Path) -> int:
    """How many jobs are listed by a mesh that is coming up, as soon as it answers."""
    while True:
        try:
            async with Client.at(folder / "data") as mesh:
                return len(await mesh.jobs(limit=0))
        except MeshError:
            await asyncio.sleep(0.01)


def measure() -> list[Row]:
    """Measure the wait of all who want to know of their jobs when a mesh was killed."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        (folder / "settings.toml").write_text(SETTINGS, encoding="utf-8")
        try:
            if command("up", "--detach", folder=folder).wait():
                raise RuntimeError("the mesh did not come up")
            pid = pid_of(folder)
            ready = []
            for n_before in range(3):
                os.kill(pid, signal.SIGKILL)
                if not n_before:
                    _write_where_it_is(folder)
                start = time.perf_counter()
                up = command("up", "--detach", folder=folder)
                n_listed = asyncio.run(_listed(folder))
                ready.append(time.perf_counter() - start)
                up.wait()
                if n_listed != N_JOBS:
                    raise RuntimeError(f"{N_JOBS} are in the journal, and {n_listed} are listed")
                pid = pid_of(folder)
        finally:
            command("down", folder=folder).wait()
    return [
        Row(
            name=f"analysis, ready after a kill with {N_JOBS:,} jobs journalled: a bound",
            reference=3.0,
            ours=statistics.median(ready),
            unit="s",
            target=1.0,
            higher_is_better=False,
        )
    ]


def _write_where_it_is(folder: Path) -> None:
    journal = folder / "data" / "journal" / "jobs"
    until = time.perf_counter() + 10.0
    while True:
        try:
            return asyncio.run(_write(journal))
        except MeshError:
            # The killed process lets go of the lock in a moment.
            if time.perf_counter() > until:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    for row in measure():
        print(row)
