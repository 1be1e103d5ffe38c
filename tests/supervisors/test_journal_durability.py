"""What the journal promises, from opening to opening."""

import asyncio
import itertools
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcs_mesh.supervisors.journal import (
    CheckpointSuperseded,
    Journal,
    JournalClosed,
    JournalDamaged,
    JournalInUse,
    RecordRefused,
    check,
    show,
)
from hcs_mesh.supervisors.journal.disk import file_system_of, refuse_network_file_system


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="test.accepted"):
    job: int
    path: str = ""


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="test.finished"):
    job: int


Record = Accepted | Finished
SMALL = 4096


async def opened(folder: Path, segment_bytes: int = SMALL) -> Journal[Record]:
    return await Journal[Record].open(folder, record_type=Record, segment_bytes=segment_bytes)


async def held(folder: Path) -> list[Record]:
    async with await opened(folder) as journal:
        return list(journal.replay())


def last_log(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def test_what_was_appended_is_replayed_in_order_over_many_segments(tmp_path):
    async def main() -> None:
        records = [Accepted(job=i, path="p" * 50) if i % 2 else Finished(job=i) for i in range(300)]
        async with await opened(tmp_path) as journal:
            for i, record in enumerate(records):
                assert await journal.append(record) == i + 1
        assert len(list(tmp_path.glob("*.log"))) > 3
        assert await held(tmp_path) == records

    asyncio.run(main())


def test_concurrent_appends_share_syncs(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path, 1 << 20) as journal:
            sequences = await asyncio.gather(*(journal.append(Finished(job=i)) for i in range(200)))
            assert sequences == list(range(1, 201))
            assert journal.statistics().n_syncs < 10

    asyncio.run(main())


def test_a_record_larger_than_a_segment_gets_one_of_its_own(tmp_path):
    async def main() -> None:
        big = Accepted(job=1, path="x" * (3 * SMALL))
        async with await opened(tmp_path) as journal:
            await journal.append(Finished(job=0))
            await journal.append(big)
            await journal.append(Finished(job=2))
        assert await held(tmp_path) == [Finished(job=0), big, Finished(job=2)]

    asyncio.run(main())


def test_a_torn_tail_is_cut_and_reported_and_an_atomic_append_goes_as_a_whole(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            await journal.append(Finished(job=1))
            await journal.append_all([Finished(job=2), Finished(job=3), Finished(job=4)])
        path = last_log(tmp_path)
        data = path.read_bytes()
        end = len(data.rstrip(b"\0"))
        path.write_bytes(data[: end - 6] + bytes(len(data) - end + 6))
        assert check(tmp_path)["state"] == "torn"
        async with await opened(tmp_path) as journal:
            assert list(journal.replay()) == [Finished(job=1)]
            torn = journal.recovery.torn
            assert torn is not None
            assert torn.file == str(path)
            assert torn.n_bytes > 0
            assert await journal.append(Finished(job=5)) == 2
        assert check(tmp_path)["state"] == "clean"
        assert await held(tmp_path) == [Finished(job=1), Finished(job=5)]

    asyncio.run(main())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_anywhere_in_the_folder_is_damage_or_a_reported_torn_tail(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flipped")
    records = [Accepted(job=i, path="p" * 40) for i in range(60)]

    async def main() -> None:
        async with await opened(folder) as journal:
            for record in records:
                await journal.append(record)
        path = data.draw(st.sampled_from(sorted(folder.glob("*.log"))))
        written = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(written) - 1))
        written[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(written))
        damaged: list[str] = []
        try:
            async with await opened(folder) as journal:
                assert journal.recovery.torn is not None
                found = list(journal.replay())
                assert found == records[: len(found)]
                assert len(found) >= len(records) - 1
        except JournalDamaged as error:
            damaged.append(error.file)
        assert damaged in ([], [str(path)])
        assert not damaged or path.read_bytes() == bytes(written)

    asyncio.run(main())


def test_a_missing_segment_is_damage(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            for i in range(200):
                await journal.append(Accepted(job=i, path="p" * 40))
        sorted(tmp_path.glob("*.log"))[1].unlink()
        with pytest.raises(JournalDamaged, match="is due"):
            await opened(tmp_path)

    asyncio.run(main())


def test_a_checkpoint_stands_for_what_came_before_and_lets_its_segments_go(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            for i in range(200):
                await journal.append(Accepted(job=i, path="p" * 40))
            assert await journal.checkpoint([Finished(job=-1), Finished(job=-2)]) == 200
            assert len(list(tmp_path.glob("*.log"))) == 1
            await journal.append(Finished(job=7))
        assert await held(tmp_path) == [Finished(job=-1), Finished(job=-2), Finished(job=7)]
        shown = list(show(tmp_path))
        assert [entry["sequence"] for entry in shown] == [0, 0, 201]
        assert shown[2]["record"] == {"type": "test.finished", "job": 7}
        async with await opened(tmp_path) as journal:
            await journal.checkpoint([])
            await journal.checkpoint([Finished(job=9)])
        assert await held(tmp_path) == [Finished(job=9)]

    asyncio.run(main())


def test_records_behind_the_checkpoint_are_kept(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            for i in range(10):
                await journal.append(Finished(job=i))
            await journal.checkpoint([Accepted(job=0)], through=7)
        assert await held(tmp_path) == [Accepted(job=0), *(Finished(job=i) for i in range(7, 10))]

    asyncio.run(main())


def test_an_append_in_flight_survives_a_checkpoint_that_does_not_know_it(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            await journal.append(Finished(job=1))
            in_flight = asyncio.create_task(journal.append(Finished(job=2)))
            await asyncio.sleep(0)
            assert await journal.checkpoint([Finished(job=1)]) == 1
            await in_flight
        assert await held(tmp_path) == [Finished(job=1), Finished(job=2)]

    asyncio.run(main())


def test_a_checkpoint_of_less_than_an_earlier_one_is_refused_and_changes_nothing(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            for i in range(9):
                await journal.append(Accepted(job=i))
            await journal.checkpoint([Finished(job=7)], through=7)
            files = sorted(path.name for path in tmp_path.iterdir())
            with pytest.raises(CheckpointSuperseded, match=r"through 5: one through 7 stands already"):
                await journal.checkpoint([Finished(job=5)], through=5)
            assert sorted(path.name for path in tmp_path.iterdir()) == files
            await journal.append(Accepted(job=9))
        async with await opened(tmp_path) as journal:
            kept = [Finished(job=7), Accepted(job=7), Accepted(job=8), Accepted(job=9)]
            assert list(journal.replay()) == kept
            with pytest.raises(CheckpointSuperseded):
                await journal.checkpoint([], through=6)
            assert await journal.checkpoint([Finished(job=8)], through=7) == 7, "as much may be said again, otherwise"
        assert await held(tmp_path) == [Finished(job=8), *kept[1:]]

    asyncio.run(main())


def test_a_checkpoint_beyond_what_is_durable_is_refused(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            with pytest.raises(ValueError, match="durable through 0"):
                await journal.checkpoint([], through=1)

    asyncio.run(main())


def test_a_snapshot_that_was_not_renamed_does_not_count_and_is_swept(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            await journal.append(Finished(job=1))
        (tmp_path / f"{1:020d}.snapshot.tmp").write_bytes(b"half a snapshot")
        async with await opened(tmp_path) as journal:
            assert list(journal.replay()) == [Finished(job=1)]
            assert journal.recovery.removed == (f"{1:020d}.snapshot.tmp",)

    asyncio.run(main())


def test_a_second_writer_is_refused_and_told_who_holds_it(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path):
            with pytest.raises(JournalInUse, match=r"in use by process \d+"):
                await opened(tmp_path)
        assert await held(tmp_path) == []

    asyncio.run(main())


def test_unknown_fields_are_ignored_and_unknown_tags_refused_by_name(tmp_path):
    class AcceptedLater(msgspec.Struct, frozen=True, kw_only=True, tag="test.accepted"):
        job: int
        priority: int = 3

    class Invented(msgspec.Struct, frozen=True, kw_only=True, tag="test.invented"):
        job: int

    async def main() -> None:
        newer = AcceptedLater | Invented
        async with await Journal[AcceptedLater | Invented].open(tmp_path, record_type=newer) as journal:
            await journal.append(AcceptedLater(job=1))
        assert await held(tmp_path) == [Accepted(job=1)]
        async with await Journal[AcceptedLater | Invented].open(tmp_path, record_type=newer) as journal:
            await journal.append(Invented(job=2))
        with pytest.raises(RecordRefused, match=r"unknown tag 'test\.invented' at byte \d+"):
            await opened(tmp_path)

    asyncio.run(main())


def test_a_record_of_another_type_is_refused_before_it_is_written(tmp_path):
    class Stranger(msgspec.Struct, tag="test.stranger"):
        pass

    async def main() -> None:
        async with await opened(tmp_path) as journal:
            with pytest.raises(RecordRefused, match="Stranger"):
                await journal.append(Stranger())  # type: ignore[arg-type]

    asyncio.run(main())


def test_closing_writes_what_was_asked_for_and_ends_the_journal(tmp_path):
    async def main() -> None:
        journal = await opened(tmp_path)
        asked = [asyncio.create_task(journal.append(Finished(job=i))) for i in range(20)]
        await asyncio.sleep(0)
        await journal.close()
        assert await asyncio.gather(*asked) == list(range(1, 21))
        with pytest.raises(JournalClosed):
            await journal.append(Finished(job=0))

    asyncio.run(main())


def test_a_cancelled_append_harms_no_other(tmp_path):
    async def main() -> None:
        async with await opened(tmp_path) as journal:
            asked = [asyncio.create_task(journal.append(Finished(job=i))) for i in range(3)]
            await asyncio.sleep(0)
            asked[1].cancel()
            assert await asyncio.gather(asked[0], asked[2]) == [1, 3]

    asyncio.run(main())


MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 21 0:50 / /mnt/group\\040share rw - nfs4 server:/export rw
31 30 0:51 / /mnt/group\\040share/scratch rw - xfs /dev/sdb rw
32 21 0:52 / /mnt/laptop rw - fuse.sshfs me@laptop: rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/x", "ext4"),
        ("/mnt/group share/data", "nfs4"),
        ("/mnt/group share/scratch/data", "xfs"),
        ("/mnt/laptop", "fuse.sshfs"),
        ("/mnt/laptops", "ext4"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_innermost_mount(path, kind):
    assert file_system_of(path, MOUNTS)[1] == kind


def test_a_local_folder_is_accepted(tmp_path):
    refuse_network_file_system(tmp_path)


def test_a_journal_at_work_is_never_called_damaged_by_who_looks_at_it(tmp_path):
    over = threading.Event()
    states: list[str] = []

    def look() -> None:
        while not over.is_set():
            states.append(check(tmp_path)["state"])

    async def main() -> None:
        async with await opened(tmp_path) as journal:
            await journal.append(Finished(job=0))
            looking = asyncio.get_running_loop().run_in_executor(None, look)
            for job in itertools.count():
                if job >= 60 and (len(states) > 20 or looking.done()):
                    break
                await asyncio.gather(*(journal.append(Accepted(job=job, path="p" * 400)) for _ in range(20)))
                await journal.checkpoint([Finished(job=n) for n in range(200)])
            over.set()
            await looking

    asyncio.run(main())
    assert len(states) > 20
    assert set(states) <= {"clean", "torn"}
