"""Whether an acquisition has ended: the times of its files, what was seen, and what its metadata declare."""

from __future__ import annotations

from hcs_mesh.actors.imports.readiness import Quiet, Scan, manifest_digest, patience_s, why_not_ended
from hcs_mesh.plates.repository import SourceFile

HOUR_S = 3600.0


def scan(*, written_at_s: float) -> Scan:
    return Scan({"a.tif": (10, int(written_at_s * 1e9), 1)})


def test_a_folder_that_was_written_an_hour_ago_has_been_quiet_for_an_hour() -> None:
    quiet = Quiet(now_s=5.0)
    assert quiet.for_s(scan(written_at_s=1_000.0), now_s=6.0, now_unix_s=1_000.0 + HOUR_S) == HOUR_S


def test_of_a_clock_that_runs_ahead_only_what_was_seen_counts() -> None:
    quiet = Quiet(now_s=5.0)
    ahead = scan(written_at_s=10_000.0)
    assert quiet.for_s(ahead, now_s=25.0, now_unix_s=1_000.0) == 20.0
    quiet.broken(24.0)
    assert quiet.for_s(ahead, now_s=25.0, now_unix_s=1_000.0) == 1.0


def test_what_is_declared_and_not_there_is_waited_for_as_long_as_the_settings_say() -> None:
    pending = ("the HTD declares 96 images and 60 are there", "a second reason")
    why = why_not_ended(pending, quiet_s=5.0, patience_s=20.0)
    assert why.startswith("the acquisition has not ended: the HTD declares 96 images and 60 are there, and 1 more")
    assert "15 s" in why
    assert "--ended" in why
    assert "--ended" not in why_not_ended(pending, quiet_s=5.0, patience_s=20.0, usable=False)
    assert why_not_ended(pending, quiet_s=20.0, patience_s=20.0) == ""
    assert why_not_ended((), quiet_s=0.0, patience_s=20.0) == ""


def test_a_manifest_is_told_from_others_by_names_sizes_and_times_alone() -> None:
    one = SourceFile(path="a.tif", size=1, mtime_ns=2, inode=3)
    elsewhere = SourceFile(path="a.tif", size=1, mtime_ns=2, inode=99)
    other = SourceFile(path="b.tif", size=1, mtime_ns=2, inode=4)
    assert manifest_digest([one, other]) == manifest_digest([other, elsewhere])
    changed = [
        SourceFile(path="a.tif", size=1, mtime_ns=7),
        SourceFile(path="a.tif", size=7, mtime_ns=2),
        SourceFile(path="c.tif", size=1, mtime_ns=2),
    ]
    assert len({manifest_digest([one]), *(manifest_digest([file]) for file in changed)}) == 4


def test_an_acquisition_that_pauses_for_long_is_waited_for_twice_as_long() -> None:
    # Two time points, half an hour apart.
    written = Scan({"t1.tif": (10, int(1_000e9), 1), "t2.tif": (10, int(2_800e9), 2), "t2b.tif": (10, int(2_801e9), 3)})
    assert patience_s(written, at_least_s=20.0, at_most_s=9_999.0) == 3_600.0
    assert patience_s(written, at_least_s=20.0, at_most_s=600.0) == 600.0
    # An old plate to which something was added today, and one that goes on every two hours.
    day = Scan({"old.tif": (10, int(1e9), 1), "new.tif": (10, int(90_000e9), 2)})
    assert patience_s(day, at_least_s=20.0, at_most_s=99_999.0) == 20.0
    often = Scan({f"t{n}.tif": (10, int(7_200e9 * n) + 1, n) for n in range(3)})
    assert patience_s(often, at_least_s=20.0, at_most_s=99_999.0) == 14_400.0
    assert patience_s(scan(written_at_s=1_000.0), at_least_s=20.0, at_most_s=600.0) == 20.0
