"""The ledger, who waits for its changes, and the progress that is shown between two records."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from hcs_mesh.actors.changes import Changes
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.progress import ImportProgress
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.actors.ledger import Ledger
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.supervisors import Context
from hcs_mesh.supervisors.journal import SEGMENT_BYTES, JournalFull, show

pytestmark = pytest.mark.anyio


class Noted(msgspec.Struct, frozen=True, tag="test.noted"):
    name: str
    n: int


class Sums:
    """A book that adds up."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}

    def apply(self, record: Noted) -> None:
        self.sums[record.name] = self.sums.get(record.name, 0) + record.n

    def compacted(self) -> tuple[Noted, ...]:
        return tuple(Noted(name, n) for name, n in self.sums.items())


class Child:
    """What a ledger needs of an actor: it takes the work that makes the actor fail."""

    def __init__(self) -> None:
        self.spawned: list[Coroutine[Any, Any, None]] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.spawned.append(work)


async def opened(folder: Path, book: Sums, *, compact_records: int = 1_000) -> Ledger[Noted]:
    ledger: Ledger[Noted] = Ledger(book, name_of=lambda record: record.name, compact_records=compact_records)
    await ledger.open(cast(Context, Child()), folder, record_type=Noted, segment_bytes=SEGMENT_BYTES)
    return ledger


async def test_the_next_life_reads_the_same_book(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "journal", Sums())
    await ledger.write(Noted("a", 1))
    await ledger.write(Noted("a", 2))
    await ledger.close()
    book = Sums()
    await (await opened(tmp_path / "journal", book)).close()
    assert book.sums == {"a": 3}


async def test_a_long_journal_is_shortened_when_it_is_opened(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "journal", Sums())
    await asyncio.gather(*(ledger.write(Noted("a", 1)) for _ in range(20)))
    await ledger.close()
    book = Sums()
    await (await opened(tmp_path / "journal", book, compact_records=10)).close()
    assert book.sums == {"a": 20}
    assert [one["record"]["n"] for one in show(tmp_path / "journal")] == [20]


async def test_a_long_journal_is_shortened_while_it_is_written(tmp_path: Path) -> None:
    book, child = Sums(), Child()
    ledger: Ledger[Noted] = Ledger(book, name_of=lambda record: record.name, compact_records=10)
    await ledger.open(cast(Context, child), tmp_path / "journal", record_type=Noted, segment_bytes=SEGMENT_BYTES)
    for _ in range(35):
        await ledger.write(Noted("a", 1))
        while child.spawned:
            await child.spawned.pop()
    await ledger.close()
    left = [one["record"]["n"] for one in show(tmp_path / "journal")]
    assert sum(left) == 35
    assert len(left) <= 11
    again = Sums()
    await (await opened(tmp_path / "journal", again)).close()
    assert again.sums == {"a": 35}


async def test_a_journal_is_not_shortened_while_a_record_is_on_its_way(tmp_path: Path) -> None:
    book, child = Sums(), Child()
    ledger: Ledger[Noted] = Ledger(book, name_of=lambda record: record.name, compact_records=10)
    await ledger.open(cast(Context, child), tmp_path / "journal", record_type=Noted, segment_bytes=SEGMENT_BYTES)
    for _ in range(11):
        await ledger.write(Noted("a", 1))
    (shortening,) = child.spawned
    writing = asyncio.create_task(ledger.write(Noted("a", 1)))
    await asyncio.sleep(0)
    await shortening
    assert len(list(show(tmp_path / "journal"))) >= 11, "what is on its way is in the journal and not yet in the book"
    await writing
    await child.spawned.pop()
    await ledger.close()
    again = Sums()
    await (await opened(tmp_path / "journal", again)).close()
    assert again.sums == book.sums == {"a": 12}


async def test_what_is_no_record_keeps_no_journal_from_being_shortened(tmp_path: Path) -> None:
    book, child = Sums(), Child()
    ledger: Ledger[Noted] = Ledger(book, name_of=lambda record: record.name, compact_records=10)
    await ledger.open(cast(Context, child), tmp_path / "journal", record_type=Noted, segment_bytes=SEGMENT_BYTES)
    with pytest.raises(OverflowError):
        await ledger.write(Noted("a", 1 << 80))
    for _ in range(35):
        await ledger.write(Noted("a", 1))
        while child.spawned:
            await child.spawned.pop()
    await ledger.close()
    assert len(list(show(tmp_path / "journal"))) <= 11
    assert book.sums == {"a": 35}


async def test_a_record_whose_writer_is_cancelled_counts_all_the_same(tmp_path: Path) -> None:
    book = Sums()
    ledger = await opened(tmp_path / "journal", book)
    writing = asyncio.create_task(ledger.write(Noted("a", 1)))
    await asyncio.sleep(0)
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError):  # that it is cancelled is the point
        await writing
    assert writing.cancelled()
    assert book.sums == {"a": 1}
    await ledger.close()


async def test_what_nobody_can_repeat_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcs_mesh.actors.ledger.AGAIN_S", 0.0)
    book = Sums()
    ledger = await opened(tmp_path / "journal", book)
    assert ledger._journal is not None
    append, n_refused = ledger._journal.append, 0

    async def append_with_room_at_the_third_time(record: Noted) -> int:
        nonlocal n_refused
        if n_refused < 2:
            n_refused += 1
            raise JournalFull("here", 100)
        return await append(record)

    monkeypatch.setattr(ledger._journal, "append", append_with_room_at_the_third_time)
    await ledger.write_surely(Noted("a", 1))
    assert (n_refused, book.sums) == (2, {"a": 1})
    await ledger.close()


async def test_everybody_who_waits_for_a_name_is_told_and_nobody_else() -> None:
    changes = Changes()
    a, b, other = (asyncio.create_task(changes.wait(name, 60.0)) for name in ("a", "a", "other"))
    await asyncio.sleep(0)
    changes.tell("a")
    await asyncio.gather(a, b)
    assert not other.done()
    other.cancel()
    await asyncio.wait([other])
    changes.tell("other")


@pytest.mark.parametrize("wait_s", [0.0, -1.0, float("nan"), 86_400.0, float("inf")])
async def test_a_wait_for_a_change_has_an_end_whatever_was_asked_for(wait_s: float) -> None:
    changes = Changes(longest_s=0.01)
    await asyncio.wait_for(changes.wait("a", wait_s), 10.0)
    assert len(changes) == 0


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind() -> None:
    changes = Changes()
    waiting = [asyncio.create_task(changes.wait(name, 60.0)) for name in ("a", "a", "b")]
    await asyncio.sleep(0)
    assert len(changes) == 3
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    assert len(changes) == 0


async def test_progress_beyond_the_total_is_no_news_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcs_mesh.actors.imports.progress.LOOK_S", 0.001)
    told: list[str] = []
    life = ImportLife(Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ImportOrder(path="/there")))
    progress = ImportProgress(life, told.append)

    async def work() -> str:
        progress.add(10)
        for _ in range(20):
            await asyncio.sleep(0.001)
        return "done"

    assert await progress.follow(work()) == "done"
    assert (life.n_bytes_done, life.revision, told) == (0, 0, [])
