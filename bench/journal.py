"""Durable appends and replay against raw files and SQLite: ``python bench/journal.py``."""

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from rows import Row

from hcs_mesh.supervisors.journal import Journal

PAYLOAD = b"x" * 160
SECONDS = 0.7
ROUNDS = 5
N_REPLAY = 200_000


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="bench.moved"):
    """A record of the size that the import proxy writes."""

    job: int
    phase: str
    detail: bytes


def _record(i: int) -> Moved:
    return Moved(job=i, phase="transferring", detail=PAYLOAD)


def raw_writes(folder: Path) -> float:
    """Appends per second of write + fdatasync in a plain loop."""
    data = msgspec.msgpack.encode(_record(1))
    descriptor = os.open(folder / "raw", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        os.write(descriptor, data)
        os.fdatasync(descriptor)
        n += 1
    elapsed = time.perf_counter() - start
    os.close(descriptor)
    return n / elapsed


def sqlite_writes(folder: Path, n_per_transaction: int = 64) -> float:
    """Rows per second in SQLite, WAL, synchronous=FULL."""
    (folder / "rows.sqlite").unlink(missing_ok=True)
    database = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE records (sequence INTEGER PRIMARY KEY, payload BLOB)")
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        database.execute("BEGIN")
        for i in range(n_per_transaction):
            database.execute("INSERT INTO records (payload) VALUES (?)", (msgspec.msgpack.encode(_record(i)),))
        database.execute("COMMIT")
        n += n_per_transaction
    elapsed = time.perf_counter() - start
    database.close()
    return n / elapsed


async def _our_writes(folder: Path, n_writers: int) -> float:
    n = 0
    async with await Journal[Moved].open(folder, record_type=Moved) as journal:
        list(journal.replay())
        start = time.perf_counter()
        stop = start + SECONDS

        async def write() -> None:
            nonlocal n
            while time.perf_counter() < stop:
                await journal.append(_record(n))
                n += 1

        await asyncio.gather(*(write() for _ in range(n_writers)))
        return n / (time.perf_counter() - start)


def our_writes(folder: Path, n_writers: int) -> float:
    """Appends per second through the journal by so many tasks."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as journal,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_our_writes(Path(journal), n_writers))


async def _fill(folder: Path) -> None:
    async with await Journal[Moved].open(folder, record_type=Moved) as journal:
        for start in range(0, N_REPLAY, 10_000):
            await journal.append_all([_record(i) for i in range(start, start + 10_000)])


async def _our_replay(folder: Path) -> float:
    start = time.perf_counter()
    async with await Journal[Moved].open(folder, record_type=Moved) as journal:
        n = sum(1 for _ in journal.replay())
        elapsed = time.perf_counter() - start
    assert n == N_REPLAY
    return n / elapsed


def crc_scan(folder: Path) -> float:
    """Records per second of reading the same payloads behind (length, crc) and checking the crc, no more."""
    data = msgspec.msgpack.encode(_record(1))
    one = len(data).to_bytes(4, "little") + google_crc32c.value(data).to_bytes(4, "little") + data
    (folder / "crc").write_bytes(one * N_REPLAY)
    start = time.perf_counter()
    data, offset, n = (folder / "crc").read_bytes(), 0, 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        crc = int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8 + length
        if google_crc32c.value(data[offset - length : offset]) != crc:
            raise ValueError("crc")
        n += 1
    return n / (time.perf_counter() - start)


def _paired(reference: Callable[[], float], ours: Callable[[], float]) -> tuple[float, float]:
    """Medians over rounds that take turns, so that a slow minute of the disk hits both."""
    pairs = [(reference(), ours()) for _ in range(ROUNDS)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def measure() -> list[Row]:
    """Measure all of it beside its references."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        many = _paired(lambda: sqlite_writes(folder), lambda: our_writes(folder, 64))
        one = _paired(lambda: raw_writes(folder), lambda: our_writes(folder, 1))
        asyncio.run(_fill(folder / "replay"))
        replay = _paired(lambda: crc_scan(folder), lambda: asyncio.run(_our_replay(folder / "replay")))
    return [
        Row(name="journal: 64 writers / sqlite WAL FULL by 64", reference=many[0], ours=many[1], unit="/s", target=1.0),
        Row(name="journal: one writer / raw write+fdatasync", reference=one[0], ours=one[1], unit="/s", target=0.6),
        Row(name="journal: replay / crc-only scan", reference=replay[0], ours=replay[1], unit="/s", target=0.5),
    ]


if __name__ == "__main__":
    for row in measure():
        print(row)
