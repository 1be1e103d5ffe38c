"""Whether an acquisition has ended: the times of its files, what was seen, and what its metadata declare."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hcs_mesh.actors.imports.readiness import Quiet, Rest, Scan, manifest_digest, why_not_ended
from hcs_mesh.actors.imports.scanning import scan_source
from hcs_mesh.plates.repository import SourceFile

HOUR_S = 3600.0


def scan(*, written_at_s: float, came_at_s: float = 0.0) -> Scan:
    return Scan({"a.tif": (10, int(written_at_s * 1e9), 1)}, (int(came_at_s * 1e9),))


def rest(quiet: Quiet, seen: Scan, *, now_s: float = 6.0, now_unix_s: float = 0.0, at_most_s: float = 9_999.0) -> Rest:
    return quiet.rest(seen, now_s=now_s, now_unix_s=now_unix_s, at_least_s=20.0, at_most_s=at_most_s)


def test_a_folder_that_was_written_in_its_place_an_hour_ago_has_been_quiet_for_an_hour() -> None:
    written = scan(written_at_s=1_000.0, came_at_s=1_000.0)
    assert rest(Quiet(now_s=5.0), written, now_unix_s=1_000.0 + HOUR_S).quiet_s == HOUR_S


def test_a_folder_that_is_copied_with_its_times_is_as_quiet_as_its_copy() -> None:
    copied = scan(written_at_s=1_000.0, came_at_s=1_000.0 + HOUR_S)
    assert rest(Quiet(now_s=5.0), copied, now_unix_s=1_003.0 + HOUR_S).quiet_s == 3.0


def test_of_a_copy_in_which_a_change_was_seen_what_was_seen_alone_counts() -> None:
    # The clock of its server is an hour behind.
    quiet, behind = Quiet(now_s=5.0), scan(written_at_s=1_000.0, came_at_s=1_000.0)
    quiet.broken(6.0)
    assert rest(quiet, behind, now_s=8.0, now_unix_s=1_000.0 + HOUR_S).quiet_s == 2.0


def test_where_nobody_tells_when_files_came_what_was_seen_counts() -> None:
    assert rest(Quiet(now_s=5.0), Scan({"a.tif": (10, int(1e9), 1)}), now_unix_s=HOUR_S).quiet_s == 1.0


def test_a_copy_is_waited_for_as_a_copy_and_not_as_the_acquisition_that_it_copies() -> None:
    # Two time points, half an hour apart, of which the copy has taken a second.
    times_ns = (int(1_000e9), int(2_800e9), int(2_801e9))
    files = {f"t{n}.tif": (10, at_ns, n) for n, at_ns in enumerate(times_ns)}
    copied = Scan(files, tuple(int((90_000 + n / 3) * 1e9) for n in range(3)))
    assert rest(Quiet(now_s=5.0), copied, now_unix_s=90_003.0).patience_s == 20.0
    assert rest(Quiet(now_s=5.0), Scan(files, times_ns), now_unix_s=2_810.0).patience_s == 3_600.0


def test_a_look_knows_when_files_came_to_their_place_and_that_says_nothing_of_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"plane")
    os.utime(tmp_path / "a.tif", (1_000.0, 1_000.0))
    began_s = time.time()
    before = scan_source(tmp_path)
    assert abs(before.came.newest_unix_s - began_s) < HOUR_S
    assert before.written.newest_unix_s == 1_000.0
    (tmp_path / "a.tif").chmod(0o640)
    assert scan_source(tmp_path) == before


def test_a_container_is_looked_at_with_the_folder_that_belongs_to_it_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "_x_" / "stack1").mkdir(parents=True)
    for name in ("x.vsi", "_x_/stack1/frame_t.ets", "y.vsi"):
        (tmp_path / name).write_bytes(b"plane")
    assert list(scan_source(tmp_path / "x.vsi").files) == ["x.vsi", "_x_/stack1/frame_t.ets"]
    assert list(scan_source(tmp_path, ("_x_", "x.vsi")).files) == ["_x_/stack1/frame_t.ets", "x.vsi"]


def test_of_a_clock_that_runs_ahead_only_what_was_seen_counts() -> None:
    quiet = Quiet(now_s=5.0)
    ahead = scan(written_at_s=10_000.0, came_at_s=10_000.0)
    assert rest(quiet, ahead, now_s=25.0, now_unix_s=1_000.0).quiet_s == 20.0
    quiet.broken(24.0)
    assert rest(quiet, ahead, now_s=25.0, now_unix_s=1_000.0).quiet_s == 1.0


def test_rest_begins_with_the_first_look_and_anew_with_each_that_differs_from_the_one_before() -> None:
    quiet, one, other = Quiet(now_s=5.0), scan(written_at_s=10_000.0), scan(written_at_s=10_001.0)
    for seen, now_s, quiet_s in ((one, 500.0, 0.0), (one, 507.0, 7.0), (other, 508.0, 0.0), (other, 530.0, 22.0)):
        quiet.saw(seen, now_s)
        assert rest(quiet, seen, now_s=now_s).quiet_s == quiet_s


def test_what_is_declared_and_not_there_is_waited_for_as_long_as_the_settings_say() -> None:
    pending = ("the HTD declares 96 images and 60 are there", "a second reason")
    why = why_not_ended(pending, Rest(5.0, 20.0))
    assert why.startswith("the acquisition has not ended: the HTD declares 96 images and 60 are there, and 1 more")
    assert "15 s" in why
    assert "--ended" in why
    assert "--ended" not in why_not_ended(pending, Rest(5.0, 20.0), usable=False)
    assert why_not_ended(pending, Rest(20.0, 20.0)) == ""
    assert why_not_ended((), Rest(0.0, 20.0)) == ""


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
    def patience_s(*written_s: float, at_most_s: float = 99_999.0) -> float:
        times_ns = tuple(int(at_s * 1e9) for at_s in written_s)
        found = Scan({f"{n}.tif": (10, at_ns, n) for n, at_ns in enumerate(times_ns)}, times_ns)
        return rest(Quiet(now_s=5.0), found, at_most_s=at_most_s).patience_s

    # Two time points, half an hour apart.
    assert patience_s(1_000.0, 2_800.0, 2_801.0) == 3_600.0
    assert patience_s(1_000.0, 2_800.0, 2_801.0, at_most_s=600.0) == 600.0
    # An old plate to which something was added today, and one that goes on every two hours.
    assert patience_s(1.0, 90_000.0) == 20.0
    assert patience_s(1.0, 7_201.0, 14_401.0) == 14_400.0
    assert patience_s(1_000.0) == 20.0
