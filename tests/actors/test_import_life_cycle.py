"""The life cycle of an import: a record moves it, and a journal cut anywhere gives an import that can go on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.errors import MeshFault
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.faults import Blame, blame
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.records import (
    Accepted,
    CameLate,
    Cancelled,
    Closed,
    Entered,
    Failed,
    Finished,
    Forgotten,
    Held,
    OffPlates,
    Record,
    Retried,
    Returned,
    Settled,
    SourceDeleted,
    Stored,
    Stumbled,
    Summary,
    Told,
    Verified,
)
from hcs_mesh.actors.retention import DAY_S, Retention
from hcs_mesh.config import MeshError
from hcs_mesh.messages.imports import IMPORT_PHASES, ImportOrder, ImportStatus
from hcs_mesh.plates.certificate import Device
from hcs_mesh.plates.holding import Hold
from hcs_mesh.plates.local import ChecksumMismatch, RepositoryFailed, RepositoryFull, SourceChanged
from hcs_mesh.plates.omero.errors import OmeroImportFailed, OmeroNotPermitted, OmeroSessionEnded, OmeroUnreachable
from hcs_mesh.plates.planners import Plan
from hcs_mesh.plates.planners.plan import Fileset, PlannedFile
from hcs_mesh.plates.repository import SourceFile, StoredFile
from hcs_mesh.transport import ActorUnknown, AskTimedOut, MailboxFull, PeerGone

SOURCE = (SourceFile(path="a.tif", size=3, mtime_ns=1, inode=1),)
STORED = (StoredFile(path="a.tif", size=3, checksum="0" * 40, mtime_ns=1, inode=1),)


def record(kind: type[Record], import_id: str = "import-0001", **fields: object) -> Record:
    """A record of an import at a time that does not matter."""
    return kind(import_id=import_id, at_unix_s=1.0, **fields)


ACCEPTED = Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ImportOrder(path="/plate"))
SETTLED = record(Settled, plan=Plan(), files=SOURCE)


def whole_life(import_id: str = "import-0001", key: str = "k") -> list[Record]:
    """The records of an import to which nothing happens."""
    order = ImportOrder(path="/plate")
    records: list[Record] = [record(Accepted, import_id, key=key, order=order, owner="eva", by="ada")]
    for phase in IMPORT_PHASES[1:-1]:
        records.append(record(Entered, import_id, phase=phase))
        if phase == "settling":
            records.append(record(Settled, import_id, plan=Plan(), files=SOURCE))
        if phase == "transferring":
            records.append(record(Stored, import_id, files=STORED))
    return [*records, record(Finished, import_id, plate_ids=(7,))]


def lived(*records: Record) -> ImportLife:
    """An import after these records."""
    life = ImportLife(ACCEPTED)
    for one in records:
        life.apply(one)
    return life


@pytest.mark.parametrize(
    ("records", "state", "next_phase"),
    [
        ((), "running", "settling"),
        ((record(Entered, phase="settling"),), "running", "settling"),
        ((record(Entered, phase="settling"), SETTLED), "running", "held"),
        ((record(Entered, phase="transferring"),), "running", "transferring"),
        ((record(Entered, phase="transferring"), record(Stored, files=STORED)), "running", "transferring"),
        ((record(Entered, phase="verifying"), record(Stumbled, reason="busy")), "waiting", "verifying"),
        ((record(Entered, phase="verifying"), record(Returned, reason="changed")), "waiting", "settling"),
        ((record(Entered, phase="verifying"), record(Failed, reason="broken")), "failed", None),
        (
            (record(Entered, phase="verifying"), record(Failed, reason="broken"), record(Retried)),
            "running",
            "verifying",
        ),
        ((record(Entered, phase="transferring"), record(Cancelled)), "cancelled", None),
        ((record(Entered, phase="transferring"), record(Cancelled), record(Retried)), "running", "settling"),
        ((record(Entered, phase="annotating"), record(Finished, plate_ids=(1,))), "done", None),
    ],
)
def test_a_record_says_where_the_import_stands_and_what_comes_next(
    records: tuple[Record, ...], state: str, next_phase: str | None
) -> None:
    life = lived(*records)
    assert (life.state, life.next_phase) == (state, next_phase)


def test_a_phase_that_is_through_is_followed_by_the_next() -> None:
    life = lived(record(Entered, phase="held"))
    life.finish_phase()
    assert life.next_phase == "registered"


def test_what_cannot_be_trusted_is_forgotten_with_all_that_was_stored() -> None:
    life = lived(
        record(Entered, phase="settling"),
        SETTLED,
        record(Entered, phase="transferring"),
        record(Stored, files=STORED),
        record(Returned, reason="a.tif changed"),
    )
    assert (life.files, life.stored, life.n_bytes_done, life.n_returns) == ((), {}, 0, 1)
    assert life.reason == "a.tif changed"


def test_what_is_told_of_a_source_is_what_it_settled_as_the_last_time() -> None:
    def settled(n_bytes: int) -> Record:
        files = (PlannedFile("a.tif", n_bytes),)
        plan = Plan(filesets=(Fileset(planner="files", root="", files=files, plates=(), notes=()),))
        return record(Settled, plan=plan, files=SOURCE)

    def told(life: ImportLife) -> tuple[int, int, str]:
        status = life.status()
        return status.n_files, status.n_bytes, status.held

    held = record(Held, hold=Hold(import_id="import-0001", source="/plate"), source_device=Device())
    life = lived(settled(3), held)
    assert told(life) == (1, 3, "watched only")
    life.apply(record(Returned, reason="changed"))
    assert told(life) == (0, 0, "")
    life.apply(settled(5))
    assert told(life) == (1, 5, "")


def one_pass() -> list[Record]:
    """What is found out and told of a source that is looked at and copied."""
    return [
        record(Entered, phase="settling"),
        SETTLED,
        record(Entered, phase="held"),
        record(Held, hold=Hold(import_id="import-0001", source="/plate"), source_device=Device()),
        record(Entered, phase="transferring"),
        record(Stumbled, reason="busy", wait_s=0.5),
        record(Stored, files=STORED),
        record(Verified),
        record(OffPlates, note="1 image is on no plate"),
        record(CameLate, n_files=1),
    ]


@pytest.mark.parametrize(
    "begins_anew",
    [(record(Returned, reason="changed"),), (record(Cancelled, by="ada"), record(Retried, by="ada"))],
)
def test_of_an_import_that_begins_anew_nothing_is_kept_but_its_history(begins_anew: tuple[Record, ...]) -> None:
    records = [ACCEPTED, *one_pass(), *begins_anew, *one_pass(), *begins_anew]
    kept = ImportBook(records).compacted()
    assert kept == tuple(ImportBook(records).lives["import-0001"].records)
    assert not [one for one in kept if isinstance(one, Settled | Held | Stored | Verified | OffPlates | CameLate)]
    for behind in ([], one_pass()):
        status, again = (
            msgspec.structs.replace(ImportBook([*before, *behind]).lives["import-0001"].status(), revision=0)
            for before in (records, kept)
        )
        assert again == status
        assert [entry.phase for entry in again.history if "nothing to hold" in entry.note] == ["held"] * (
            2 + bool(behind)
        )


def test_what_is_copied_anew_is_counted_until_somebody_takes_the_import_up_again() -> None:
    life = lived(record(Entered, phase="transferring"), record(Entered, phase="transferring"))
    assert life.n_copies == 0, "the next life goes on with the copy that was begun"
    for n in (1, 2):
        life.apply(record(Entered, phase="verifying"))
        life.apply(record(Entered, phase="transferring", note="a.tif is not what was read"))
        assert (life.n_copies, life.next_phase) == (n, "transferring")
    life.apply(record(Retried))
    assert life.n_copies == 0


def test_waiting_for_something_is_no_record_but_a_change() -> None:
    life = lived(record(Entered, phase="settling"))
    before = life.revision
    life.waits("being written to")
    life.waits("being written to")
    assert (life.status().state, life.status().reason, life.revision) == ("waiting", "being written to", before + 1)


def test_every_change_has_a_new_revision() -> None:
    life = ImportLife(ACCEPTED)
    seen = {life.revision}
    for one in whole_life()[1:]:
        life.apply(one)
        assert life.revision not in seen
        seen.add(life.revision)


@given(st.integers(1, len(whole_life())))
def test_a_journal_cut_anywhere_gives_an_import_that_can_go_on(n_records: int) -> None:
    records = whole_life()
    book = ImportBook(records[:n_records])
    status = book.find("import-0001")
    assert status is not None
    assert book.by_key("ada", "k") == "import-0001"
    if n_records == len(records):
        assert status.status().state == "done"
        return
    life = book.lives["import-0001"]
    assert life.next_phase is not None
    # What it had entered is entered again, which changes nothing that was stored.
    for one in [record(Entered, phase=life.next_phase), *records[n_records:]]:
        book.apply(one)
    assert book.find("import-0001").status().plate_ids == (7,)  # type: ignore[union-attr]


@given(st.lists(st.integers(1, len(whole_life())), min_size=1, max_size=6))
def test_a_checkpoint_says_the_same_as_the_journal(cuts: list[int]) -> None:
    records = [
        one
        for number, cut in enumerate(cuts, start=1)
        for one in whole_life(f"import-{number:04d}", f"key {number}")[:cut]
    ]
    book = ImportBook(records)
    again = ImportBook(book.compacted())
    names = [f"import-{n:04d}" for n in range(1, len(cuts) + 1)]
    assert [again.find(name).status() for name in names] == [book.find(name).status() for name in names]  # type: ignore[union-attr]
    assert again.listed(limit=100, before="", state="") == book.listed(limit=100, before="", state="")
    assert [again.by_key("ada", f"key {n}") for n in range(1, len(cuts) + 1)] == names
    assert again.new_id() == book.new_id() == f"import-{len(cuts) + 1:04d}"
    assert ImportBook(again.compacted()).compacted() == again.compacted()


@given(
    st.sampled_from([record(Finished, plate_ids=(7,)), record(Stumbled, reason="late"), record(Stored, files=STORED)])
)
def test_what_comes_behind_the_end_changes_nothing(late: Record) -> None:
    book = ImportBook([*whole_life(), late])
    assert book.find("import-0001").status() == ImportBook(whole_life()).find("import-0001").status()  # type: ignore[union-attr]


def three_done() -> ImportBook:
    names = {n: f"import-{n:04d}" for n in (1, 2, 3)}
    lives = [one for n, name in names.items() for one in whole_life(name, f"key {n}")]
    return ImportBook([*lives, *(record(Told, name, of="done") for name in names.values())])


def test_imports_are_listed_newest_first_and_page_by_page() -> None:
    book = three_done()
    book.apply(record(Accepted, "import-0010", key="key 10", order=ImportOrder(path="/p")))

    def names(limit: int, before: str = "", state: str = "") -> list[str]:
        return [one.import_id for one in book.listed(limit=limit, before=before, state=state)]

    assert names(2) == ["import-0010", "import-0003"]
    assert names(2, "import-0003") == ["import-0002", "import-0001"]
    assert names(9, state="done") == ["import-0003", "import-0002", "import-0001"]


def test_of_what_people_wrote_a_list_shows_the_beginning() -> None:
    long = "ü" * 100_000
    order = ImportOrder(path="/p", description=long, comment=long, tags=(long,) * 500, key_values=((long, long),) * 500)
    listed = ImportStatus(import_id="import-0001", order=order, reason=long, notes=(long,) * 500).listed()
    assert len(msgspec.msgpack.encode(listed)) < 80_000
    assert listed.order.path == "/p"


def test_a_forgotten_import_keeps_its_key_for_thirty_days_and_its_number_for_good() -> None:
    book = three_done()
    at = book.ended["import-0003"].ended_at_unix_s
    assert book.outlived(Retention(keep_days=1.0, keep_ended=9), at + 2 * DAY_S) == tuple(book.ended)
    for n in (1, 2, 3):
        book.apply(Forgotten(import_id=f"import-{n:04d}", at_unix_s=at))
    kept = Retention()
    book.drop_old_keys(kept, at + kept.key_s - 1.0)
    assert book.by_key("ada", "key 1") == "import-0001"
    book.drop_old_keys(kept, at + kept.key_s + 1.0)
    assert book.by_key("ada", "key 1") is None
    again = ImportBook(book.compacted())
    assert len(again.compacted()) == 1
    assert again.new_id() == "import-0004"


def test_what_others_call_what_they_hold_never_uses_up_the_numbers_of_imports() -> None:
    book = ImportBook()
    made_up = ("import-999999999999999999", "import-1000000000000", "job-0077", "import-0077 ", "import-٠٠٧٧")
    assert book.unknown(made_up) == made_up
    assert book.new_id() == "import-0001"
    assert book.unknown(("import-0041", "import-999999999999", "import-0007")), "a mesh may have given these"
    last = book.new_id()
    replayed = ImportBook([Accepted(import_id=last, at_unix_s=1.0, key="k", order=ImportOrder(path="/data/plate"))])
    assert replayed.new_id() == "import-1000000000001", "none is given a second time"


def test_an_import_of_whose_end_nobody_has_heard_is_not_forgotten() -> None:
    book = three_done()
    book.apply(Summary(import_id="import-0004", at_unix_s=1.0, key="k", status=status_bytes(), untold="done"))
    assert book.outlived(Retention(keep_days=1.0), 1e12) == ("import-0001", "import-0002", "import-0003")


def test_closed_hours_add_up_until_another_proof() -> None:
    life = ImportLife(ACCEPTED)
    n_entries = len(life.history)
    for records, closed_s in (
        ([record(Verified), record(Closed, closed_s=3600.0), record(Closed, closed_s=60.0)], 3660.0),
        ([record(Verified)], 0.0),
        ([record(Closed, closed_s=5.0), record(Returned, reason="changed")], 0.0),
    ):
        for one in records:
            life.apply(one)
        assert life.closed_s == closed_s
    assert len(life.history) == n_entries + 1, "the going back alone"
    assert not any(isinstance(one, Closed) for one in life.records)


def status_bytes() -> bytes:
    return msgspec.msgpack.encode(ImportStatus(import_id="import-0004", order=ImportOrder(path="/p"), state="done"))


@pytest.mark.parametrize(
    ("error", "judgement"),
    [
        (SourceChanged("changed"), Blame.SOURCE_CHANGED),
        (ChecksumMismatch("differs", files=("a.tif",)), Blame.SOURCE_CHANGED),
        (RepositoryFull("full"), Blame.PERMANENT),
        (RepositoryFailed("I/O error"), Blame.TRANSIENT),
        (PeerGone("it died"), Blame.TRANSIENT),
        (ActorUnknown("it is between two lives"), Blame.TRANSIENT),
        (AskTimedOut("no answer"), Blame.TRANSIENT),
        (MeshFault("MemoryError"), Blame.TRANSIENT),
        (MailboxFull("busy"), Blame.TRANSIENT),
        (OmeroUnreachable("it is down"), Blame.TRANSIENT),
        (OmeroSessionEnded("it was idle"), Blame.TRANSIENT),
        (OmeroImportFailed("no reader knows it"), Blame.PERMANENT),
        (OmeroNotPermitted("not in the group"), Blame.PERMANENT),
        (MeshError("anything else"), Blame.PERMANENT),
    ],
)
def test_each_failure_is_judged_by_whose_fault_it_is(error: MeshError, judgement: Blame) -> None:
    assert blame(error) is judgement


def test_a_deletion_that_was_refused_is_known_by_its_reason() -> None:
    life = ImportLife(ACCEPTED)
    life.apply(record(SourceDeleted, n_files=0, note="the source stays: 1 of 5 files is not what was stored"))
    assert (life.status().source_deleted, life.status().deletion_note) == (
        False,
        "the source stays: 1 of 5 files is not what was stored",
    )
    life.apply(record(SourceDeleted, n_files=5))
    assert (life.status().source_deleted, life.status().deletion_note) == (True, "")
