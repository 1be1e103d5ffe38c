"""The end of a log is read on where the file was turned over."""

from __future__ import annotations

import json
from pathlib import Path

from hcs_mesh.actors.console.log_tail import read_log


def write(file: Path, *texts: str, actor: str = "imports") -> None:
    with file.open("a", encoding="utf-8") as log:
        log.writelines(json.dumps({"event": text, "actor": actor}) + "\n" for text in texts)


def turn_over(file: Path) -> None:
    file.rename(file.with_name(file.name + ".1"))


def test_the_last_lines_are_read_across_the_turn(tmp_path: Path) -> None:
    log = tmp_path / "hub.jsonl"
    write(log, "one", "two", "three")
    turn_over(log)
    write(log, "four")
    assert [line.text for line in read_log(log, "imports", n_lines=3).lines] == ["two", "three", "four"]


def test_who_has_no_line_in_the_new_file_is_found_in_the_one_before(tmp_path: Path) -> None:
    log = tmp_path / "hub.jsonl"
    write(log, "one")
    turn_over(log)
    write(log, "another's", actor="control")
    assert [line.text for line in read_log(log, "imports", n_lines=20).lines] == ["one"]


def test_who_follows_a_log_loses_no_line_when_it_is_turned_over(tmp_path: Path) -> None:
    log = tmp_path / "hub.jsonl"
    write(log, *(f"line {n}" for n in range(50)))
    first = read_log(log, "imports", n_lines=5)
    write(log, "before the turn")
    turn_over(log)
    write(log, "after it")
    followed = read_log(log, "imports", n_lines=100, since=first.end)
    assert [line.text for line in followed.lines] == ["before the turn", "after it"]
    write(log, "and on")
    assert [line.text for line in read_log(log, "imports", n_lines=100, since=followed.end).lines] == ["and on"]


def test_who_follows_a_log_and_stood_still_is_told_every_line(tmp_path: Path) -> None:
    log = tmp_path / "hub.jsonl"
    write(log, *("before" for _ in range(10)))
    told, end = [], read_log(log, "imports", n_lines=5).end
    write(log, *(f"line {n}" for n in range(12)))
    turn_over(log)
    write(log, "after the turn")
    for _ in range(4):
        tail = read_log(log, "imports", n_lines=5, since=end)
        assert len(tail.lines) <= 5
        told += [line.text for line in tail.lines]
        end = tail.end
    assert told == [*(f"line {n}" for n in range(12)), "after the turn"]
