"""How seldom a look at a watched folder reads all its names, and what that may never cost."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hcs_mesh.actors.watching import eye
from hcs_mesh.actors.watching.sight import Seen, Wish
from hcs_mesh.config import WatchSettings
from hcs_mesh.plates import folder_marks
from hcs_mesh.plates.devices import file_system_of

FULL_S, DEEP_S = 20.0, 600.0
LONG_AGO_NS = time.time_ns() - 3600 * 10**9


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A watched folder, whatever the tests' own disk is, on a file system that is believed."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    monkeypatch.setattr(eye, "OWN_TIMES", frozenset({file_system_of(str(folder), folder.stat().st_dev)}))
    return folder


def come(folder: Path, name: str, *, at_ns: int = LONG_AGO_NS) -> None:
    """Put a file there, and the folder's time to what it is said to be."""
    (folder / name).touch()
    os.utime(folder, ns=(at_ns, at_ns))


def watch(folder: Path) -> eye.WatchEye:
    return eye.WatchEye(WatchSettings(path=str(folder), full_look_s=FULL_S, deep_look_s=DEEP_S))


def test_a_name_is_seen_at_the_next_look_by_the_folders_time(incoming: Path) -> None:
    eyes = watch(incoming)
    come(incoming, "a.tif")
    assert eyes.look(Wish(), 0.0).names == {"a.tif"}
    come(incoming, "b.tif", at_ns=LONG_AGO_NS + 1)
    assert eyes.look(Wish(), 10.0).names == {"a.tif", "b.tif"}


def test_where_the_folders_time_tells_of_every_name_only_a_deep_look_reads_them_all(incoming: Path) -> None:
    eyes = watch(incoming)
    come(incoming, "a.tif")
    eyes.look(Wish(), 0.0)
    come(incoming, "b.tif")
    assert eyes.look(Wish(), FULL_S).names == {"a.tif"}
    assert eyes.look(Wish(), DEEP_S).names == {"a.tif", "b.tif"}


def test_where_the_folders_time_may_lag_every_full_look_reads_all_names(
    incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eye, "OWN_TIMES", frozenset())
    eyes = watch(incoming)
    come(incoming, "a.tif")
    eyes.look(Wish(), 0.0)
    come(incoming, "b.tif")
    assert eyes.look(Wish(), FULL_S).names == {"a.tif", "b.tif"}


def test_a_folder_that_was_listed_within_a_tick_of_its_time_is_listed_again(incoming: Path) -> None:
    eyes, now_ns = watch(incoming), time.time_ns()
    come(incoming, "a.tif", at_ns=now_ns)
    eyes.look(Wish(), 0.0)
    come(incoming, "b.tif", at_ns=now_ns)
    assert eyes.look(Wish(), FULL_S).names == {"a.tif", "b.tif"}


def test_another_folder_of_the_same_time_is_listed(incoming: Path) -> None:
    eyes = watch(incoming)
    come(incoming, "a.tif")
    eyes.look(Wish(), 0.0)
    incoming.rename(incoming.with_name("before"))
    incoming.mkdir()
    come(incoming, "b.tif")
    assert eyes.look(Wish(), FULL_S).names == {"b.tif"}


def plate_of(folder: Path) -> Path:
    plate = folder / "plate"
    plate.mkdir()
    (plate / "a.tif").write_bytes(b"image")
    return plate


def seen_by(eyes: eye.WatchEye) -> Seen:
    return eyes.look(Wish(), 0.0).units["plate/"]


def test_the_mark_of_a_folder_stays_where_it_is_touched_or_moved_and_another_folder_has_another(incoming: Path) -> None:
    eyes, plate = watch(incoming), plate_of(incoming)
    first = seen_by(eyes)
    for path in (plate, plate / "a.tif"):
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
        path.chmod(0o700)
    plate.rename(incoming.parent / "aside").rename(plate)
    touched = seen_by(watch(incoming))
    assert (touched.digest, touched.mark) == (first.digest, first.mark)
    assert (touched.newest_ns, first.mark.inode) == (LONG_AGO_NS, plate.stat().st_ino)
    # It stays beside, so that its inode is not given to the next.
    plate.rename(incoming.parent / "aside")
    plate_of(incoming)
    replaced = seen_by(eyes)
    assert replaced.digest == first.digest
    assert replaced.mark.is_other(first.mark)


def test_when_a_folder_was_made_counts_only_where_that_is_kept(incoming: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eye, "folder_mark", lambda path: (7, 70))
    plate_of(incoming)
    for kinds, born_ns in ((eye.OWN_TIMES, 70), (frozenset[str](), 0)):
        monkeypatch.setattr(eye, "TRUE_BIRTHS", kinds)
        assert tuple(seen_by(watch(incoming)).mark) == (7, born_ns)


def test_a_folder_that_is_replaced_while_it_is_looked_at_is_looked_at_again(
    incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate_of(incoming)
    marks = iter([(1, 0), (2, 0), (2, 0), (2, 0)])
    monkeypatch.setattr(eye, "folder_mark", lambda path: next(marks))
    eyes = watch(incoming)
    sight = eyes.look(Wish(), 0.0)
    assert "plate/" not in sight.units
    assert "another folder" in sight.trouble["plate/"]
    assert seen_by(eyes).mark.inode == 2


def test_a_folder_s_birth_is_what_the_system_says_and_without_its_call_the_inode_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode, born_ns = folder_marks.folder_mark(str(tmp_path))
    if shutil.which("stat"):
        told = subprocess.run(["stat", "-c", "%i %W", str(tmp_path)], check=True, capture_output=True, text=True)
        assert told.stdout.split() == [str(inode), str(born_ns // 10**9)]
    monkeypatch.setattr(folder_marks, "_statx", lambda *asked: -1)
    assert folder_marks.folder_mark(str(tmp_path)) == (inode, 0)
    with pytest.raises(FileNotFoundError):
        folder_marks.folder_mark(str(tmp_path / "none"))
