"""Folders of finished wells on this host: made once, found again, and within a number of bytes."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hcs_mesh.plates.omero.result_cache import ResultCache
from hcs_mesh.plates.omero.result_keys import ResultKey
from hcs_mesh.plates.omero.turns import Turns

A, B, C = (ResultKey(job="job", plate_id=1, well=well) for well in ("A01", "A02", "A03"))


def filled(n_bytes: int) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "file").write_bytes(bytes(n_bytes))

    return fill


def never(folder: Path) -> None:
    raise AssertionError("it is here")


def aged(folder: Path, age_s: int) -> None:
    moment = folder.stat().st_mtime - age_s
    os.utime(folder, (moment, moment))


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    folder = cache.find(A, filled(3))
    assert (folder / "file").stat().st_size == 3
    assert cache.find(A, never) == folder
    assert ResultCache(tmp_path).find(A, never) == folder


def test_what_could_not_be_made_whole_is_not_there(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        filled(3)(folder)
        raise ValueError("cut short")

    cache = ResultCache(tmp_path)
    with pytest.raises(ValueError, match="cut short"):
        cache.find(A, broken)
    assert (cache.find(A, filled(5)) / "file").stat().st_size == 5


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, n_bytes=250)
    aged(cache.find(A, filled(100)), 30)
    aged(cache.find(B, filled(100)), 20)
    cache.find(A, never)
    cache.find(C, filled(100))
    assert cache.find(A, never).exists()
    assert cache.find(C, never).exists()
    made = []
    cache.find(B, made.append)
    assert len(made) == 1


def test_what_was_half_removed_when_somebody_died_is_neither_found_nor_kept(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, n_bytes=250)
    folder = cache.find(A, filled(100))
    half = folder.rename(folder.with_name("A01.going"))
    made = []
    assert cache.find(A, made.append) == folder
    assert (len(made), half.exists()) == (1, False)


def test_the_folder_used_last_stays_however_large(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, n_bytes=10)
    assert (cache.find(A, filled(100)) / "file").exists()


def test_a_folder_that_is_there_is_taken_in_the_place_of_an_older_one(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    cache.find(A, filled(1))
    made = tmp_path / "made"
    made.mkdir()
    filled(7)(made)
    assert (cache.take(A, made) / "file").stat().st_size == 7
    assert not made.exists()


def test_whoever_comes_second_waits_for_a_name_and_not_for_others() -> None:
    turns, order, begun = Turns(), [], threading.Event()

    def second() -> None:
        begun.set()
        with turns.of("a"):
            order.append("second")

    thread = threading.Thread(target=second)
    with turns.of("a"):
        thread.start()
        assert begun.wait(30)
        with turns.of("b"):
            order.append("other")
        order.append("first")
    thread.join(30)
    assert order == ["other", "first", "second"]
