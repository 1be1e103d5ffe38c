"""The journal under SIGKILL, a failing disk and a full one: real processes, real file systems."""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import msgspec
import pytest

from hcs_mesh.supervisors.journal import Disk, Journal, JournalFull, check
from hcs_mesh.supervisors.journal.framing import scan


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="test.done"):
    job: int
    detail: str = ""


WRITER = """
import asyncio, os, sys
import msgspec
from hcs_mesh.supervisors.journal import Journal, JournalError

class Done(msgspec.Struct, frozen=True, kw_only=True, tag="test.done"):
    job: int
    detail: str = ""

async def main(folder, n_writers, n_each):
    async with await Journal[Done].open(folder, record_type=Done, segment_bytes=65536) as journal:
        async def write(writer):
            for i in range(n_each):
                job = writer * 1_000_000 + i
                try:
                    sequence = await journal.append(Done(job=job, detail="d" * 100))
                except JournalError as error:
                    os.write(1, f"refused {job} {type(error).__name__}\\n".encode())
                else:
                    os.write(1, f"ack {job} {sequence}\\n".encode())
                    if i % 50 == 49 and writer == 0 and n_each > 1000:
                        await journal.checkpoint([], through=0)
        await asyncio.gather(*(write(w) for w in range(n_writers)))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def command(folder: Path, n_writers: int, n_each: int) -> list[str]:
    return [sys.executable, "-c", WRITER, str(folder), str(n_writers), str(n_each)]


def jobs_of(folder: Path) -> list[int]:
    async def main() -> list[int]:
        async with await Journal[Done].open(folder, record_type=Done, segment_bytes=65536) as journal:
            return [record.job for record in journal.replay()]

    return asyncio.run(main())


@pytest.mark.parametrize("n_acknowledged", [1, 40, 300, 1500])
def test_after_sigkill_every_acknowledged_record_is_there_once(tmp_path, n_acknowledged):
    process = subprocess.Popen(command(tmp_path, 8, 10**6), stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(n_acknowledged)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    acknowledged = {int(line.split()[1]) for line in lines if line.startswith(b"ack") and line.endswith(b"\n")}
    found = jobs_of(tmp_path)
    assert acknowledged <= set(found)
    assert len(found) == len(set(found))


def traced(tmp_path: Path, options: list[str], run: list[str]) -> tuple[str, str]:
    """Run under strace; returns its trace and the program's output."""
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: install it (apt-get install strace), durability is tested with it"
    trace = tmp_path / "trace"
    ended = subprocess.run([strace, "-f", "-o", str(trace), *options, *run], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return trace.read_text(), ended.stdout


def test_every_acknowledgement_follows_the_sync_of_its_record(tmp_path):
    options = ["-e", "trace=pwrite64,fdatasync,write", "-xx", "-s", "1000000"]
    trace, _ = traced(tmp_path, options, command(tmp_path / "journal", 6, 20))
    written = durable = n_acknowledged = 0
    unfinished: dict[str, str] = {}
    for line in trace.splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            if not call.startswith("write(1,"):  # an acknowledgement counts from its start
                unfinished[pid] = call
                continue
        elif "resumed>" in call:
            if pid not in unfinished:
                continue
            call = unfinished.pop(pid).removesuffix("<unfinished ...>") + call.partition("resumed>")[2]
        if call.startswith("pwrite64("):
            data = bytes.fromhex(call.split('"')[1].replace("\\x", ""))
            found = scan(data, written + 1, start=0)
            if found.payloads and found.end == len(data):
                written = found.next_sequence - 1
        elif call.startswith("fdatasync(") and call.endswith("= 0"):
            durable = written
        elif call.startswith("write(1,"):
            sequence = int(bytes.fromhex(call.split('"')[1].replace("\\x", "")).split()[2])
            assert sequence <= durable, f"record {sequence} was acknowledged, durable was {durable}"
            n_acknowledged += 1
    assert n_acknowledged == 120 == durable


def test_a_segment_and_its_folder_are_synced_before_it_takes_its_name(tmp_path):
    options = ["-y", "-e", "trace=fsync,rename,pwrite64"]
    trace, _ = traced(tmp_path, options, command(tmp_path / "journal", 1, 1))
    calls = [line.partition(" ")[2].strip() for line in trace.splitlines()]
    order = [re.match(r"(fsync|rename)\(", call) and call for call in calls if re.match(r"(fsync|rename)\(", call)]
    at = next(i for i, call in enumerate(order) if str(call).startswith("rename"))
    assert ".log.tmp" in str(order[at - 1])
    assert str(order[at - 1]).startswith("fsync")
    assert "/journal>" in str(order[at + 1])
    assert str(order[at + 1]).startswith("fsync")


def test_a_failed_sync_poisons_the_journal_until_it_is_opened_again(tmp_path):
    options = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=4"]
    trace, output = traced(tmp_path, options, command(tmp_path / "journal", 1, 10))
    answers = [line.split() for line in output.splitlines()]
    assert [answer[0] for answer in answers] == ["ack"] * 3 + ["refused"] * 7
    assert {answer[2] for answer in answers[3:]} == {"JournalPoisoned"}
    assert trace.count("fdatasync(") == 4  # never tried again as if nothing had happened
    assert jobs_of(tmp_path / "journal")[:3] == [0, 1, 2]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.needs("root")
def test_a_full_disk_is_an_error_to_the_asker_and_the_journal_goes_on_once_there_is_room(small_disk):
    acknowledged: list[int] = []

    async def main() -> None:
        async with await Journal[Done].open(small_disk / "j", record_type=Done, segment_bytes=65536) as journal:
            filler = small_disk / "filler"
            filler.write_bytes(bytes(900_000))

            async def fill() -> None:
                for i in range(2000):
                    await journal.append(Done(job=i, detail="d" * 100))
                    acknowledged.append(i)

            with pytest.raises(JournalFull, match="no room"):
                await fill()
            with pytest.raises(JournalFull):
                await journal.append_all([Done(job=-1, detail="d" * 30_000)] * 3)
            with pytest.raises(JournalFull):
                await journal.checkpoint([Done(job=-2, detail="d" * 200_000)])
            filler.unlink()
            await journal.append(Done(job=5000))
            acknowledged.append(5000)
            await journal.checkpoint([Done(job=i) for i in acknowledged])

    asyncio.run(main())
    assert jobs_of(small_disk / "j") == acknowledged
    assert check(small_disk / "j")["state"] == "clean"
    assert not list((small_disk / "j").glob("*.tmp"))


@pytest.mark.needs("root")
def test_opening_on_a_full_disk_says_so_and_leaves_nothing(small_disk):
    (small_disk / "filler").write_bytes(bytes(1_000_000))
    with pytest.raises(JournalFull, match="no room for 65536 bytes"):
        jobs_of(small_disk / "j")
    assert not list((small_disk / "j").glob("*.tmp"))


@pytest.mark.anyio
async def test_an_opening_that_is_cancelled_leaves_the_folder_to_the_next(tmp_path: Path) -> None:
    class SlowDisk(Disk):
        def __init__(self) -> None:
            self.taken, self.go = Event(), Event()

        def take(self, folder: Path) -> int:
            lock = super().take(folder)
            self.taken.set()
            self.go.wait()
            return lock

    disk = SlowDisk()
    opening = asyncio.create_task(Journal.open(tmp_path, record_type=Done, disk=disk))
    await asyncio.to_thread(disk.taken.wait)
    opening.cancel()
    await asyncio.sleep(0)
    disk.go.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with await Journal.open(tmp_path, record_type=Done) as journal:
        assert await journal.append(Done(job=1)) == 1
