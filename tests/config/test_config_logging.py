"""Logs go where the process says, and nowhere before it says so."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


def test_events_are_json_lines_in_the_file_and_readable_on_the_terminal(tmp_path: Path) -> None:
    terminal = io.StringIO()
    start_logging(LogSettings(format="plain"), file=tmp_path / "logs" / "hub.jsonl", terminal=terminal)
    get_logger("hcs_mesh.test").info("child started", name="executor", process=7)
    entry = json.loads((tmp_path / "logs" / "hub.jsonl").read_text(encoding="utf-8"))
    assert entry["event"] == "child started"
    assert entry["name"] == "executor"
    assert entry["process"] == 7
    assert entry["level"] == "info"
    assert entry["logger"] == "hcs_mesh.test"
    assert entry["timestamp"].endswith("Z")
    assert "child started" in terminal.getvalue()
    assert "name=executor" in terminal.getvalue()


def test_a_pipe_gets_json(tmp_path: Path) -> None:
    terminal = io.StringIO()
    start_logging(LogSettings(), terminal=terminal)
    get_logger("hcs_mesh.test").warning("disk 95 % full: 100%s")
    assert json.loads(terminal.getvalue())["event"] == "disk 95 % full: 100%s"


def test_entries_below_the_level_are_left_out() -> None:
    terminal = io.StringIO()
    start_logging(LogSettings(level="warning"), terminal=terminal)
    get_logger("hcs_mesh.test").info("not kept")
    assert terminal.getvalue() == ""


def test_an_error_is_logged_with_its_traceback(tmp_path: Path) -> None:
    terminal = io.StringIO()
    start_logging(LogSettings(format="json"), terminal=terminal)
    try:
        raise ValueError("the reason")
    except ValueError:
        get_logger("hcs_mesh.test").exception("failed", well="A01")
    entry = json.loads(terminal.getvalue())
    assert "ValueError: the reason" in entry["exception"]
    assert entry["well"] == "A01"


def test_other_libraries_reach_the_same_places() -> None:
    terminal = io.StringIO()
    start_logging(LogSettings(format="json"), terminal=terminal)
    logging.getLogger("another.library").warning("%d files", 3)
    assert json.loads(terminal.getvalue())["event"] == "3 files"


def test_an_embedder_finds_events_in_its_own_handlers(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().addHandler(caplog.handler)
    get_logger("hcs_mesh.test").warning("well set aside", well="A01")
    assert caplog.records[-1].getMessage() == "well set aside"
    assert caplog.records[-1].fields == {"well": "A01"}  # type: ignore[attr-defined]


def test_importing_the_mesh_attaches_no_handler() -> None:
    program = "import logging, hcs_mesh.config; assert not logging.getLogger().handlers, logging.getLogger().handlers"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_line_is_no_longer_for_what_it_repeats(form: str, tmp_path: Path) -> None:
    terminal = io.StringIO()
    start_logging(LogSettings(format=form), file=tmp_path / "hub.jsonl", terminal=terminal)  # type: ignore[arg-type]
    endless = "x" * 1_000_000
    try:
        raise ValueError(endless) from KeyError(endless)
    except ValueError:
        get_logger("hcs_mesh.test").exception(
            f"refused {endless}", well="A01", path=endless, folders=[endless, endless]
        )
    for written in (terminal.getvalue(), (tmp_path / "hub.jsonl").read_text(encoding="utf-8")):
        assert "refused xxx" in written
        # Neither takes the other's place.
        assert "KeyError: 'xxx" in written
        assert "ValueError: xxx" in written
        assert "A01" in written
        assert len(written) < 100_000
