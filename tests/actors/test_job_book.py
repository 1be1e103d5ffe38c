"""The book of jobs: what ends becomes small, the list stays short, and what is forgotten is not done twice."""

from __future__ import annotations

import random
import time
import tracemalloc

import msgspec
import pytest

from hcs_mesh.actors.analysis.job_book import JobBook
from hcs_mesh.actors.analysis.job_records import (
    Attempted,
    Cancelled,
    Ended,
    Forgotten,
    Kept,
    Record,
    SetAside,
    Submitted,
    Summary,
)
from hcs_mesh.actors.retention import DAY_S, FRESH_S, LOOK_S, Retention, outlived
from hcs_mesh.messages.compute import JobStatus, JobSummary, RunningWell, WellStatus
from hcs_mesh.messages.listing import LONGEST_LISTED, MOST_LISTED
from hcs_mesh.plates.repository import ResultFile, StoredResult

MIB = 2**20
NOW = 1_700_000_000.0
PLATE = tuple(f"{chr(65 + n // 24)}{n % 24 + 1:02d}" for n in range(384))


def submitted(n: int, wells: tuple[str, ...] = ("A01", "A02", "A03"), *, key: str = "", source: str = "") -> Submitted:
    return Submitted(
        job=f"job-{n:04d}",
        at_unix_s=NOW,
        key=key or f"key {n}",
        plate_id=7,
        plate_name="Screen 7",
        pipeline="nuclei",
        source=source,
        source_name="nuclei.py",
        owner="eva",
        wells=wells,
    )


def kept(n: int, well: str) -> Kept:
    chance = random.Random(f"{n} {well}")
    job = f"job-{n:04d}"
    files = tuple(
        ResultFile(path=name, kind="table", size=4096, sha1=f"{chance.getrandbits(160):040x}")
        for name in ("objects.parquet", "labels.tif", "nuclei.ome.tif", "overview.png")
    )
    measured = tuple((name, chance.random()) for name in ("mean area", "median area", "mean intensity", "total"))
    result = StoredResult(
        job=job,
        plate_id=7,
        well=well,
        attempt=1,
        folder=f"/repository/results/{job}/{well}",
        n_objects=chance.randrange(2000),
        measurements=measured,
        files=files,
    )
    return Kept(job=job, at_unix_s=NOW, result=result, executor="executor.cpu0", duration_s=chance.random())


def done(n: int, wells: tuple[str, ...] = ("A01",), *, at: float = NOW) -> list[Record]:
    end = Ended(job=f"job-{n:04d}", at_unix_s=at)
    return [submitted(n, wells), *(kept(n, well) for well in wells), end]


def book_of(*records: Record) -> JobBook:
    book = JobBook()
    for record in records:
        book.apply(record)
    return book


def names(book: JobBook, limit: int = MOST_LISTED, before: str = "", state: str = "") -> list[str]:
    return [one.job for one in book.listed(limit=limit, before=before, state=state)]


def test_a_list_counts_wells_by_their_state_and_holds_none() -> None:
    aside = SetAside(job="job-0001", at_unix_s=NOW, well="A03", error="no nucleus\nat all")
    at_work = Attempted(job="job-0001", at_unix_s=NOW, well="A02", attempt=1, executor="executor.cpu0")
    book = book_of(submitted(1, ("A01", "A02", "A03", "A04"), source="x" * 2000), kept(1, "A01"), at_work, aside)
    (line,) = book.listed(limit=10, before="", state="")
    assert (line.n_wells, line.n_done, line.n_running, line.n_failed, line.n_queued) == (4, 1, 1, 1, 1)
    assert line.running == (RunningWell(well="A02", executor="executor.cpu0"),)
    assert (line.error, line.owner, line.pipeline) == ("no nucleus\nat all", "eva", "nuclei")
    status = book.status("job-0001")
    assert status is not None
    assert line.n_objects == status.wells[0].n_objects > 0
    assert len(msgspec.msgpack.encode(line)) < 600, "neither source nor wells nor results are in it"


def test_a_job_that_has_ended_is_told_as_it_was() -> None:
    records = done(1, ("A01", "A02"))
    open_book, book = book_of(*records[:-1]), book_of(*records)
    before, after = open_book.status("job-0001"), book.status("job-0001")
    assert before is not None
    assert after is not None
    assert after.wells == before.wells
    assert (after.state, after.finished_at_unix_s, after.revision) == ("done", NOW, before.revision + 1)
    assert book.listed(limit=1, before="", state="") == (after.listed(),)
    again = book_of(*book.compacted())
    assert again.status("job-0001") == after
    assert again.compacted() == book.compacted()


def test_the_list_is_newest_first_and_goes_on_behind_a_name() -> None:
    book = book_of(*(record for n in (2, 10, 9, 1) for record in done(n)), submitted(11))
    assert names(book) == ["job-0011", "job-0010", "job-0009", "job-0002", "job-0001"]
    assert names(book, 2) == ["job-0011", "job-0010"]
    assert names(book, 2, before="job-0010") == ["job-0009", "job-0002"]
    assert names(book, 2, before="job-0001") == []
    assert names(book, state="running") == ["job-0011"]
    assert names(book, 1, before="job-0011", state="done") == ["job-0010"]


@pytest.mark.parametrize("before", ["nonsense", "job-", "job-9e9", "job-" + "9" * 5000, "job-²"])
def test_a_name_that_is_none_has_nothing_behind_it(before: str) -> None:
    assert names(book_of(*done(1)), before=before) == []


@pytest.mark.parametrize(("wanted", "given"), [(0, 1), (-5, 1), (10**9, MOST_LISTED)])
def test_nobody_gets_more_than_one_answer_may_hold(wanted: int, given: int) -> None:
    book = book_of(*(submitted(n, ("A01",)) for n in range(1, MOST_LISTED + 50)))
    assert len(names(book, wanted)) == given


def test_long_texts_are_cut_in_the_list_alone() -> None:
    long = "ü" * 100_000
    job = JobStatus(
        job="job-0001",
        plate_id=1,
        plate_name=long,
        pipeline=long,
        source=long,
        source_name=long,
        owner=long,
        reason=long,
        wells=(WellStatus(well="A01", state="failed", error=long),),
    )
    encoded = msgspec.msgpack.encode(job.listed())
    assert len(encoded) < 7 * 2 * (LONGEST_LISTED + 10) + 500
    assert job.listed().reason.endswith("…")


def test_a_line_of_the_list_is_understood_by_who_knew_whole_statuses_only() -> None:
    line = book_of(*done(1)).listed(limit=1, before="", state="")[0]
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(line), type=JobStatus)
    assert (old.job, old.state, old.wells) == ("job-0001", "done", ())
    # And what an older mesh answers is a line with its wells uncounted.
    whole = JobStatus(job="job-0002", plate_id=1, wells=(WellStatus(well="A01"),))
    new = msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=JobSummary)
    assert (new.job, new.n_wells) == ("job-0002", 0)


def test_ended_jobs_of_whole_plates_take_little_memory() -> None:
    book = JobBook()
    for record in done(1, PLATE):
        book.apply(record)
    tracemalloc.start()
    try:
        for n in range(2, 22):
            for record in done(n, PLATE):
                book.apply(record)
        n_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_bytes < 20 * 80_000, "1.3 MB each where their wells stay as objects"


def test_a_summary_from_before_statuses_were_packed_is_read() -> None:
    job = JobStatus(
        job="job-0003", plate_id=1, owner="eva", state="done", source="s", wells=(WellStatus(well="A01", state="done"),)
    )
    old = Summary(job="job-0003", at_unix_s=NOW, key="k", status=msgspec.msgpack.encode(job))
    book = book_of(old)
    assert book.status("job-0003") == job
    (packed,) = book.compacted()
    assert isinstance(packed, Summary)
    assert not packed.status
    assert book_of(packed).status("job-0003") == job
    assert book.by_key("eva", "k") == "job-0003"


def test_what_comes_behind_the_end_changes_nothing() -> None:
    book = book_of(*done(1), kept(1, "A01"), Cancelled(job="job-0001", at_unix_s=NOW, by="eva"))
    status = book.status("job-0001")
    assert status is not None
    assert status.state == "done"
    assert book.is_over("job-0001")


AGES = Retention(keep_days=10.0, keep_ended=2)
KEY_S = AGES.key_s


def test_what_is_too_old_or_too_much_is_forgotten_but_what_ended_just_now() -> None:
    old, hours, fresh = NOW - 11 * DAY_S, NOW - 2 * FRESH_S, NOW - 0.5 * FRESH_S
    assert outlived([("a", old)], AGES, NOW) == ("a",)
    assert outlived([("a", hours), ("b", hours + 1)], AGES, NOW) == ()
    assert outlived([("c", hours + 2), ("a", hours), ("b", hours + 1)], AGES, NOW) == ("a",)
    assert outlived([("a", fresh), ("b", fresh), ("c", fresh)], AGES, NOW) == ()
    assert outlived([("a", hours), ("b", fresh), ("c", fresh)], AGES, NOW) == ("a",)


@pytest.mark.parametrize(
    ("days", "key_days", "look_s"), [(365.0, 30.0, LOOK_S), (0.1, 30.0, 864.0), (365.0, 0.01, 86.4), (1e-9, 30.0, 1.0)]
)
def test_who_keeps_things_for_a_short_time_looks_often_but_not_all_the_time(
    days: float, key_days: float, look_s: float
) -> None:
    assert Retention(keep_days=days, keep_keys_days=key_days).look_s == pytest.approx(look_s)


def test_open_jobs_are_never_forgotten() -> None:
    book = book_of(submitted(1), *done(2))
    assert book.outlived(Retention(keep_days=1.0), NOW + 100 * DAY_S) == ("job-0002",)


def test_a_forgotten_job_is_off_the_list_and_its_key_still_gets_its_id() -> None:
    book = book_of(*done(1), *done(2), Forgotten(job="job-0001", at_unix_s=NOW))
    for one in (book, book_of(*book.compacted())):
        assert names(one) == ["job-0002"]
        assert one.status("job-0001") is None
        assert one.by_key("eva", "key 1") == "job-0001"
        assert one.new_id() == "job-0003"


def test_a_key_is_known_for_thirty_days_after_its_job_was_forgotten() -> None:
    book = book_of(*done(1), *done(2), Forgotten(job="job-0001", at_unix_s=NOW))
    book.drop_old_keys(AGES, NOW + KEY_S - 1.0)
    assert book.by_key("eva", "key 1") == "job-0001"
    book.drop_old_keys(AGES, NOW + KEY_S + 1.0)
    assert book.by_key("eva", "key 1") is None
    assert [type(record) for record in book.compacted()] == [Summary], "nothing of it is left in the journal either"


def test_a_key_is_known_for_as_long_as_the_settings_say() -> None:
    shorter = Retention(keep_keys_days=2.0)
    book = book_of(*done(1), *done(2), Forgotten(job="job-0001", at_unix_s=NOW))
    book.drop_old_keys(shorter, NOW + 2.0 * DAY_S - 1.0)
    assert book.by_key("eva", "key 1") == "job-0001"
    book.drop_old_keys(shorter, NOW + 2.0 * DAY_S + 1.0)
    assert book.by_key("eva", "key 1") is None


def test_no_job_gets_an_id_again_although_all_are_forgotten_long_ago() -> None:
    book = book_of(*(record for n in (1, 2, 3) for record in done(n)))
    for n in (1, 2, 3):
        book.apply(Forgotten(job=f"job-{n:04d}", at_unix_s=NOW))
    # An id that was taken for a job that never got into the journal holds nothing.
    book.new_id()
    book.drop_old_keys(AGES, NOW + 10 * KEY_S)
    again = book_of(*book.compacted())
    assert names(again) == []
    assert again.new_id() == "job-0004"


def test_ten_thousand_jobs_are_listed_in_a_moment() -> None:
    book = book_of(*(record for n in range(1, 10_001) for record in done(n)))
    start = time.thread_time()
    assert len(names(book, 100)) == 100
    assert time.thread_time() - start < 1.0
