"""What follows from a look at a watched folder, by an injected clock."""

from __future__ import annotations

import pytest

from hcs_mesh.actors.watching.book import WatchBook, WatchedUnit
from hcs_mesh.actors.watching.pauses import Pauses
from hcs_mesh.actors.watching.sight import Mark, Sight, seen
from hcs_mesh.actors.watching.watched_folder import Compare, Group, HandOver, Vanished, WatchedFolder, handed_over
from hcs_mesh.config import ConfigError, Settings, WatchSettings
from hcs_mesh.config.settings import DataSettings

ONE = seen([("a.tif", 1)])
TWO = seen([("a.tif", 1), ("b.tif", 1)])


class Folder:
    """A watched folder whose clock stands still until it is told."""

    def __init__(self, **settings: object) -> None:
        self.book = WatchBook()
        self.folder = WatchedFolder(WatchSettings(path="/in", **settings), self.book.units("/in"))  # type: ignore[arg-type]

    def known(self, unit: str, **fields: object) -> None:
        told = {"digest": ONE.digest, "import_id": "import-0001", "step": "handed over", **fields}
        self.book.apply(WatchedUnit(folder="/in", unit=unit, at_unix_s=0.0, **told))  # type: ignore[arg-type]

    def see(self, now_s: float, **sight: object) -> tuple[object, ...]:
        units = sight.get("units", {})
        loose = sight.get("loose", {})
        names = sight.pop("names", frozenset({*units, *loose}))  # type: ignore[misc]
        return self.folder.see(Sight(names=names, **sight), now_s=now_s, now_unix_s=now_s)  # type: ignore[arg-type]


def test_a_unit_is_handed_over_once_it_was_at_rest_for_long_enough() -> None:
    folder = Folder()
    assert folder.see(0.0, units={"p/": ONE}) == ()
    assert folder.see(50.0, units={"p/": TWO}) == ()
    assert folder.see(100.0, units={"p/": TWO}) == ()
    assert folder.folder.status().waiting[0].reason == "at rest for 50 of 60 s"
    assert folder.see(110.0, units={"p/": TWO}) == (HandOver("p/", TWO.digest),)


def test_a_unit_without_files_waits_for_ever() -> None:
    folder = Folder()
    assert [folder.see(float(now_s), units={"p/": seen([])}) for now_s in (0, 1000, 9000)] == [(), (), ()]


def test_rest_is_seen_anew_after_the_mount_was_away() -> None:
    folder = Folder()
    folder.see(0.0, units={"p/": ONE})
    assert folder.see(59.0, missing="no mount") == ()
    assert folder.see(60.0, units={"p/": ONE}) == ()
    assert folder.see(120.0, units={"p/": ONE}) == (HandOver("p/", ONE.digest),)


def test_what_was_handed_over_is_compared_when_its_names_or_sizes_changed_and_rest() -> None:
    folder = Folder(quiet_s=5.0)
    folder.known("p/")
    assert folder.see(0.0, units={"p/": ONE}) == ()
    assert folder.see(1.0, units={"p/": TWO}) == ()
    assert folder.see(6.0, units={"p/": TWO}) == (Compare("p/", TWO.digest),)
    assert folder.folder.wish().restless == {"p/"}


def test_all_gone_at_once_is_not_believed_without_a_sentinel_that_says_so() -> None:
    for sentinel, found in (("", ()), (".mounted", (Vanished("p/", gone=True),))):
        folder = Folder(sentinel=sentinel)
        folder.known("p/")
        assert folder.see(0.0) == found
    assert folder.folder.status().state == "there"


def test_what_comes_back_as_it_was_is_the_same_and_what_does_not_is_another_generation() -> None:
    folder = Folder(quiet_s=0.0)
    folder.known("p/", gone=True)
    assert folder.see(0.0, units={"p/": ONE}) == (Vanished("p/", gone=False),)
    assert folder.see(1.0, units={"p/": TWO}) == (HandOver("p/", TWO.digest, generation=2),)


def test_what_comes_back_with_other_times_is_another_generation_although_names_and_sizes_are_the_same() -> None:
    folder = Folder(quiet_s=0.0)
    folder.known("p/", newest_ns=1)
    # Touched while it is there, it is what it was.
    assert folder.see(0.0, units={"p/": ONE._replace(newest_ns=2)}) == ()
    (vanished,) = folder.see(1.0, names=frozenset({"other.tif"}))
    assert vanished == Vanished("p/", gone=True, newest_ns=2)
    folder.known("p/", gone=True, newest_ns=2)
    assert folder.see(2.0, units={"p/": ONE._replace(newest_ns=2)}) == (Vanished("p/", gone=False, newest_ns=2),)
    again = HandOver("p/", ONE.digest, generation=2, newest_ns=3)
    assert folder.see(3.0, units={"p/": ONE._replace(newest_ns=3)}) == (again,)


OLD, NEW, MOUNTED_AGAIN = Mark(inode=7, born_ns=70), Mark(inode=8, born_ns=80), Mark(inode=9, born_ns=70)
REUSED = Mark(inode=7, born_ns=80)
"""The inode of one that was deleted, as ext4 gives it to the next."""


def handed_over_as(mark: Mark, *, newest_ns: int, **settings: object) -> Folder:
    """A folder with one unit that is known by this mark and newest file."""
    folder = Folder(**settings)
    folder.known("p/", newest_ns=newest_ns, inode=mark.inode, born_ns=mark.born_ns)
    return folder


@pytest.mark.parametrize("mark", [NEW, REUSED, Mark(inode=8)])
def test_a_folder_that_is_made_anew_between_two_looks_is_another_generation(mark: Mark) -> None:
    folder = handed_over_as(OLD, newest_ns=1, quiet_s=5.0)
    assert folder.see(0.0, units={"p/": ONE._replace(newest_ns=1, mark=OLD)}) == ()
    # While it is written it is no change of what was handed over, however long it pauses.
    assert folder.see(1.0, units={"p/": seen([])._replace(mark=mark)}) == ()
    assert folder.see(100.0, units={"p/": seen([])._replace(mark=mark)}) == ()
    assert folder.folder.status().waiting[0].reason == "there is no file in it yet"
    now = ONE._replace(newest_ns=2, mark=mark)
    assert folder.see(101.0, units={"p/": now}) == ()
    again = HandOver("p/", ONE.digest, generation=2, newest_ns=2, mark=mark)
    assert folder.see(106.0, units={"p/": now}) == (again,)
    folder.known("p/", generation=2, newest_ns=2, inode=mark.inode, born_ns=mark.born_ns)
    assert folder.see(107.0, units={"p/": now}) == ()


@pytest.mark.parametrize("mark", [OLD, MOUNTED_AGAIN, NEW])
def test_a_folder_whose_files_have_their_times_is_what_it_was_under_whatever_mark(mark: Mark) -> None:
    # Moved away and back, mounted again, or restored.
    for look in ("of this life", "of the next life"):
        folder = handed_over_as(OLD, newest_ns=1, quiet_s=0.0)
        if look == "of this life":
            folder.see(0.0, units={"p/": ONE._replace(newest_ns=1, mark=OLD)})
        assert folder.see(1.0, units={"p/": ONE._replace(newest_ns=1, mark=mark)}) == ()


def test_a_touched_folder_is_what_it_was_also_where_each_mount_has_inodes_of_its_own() -> None:
    folder = handed_over_as(OLD, newest_ns=1, quiet_s=0.0)
    assert folder.see(0.0, units={"p/": ONE._replace(newest_ns=1, mark=MOUNTED_AGAIN)}) == ()
    # Written down, since the next life may see it under another mark again.
    noted = Vanished("p/", gone=False, newest_ns=2, mark=MOUNTED_AGAIN)
    assert folder.see(1.0, units={"p/": ONE._replace(newest_ns=2, mark=MOUNTED_AGAIN)}) == (noted,)
    folder.known("p/", newest_ns=2, inode=MOUNTED_AGAIN.inode, born_ns=MOUNTED_AGAIN.born_ns)
    assert folder.see(2.0, units={"p/": ONE._replace(newest_ns=2, mark=MOUNTED_AGAIN)}) == ()
    assert folder.see(3.0, units={"p/": ONE._replace(newest_ns=2, mark=OLD)}) == ()


@pytest.mark.parametrize("newest_ns", [0, 1])
def test_what_an_earlier_version_handed_over_is_what_is_there_and_its_mark_is_learnt(newest_ns: int) -> None:
    folder = handed_over_as(Mark(), newest_ns=newest_ns, quiet_s=0.0)
    now = ONE._replace(newest_ns=2, mark=OLD)
    assert folder.see(0.0, units={"p/": now}) == (Vanished("p/", gone=False, newest_ns=2, mark=OLD),)
    folder.known("p/", newest_ns=2, inode=OLD.inode, born_ns=OLD.born_ns)
    assert folder.see(1.0, units={"p/": now}) == ()
    assert len(folder.see(2.0, units={"p/": ONE._replace(newest_ns=3, mark=NEW)})) == 1


def test_late_files_in_the_folder_that_was_handed_over_are_compared_and_those_of_another_folder_are_new() -> None:
    for mark, found in ((OLD, Compare), (NEW, HandOver)):
        folder = handed_over_as(OLD, newest_ns=1, quiet_s=0.0)
        (one,) = folder.see(0.0, units={"p/": TWO._replace(newest_ns=2, mark=mark)})
        assert isinstance(one, found)


def test_loose_files_are_asked_about_when_one_rests_and_not_again_until_it_pays() -> None:
    folder = Folder()
    assert folder.see(0.0, loose={"a.tif": 1, "b.tif": 1}) == ()
    (group,) = folder.see(60.0, loose={"a.tif": 1, "b.tif": 2})
    assert group == Group(("a.tif", "b.tif"), frozenset({"a.tif"}), {"a.tif": 1, "b.tif": 2})
    assert folder.see(70.0, loose={"a.tif": 1, "b.tif": 2}) == ()


def test_loose_files_that_are_no_images_are_set_aside_until_they_change() -> None:
    folder = Folder(quiet_s=0.0)
    folder.see(0.0, loose={"a.txt": 1})
    folder.folder.set_aside(["a.txt"])
    assert folder.see(1.0, loose={"a.txt": 1}) == ()
    assert folder.folder.wish().aside == {"a.txt"}
    assert len(folder.see(2.0, loose={"a.txt": 2})) == 1


def test_loose_files_that_could_not_be_grouped_are_asked_about_again_and_say_why() -> None:
    folder = Folder(quiet_s=5.0)
    folder.see(0.0, loose={"a.tif": 1})
    assert len(folder.see(5.0, loose={"a.tif": 1})) == 1
    folder.folder.put_off(["a.tif"], "it took too long")
    assert len(folder.see(10.0, loose={"a.tif": 1})) == 1
    assert [one.reason for one in folder.folder.status().waiting] == ["it took too long"]
    assert not folder.folder.wish().aside


def test_a_fileset_waits_for_its_last_file_and_one_with_a_unit_s_file_is_that_unit() -> None:
    folder = Folder()
    folder.known("a1.tif", names=("a1.tif",))
    sizes = {"a2.tif": 1, "b.tif": 1, "c1.tif": 1, "c2.tif": 1, "d.txt": 1}
    asked = Group(tuple(sizes), frozenset(sizes) - {"c2.tif"}, sizes)
    groups = [{"a1.tif": 1, "a2.tif": 1}, {"b.tif": 1}, {"c1.tif": 1, "c2.tif": 1}]
    found, unread = handed_over(groups, asked, folder.folder.units)
    compare, new = found
    assert isinstance(compare, Compare)
    assert (compare.unit, compare.names) == ("a1.tif", ("a1.tif", "a2.tif"))
    assert isinstance(new, HandOver)
    assert (new.unit, new.names, unread) == ("b.tif", ("b.tif",), {"d.txt"})


def test_each_failure_of_one_doubles_its_own_pause_and_a_reason_is_news_once() -> None:
    pauses = Pauses(10.0)
    assert pauses.failed("p/", "no disk", now_s=0.0)
    assert [pauses.is_due("p/", now_s) for now_s in (9.0, 10.0)] == [False, True]
    assert not pauses.failed("p/", "no disk", now_s=10.0)
    assert [pauses.is_due("p/", now_s) for now_s in (29.0, 30.0)] == [False, True]
    assert pauses.failed("p/", "no room", now_s=30.0, longest_s=15.0)
    assert [pauses.is_due("p/", now_s) for now_s in (44.0, 45.0)] == [False, True]
    assert pauses.is_due("q/", 0.0)
    assert (pauses.over("p/"), pauses.over("p/"), pauses.is_due("p/", 31.0)) == (True, False, True)


def test_a_pause_that_nobody_waited_for_is_forgotten() -> None:
    pauses = Pauses(10.0)
    for number in range(100):
        pauses.failed(f"{number}.tif", "no disk", now_s=1000.0 * number)
    assert len(pauses) < 10


def test_why_a_unit_could_not_be_handed_over_is_said_until_it_is_away() -> None:
    folder = Folder()
    folder.known("p/", step="handing over", import_id="")
    folder.known("q/")
    folder.see(0.0, units={"p/": ONE, "q/": ONE})
    assert [one.reason for one in folder.folder.status().waiting] == ["it is being handed over"]
    folder.folder.fault("p/", "there is nothing")
    assert [one.reason for one in folder.folder.status().waiting] == ["there is nothing"]
    assert folder.see(1.0, units={"q/": ONE}) == (Vanished("p/", gone=True),)
    folder.known("p/", step="handing over", import_id="", gone=True)
    assert folder.folder.status().waiting == ()


def test_the_latest_record_of_a_unit_counts_and_a_checkpoint_keeps_that_alone() -> None:
    folder = Folder()
    folder.known("p/", step="handing over", import_id="")
    assert [one.unit for one in folder.folder.units.not_taken()] == ["p/"]
    folder.known("p/")
    assert folder.folder.units.not_taken() == ()
    (kept,) = folder.book.compacted()
    assert (kept.import_id, kept.key) == ("import-0001", "watch /in p/ 1")


@pytest.mark.parametrize(
    ("watches", "said"),
    [
        ((("/in", ""), ("/in/a", "")), "lie in each other"),
        ((("/in", "x"), ("/other", "x")), "called 'x'"),
        ((("/data/in", ""),), "data folder"),
        ((("/", ""),), "data folder"),
    ],
)
def test_watches_that_would_import_twice_are_refused(watches: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings(
            data=DataSettings(folder="/data"),
            watch=tuple(WatchSettings(path=path, name=name) for path, name in watches),
        )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"path": "in"}, "absolute"),
        ({"path": "/in", "sentinel": "../x"}, "sentinel"),
        ({"path": "/in", "mode": "in-place", "delete_source": True}, "in place"),
    ],
)
def test_a_watch_that_cannot_be_right_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        WatchSettings(**fields)  # type: ignore[arg-type]
