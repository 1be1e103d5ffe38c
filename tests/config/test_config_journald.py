"""Logs as systemd's journal takes them."""

import logging
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from hcs_mesh.config import LogSettings, get_logger, start_logging


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    """Give the root logger back its handlers, which a process of the mesh replaces."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as reader, open(writing, "w", encoding="utf-8") as writer:  # noqa: PTH123
        yield reader, writer


def logged(pipe: tuple[TextIO, TextIO], settings: LogSettings) -> list[str]:
    reader, writer = pipe
    start_logging(settings, terminal=writer)
    log = get_logger("hcs_mesh.test")
    log.info("child started", name="executor")
    log.warning("disk 95 % full")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("a fault")
    writer.close()
    return reader.read().splitlines()


def named(writer: TextIO) -> str:
    found = os.fstat(writer.fileno())
    return f"{found.st_dev}:{found.st_ino}"


def test_the_journal_gets_a_priority_before_each_line_and_neither_time_nor_colours(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", named(pipe[1]))
    lines = logged(pipe, LogSettings())
    assert lines[0].startswith("<6>[info")
    assert "child started" in lines[0]
    assert "name=executor" in lines[0]
    assert lines[1].startswith("<4>[warning")
    assert len(lines) > 5
    assert all(line.startswith("<3>") for line in lines[2:])
    assert "ValueError: two" in "".join(lines)
    assert not any("\x1b" in line or "T00:" in line or "Z " in line for line in lines)


def test_json_stays_json_in_the_journal(pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", named(pipe[1]))
    lines = logged(pipe, LogSettings(format="json"))
    assert [line[:4] for line in lines] == ["<6>{", "<4>{", "<3>{"]


def test_a_pipe_that_is_not_the_journal_is_a_pipe(pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    assert all(line.startswith("{") for line in logged(pipe, LogSettings()))
