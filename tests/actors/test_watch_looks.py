"""How seldom a look at a watched folder reads all its names, and what that may never cost."""

import os
import time
from pathlib import Path

import pytest

from hcs_mesh.actors.watching import eye
from hcs_mesh.actors.watching.sight import Wish
from hcs_mesh.config import WatchSettings
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
