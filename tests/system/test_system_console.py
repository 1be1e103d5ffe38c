"""The console in a real terminal, and the commands that look inside, against a real mesh."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport import load_or_create_pair

LIMIT_S = 60.0


class Terminal:
    """A terminal of tmux in which one command runs."""

    def __init__(self, folder: Path, environment: dict[str, str], command: list[str]) -> None:
        self._socket = str(folder / "tmux")
        self._ended = folder / "status"
        names = ("HCS_MESH_DATA", "HCS_MESH_CONFIG")
        # Lines and columns too: what they say in the environment would count for more than the terminal itself.
        size = {"COLUMNS": "170", "LINES": "56"}
        values = {**{name: environment[name] for name in names}, **size}
        given = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
        # The status appears whole: a file that is there says how the command ended.
        keeping = '"$@"; echo $? > "$0.part"; mv "$0.part" "$0"'
        watched = ["sh", "-c", keeping, str(self._ended), *command]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "170", "-y", "56", *given, *watched)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def tmux(self, *words: str) -> str:
        """One command of tmux."""
        done = subprocess.run(["tmux", "-S", self._socket, *words], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def press(self, *keys: str) -> None:
        """Press keys."""
        self.tmux("send-keys", *keys)

    def until(self, pattern: str) -> str:
        """The screen once it shows what the pattern says."""
        end = time.monotonic() + LIMIT_S
        while True:
            screen = self.tmux("capture-pane", "-p")
            if re.search(pattern, screen):
                return screen
            assert time.monotonic() < end, f"{pattern!r} did not appear in {LIMIT_S:g} s:\n{screen}"

    def until_gone(self, pattern: str) -> None:
        """Come back once the screen shows nothing of what the pattern says."""
        end = time.monotonic() + LIMIT_S
        while re.search(pattern, screen := self.tmux("capture-pane", "-p")):
            assert time.monotonic() < end, f"{pattern!r} was there for {LIMIT_S:g} s:\n{screen}"

    def exit_status(self) -> int:
        """How the command ended, once it has: its shell keeps the status, whatever the screen and tmux show."""
        end = time.monotonic() + LIMIT_S
        while not self._ended.exists():
            assert time.monotonic() < end, (
                f"the command has not ended in {LIMIT_S:g} s:\n{self.tmux('capture-pane', '-p')}"
            )
            time.sleep(0.05)
        return int(self._ended.read_text())

    def close(self) -> None:
        """End whatever still runs in it."""
        self.tmux("kill-server")


@pytest.fixture
def terminal(mesh: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Terminal]]:
    """Opens a command of the mesh in a terminal."""
    opened: list[Terminal] = []

    def open_one(*words: str) -> Terminal:
        command = [sys.executable, "-P", "-m", "hcs_mesh", *words]
        opened.append(Terminal(tmp_path_factory.mktemp("t"), mesh.environment, command))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_the_console_shows_the_mesh_and_restarts_pauses_and_resumes(
    mesh: Any, terminal: Callable[..., Terminal]
) -> None:
    screen = terminal("console", "--control")
    shown = screen.until(r"executor\.cpu1 +running")
    assert "owner (administrator), CONTROL" in shown
    before = mesh.rows()["inspector"]["pid"]
    # The cursor goes down to the metadata cache.
    names = [line.split()[0] for line in shown.splitlines() if re.search(r" (running|paused)\b", line)]
    screen.press(*["Down"] * names.index("metadata"))
    screen.until("metadata: actor under catalogue")
    screen.press("p")
    screen.until(r"Pause metadata\?")
    screen.press("y")
    screen.until(r"metadata +paused")
    assert mesh.rows()["metadata"]["state"] == "paused"
    screen.press("p")
    screen.until(r"Resume metadata\?")
    screen.press("y")
    screen.until(r"metadata +running")
    screen.press(*["Down"] * (names.index("inspector") - names.index("metadata")))
    screen.until("inspector: process under inspectors")
    screen.press("r")
    screen.until(r"Restart inspector\?")
    screen.press("n")
    # Or the next key would still be pressed in the question, which heeds it not.
    screen.until_gone(r"Restart inspector\?")
    screen.press("r")
    screen.until(r"Restart inspector\?")
    screen.press("y")
    screen.until(r"inspector +running +\d+ +.* 1 ")
    assert mesh.rows()["inspector"]["pid"] != before
    screen.press("5")
    screen.until("occurrence=started supervisor=inspectors child=inspector")
    screen.press("q")
    assert screen.exit_status() == 0


def test_of_the_root_the_console_says_what_restarts_it(mesh: Any, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("console", "--control")
    screen.until(r"executor\.cpu1 +running")
    # The cursor is on the first line.
    screen.press("r")
    screen.until(r"Restart mesh\?")
    screen.press("y")
    screen.until(r"mesh cannot be restarted:[\s\S]* --join\b")
    screen.press("q")
    assert screen.exit_status() == 0


def test_without_control_the_console_only_shows(mesh: Any, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("console")
    shown = screen.until(r"executor\.cpu1 +running")
    assert "read-only" in shown
    screen.press("Down", "r")
    screen.until("read-only: start with hcs-mesh console --control")
    screen.press("q")
    assert screen.exit_status() == 0


def test_work_is_told_in_the_facilitys_words(mesh: Any, terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    write_plate(tmp_path / "plate", Recipe(name="Screen 7", n_rows=2, n_columns=2, n_fields=1, size_px=256))
    plate = mesh.imported(tmp_path / "plate")
    nuclei = Path(__file__).parents[2] / "examples" / "pipelines" / "nuclei.py"
    job = mesh("run", plate, nuclei).value["job"]
    screen = terminal("console")
    screen.until("running")
    screen.press("2")
    screen.until(rf"import-0001 +done +done +100 % +{plate} +owner")
    screen.press("3")
    screen.until(rf"{job} +done +{plate} .*4 of 4")
    screen.press("4")
    shown = screen.until(r"jobs: the latest")
    assert re.search(r"^ *\d+ +import\.\w+", shown, re.MULTILINE)
    assert re.search(r"^ *\d+ +job\.\w+", shown, re.MULTILINE)
    # The job's message is followed from the front to the executors' processes.
    hops = mesh("trace", "compute.submit").value
    assert {hop["trace"] for hop in hops} == {hops[0]["trace"]}
    assert len({hop["pid"] for hop in hops}) >= 2
    assert [hop["actor"] for hop in hops][:2] == ["scheduler", "metadata"]
    assert sum(hop["message"] == "compute.run_well" for hop in hops) == 4
    assert mesh("trace", hops[0]["trace"][:8]).value == hops
    assert hops[0]["trace"] in {hop["trace"] for hop in mesh("trace").value}


def test_a_job_without_trouble_has_nothing_to_retry(mesh: Any, tmp_path: Path) -> None:
    write_plate(tmp_path / "plate", Recipe(name="One", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    plate = mesh.imported(tmp_path / "plate")
    nuclei = Path(__file__).parents[2] / "examples" / "pipelines" / "nuclei.py"
    job = mesh("run", plate, nuclei, "--wait").value["job"]
    assert "nothing to retry" in mesh("jobs", "retry", job).refusal


def test_the_console_works_on_a_mesh_elsewhere(mesh_up: Callable[..., Any], tmp_path_factory: Any) -> None:
    port = free_port()
    with mesh_up(more_settings=f'\n[front]\ntcp_host = "127.0.0.1"\ntcp_port = {port}\n') as far:
        public = far("keys", "show").value["public"]
        secret = far.data / "keys" / "owner.secret"
        there = ["--mesh", f"tcp://127.0.0.1:{port}", "--mesh-key", public, "--key", str(secret)]
        nowhere = {**far.environment, "HCS_MESH_DATA": str(tmp_path_factory.mktemp("nothing"))}
        command = [sys.executable, "-P", "-m", "hcs_mesh", *there, "console", "--control"]
        screen = Terminal(tmp_path_factory.mktemp("t"), nowhere, command)
        try:
            shown = screen.until(r"executor\.cpu1 +running")
            assert str(far.data) in shown
            assert "owner (administrator), CONTROL" in shown
            screen.press("q")
            assert screen.exit_status() == 0
        finally:
            screen.close()


def test_a_killed_process_is_told_with_its_error(mesh: Any) -> None:
    before = mesh.rows()["executor.cpu0"]
    os.kill(before["pid"], signal.SIGKILL)
    end = time.monotonic() + LIMIT_S
    while mesh.rows()["executor.cpu0"]["pid"] in (None, before["pid"]):
        assert time.monotonic() < end
    told = mesh("inspect", "executor.cpu0").value
    assert told["row"]["restarts"] == before["restarts"] + 1
    failed = [one for one in told["incidents"] if one["occurrence"] == "failed"]
    assert "SIGKILL" in failed[-1]["error"]
    lines = [line["text"] for line in mesh("tail", "executor.cpu0", "--lines", 50).value]
    assert [line for line in lines if "occurrence=failed" in line]


def test_restart_pause_and_resume_are_commands_too(mesh: Any) -> None:
    before = mesh.rows()["inspector"]["pid"]
    assert mesh("restart", "inspector").value["state"] == "running"
    assert mesh.rows()["inspector"]["pid"] != before
    assert mesh("pause", "inspector").value == {"name": "inspector", "paused": True}
    end = time.monotonic() + LIMIT_S
    while mesh.rows()["inspector"]["state"] != "paused":
        assert time.monotonic() < end
    assert mesh("resume", "inspector").value["paused"] is False
    assert mesh("pause", "metadata").value["paused"] is True
    assert mesh.rows()["metadata"]["state"] == "paused"
    assert mesh("resume", "metadata").value["paused"] is False
    assert mesh("plates").code == 0


def test_for_machines_the_console_is_one_value(mesh: Any) -> None:
    told = mesh("console").value
    assert {"mesh", "rows", "imports", "jobs", "silent"} <= set(told)
    assert {"control", "console", "imports"} <= {row["name"] for row in told["rows"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("inspect", "nobody"), "nobody"),
        (("restart", "nobody"), "nobody"),
        (("restart", "mesh"), "mesh cannot be restarted: "),
        (("pause", "executors"), "executors cannot be paused"),
        (("pause", "console"), "console cannot be paused"),
        (("tail", "nobody"), "nobody"),
        (("trace", "nothing"), "nothing"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_what_cannot_be_done_is_one_clear_sentence(mesh: Any, words: tuple[str, ...], said: str) -> None:
    assert said in mesh(*words).refusal


def test_a_key_that_may_not_changes_nothing(mesh: Any, tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    secret = tmp_path / "bo.secret"
    public = load_or_create_pair(secret).public
    assert mesh("keys", "allow", "bo", public, "--role", "user").code == 0
    for word in ("restart", "pause", "resume"):
        assert "not for bo (user)" in mesh(word, "metadata", "--key", secret).refusal
    assert mesh("inspect", "metadata", "--key", secret).value["row"]["state"] == "running"
    screen = terminal("console", "--control", "--key", str(secret))
    screen.until("bo is user, and only an administrator's key may control the mesh")
