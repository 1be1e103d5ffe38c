"""What the command line does before it reaches any mesh: usage, settings, journals, doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from click.testing import Result
from typer.testing import CliRunner

from hcs_mesh.__main__ import app
from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.command_line.options import full_id, wells_of
from hcs_mesh.command_line.running import journal_folders
from hcs_mesh.layout import DataLayout
from hcs_mesh.transport import KeyRing

COMMANDS = {
    "up", "down", "status", "ps", "import", "imports", "plates", "plate", "run", "jobs", "results", "view", "demo",
    "doctor", "config", "journal", "web", "keys", "notices", "omero", "service",
    "console", "inspect", "tail", "restart", "pause", "resume", "trace",
}  # fmt: skip
HEAVY = (
    "cv2",
    "scipy",
    "skimage",
    "matplotlib",
    "napari",
    "tifffile",
    "zmq",
    "uvloop",
    "numpy",
    "structlog",
    "httpx",
    "aiosmtplib",
    "msgspec",
)


class Done:
    """What a command left behind."""

    def __init__(self, *words: str) -> None:
        result = CliRunner().invoke(app, list(words))
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr

    @property
    def error(self) -> dict[str, str]:
        """The object that machines read on standard error."""
        told: dict[str, str] = json.loads(self.err)
        return told


@pytest.fixture(autouse=True)
def no_settings_of_this_computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HCS_MESH_DATA", raising=False)
    monkeypatch.delenv("HCS_MESH_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def test_every_command_of_the_table_is_there() -> None:
    command = typer.main.get_command(app)
    assert set(command.commands) >= COMMANDS  # type: ignore[attr-defined]


def test_without_words_the_commands_are_listed() -> None:
    done = Done("--help")
    assert done.code == 0
    assert "import" in done.out


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("status", "--nonsense"), ("plate", "one"), ("run", "1"), ("imports", "retry"), ("view", "cinema")],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(words: tuple[str, ...]) -> None:
    assert Done(*words).code == 2


def test_wrong_usage_is_an_error_object_for_machines() -> None:
    done = Done("status", "--nonsense", "--json")
    assert done.code == 2
    assert "--nonsense" in done.error["error"]
    assert done.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("ps",),
        ("plates",),
        ("plate", "1"),
        ("imports",),
        ("imports", "1"),
        ("imports", "cancel", "1"),
        ("jobs",),
        ("jobs", "1"),
        ("jobs", "cancel", "1"),
        ("results", "1"),
        ("view", "recorder"),
        ("import", "."),
    ],
    ids=" ".join,
)
def test_without_a_mesh_each_command_says_how_to_start_one(words: tuple[str, ...], tmp_path: Path) -> None:
    data = tmp_path / "nothing"
    done = Done(*words, "--data", str(data), "--json")
    assert done.code == 1
    assert done.error["error"] == f"no mesh is up on {data}"
    assert done.error["hint"] == f"hcs-mesh up --detach --data {data}"
    assert not data.exists(), "asking makes no folder"


def test_people_get_the_message_and_the_hint_without_a_traceback(tmp_path: Path) -> None:
    done = Done("status", "--data", str(tmp_path))
    assert done.code == 1
    assert done.err == f"error: no mesh is up on {tmp_path}\nhint:  hcs-mesh up --detach --data {tmp_path}\n"


@pytest.mark.parametrize(
    "words",
    [("--data", "{}", "imports", "--json"), ("imports", "--data", "{}", "--json", "1")],
    ids=["global", "group"],
)
def test_data_and_json_may_stand_before_the_last_word(words: tuple[str, ...], tmp_path: Path) -> None:
    done = Done(*(word.format(tmp_path) for word in words))
    assert done.error["error"] == f"no mesh is up on {tmp_path}"


def test_that_no_mesh_is_up_is_success_for_down(tmp_path: Path) -> None:
    done = Done("down", "--data", str(tmp_path), "--json")
    assert done.code == 0
    assert json.loads(done.out) == {"stopped": False, "pid": None, "data": str(tmp_path)}


def test_numbers_stand_for_whole_ids() -> None:
    assert full_id("import", "7") == "import-0007"
    assert full_id("job", "job-0007") == "job-0007"


def test_a_pipeline_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = Done("run", "1", str(tmp_path / "none.py"), "--data", str(tmp_path), "--json")
    assert done.code == 1
    assert str(tmp_path / "none.py") in done.error["error"]


def test_a_well_that_is_none_is_refused(tmp_path: Path) -> None:
    pipeline = tmp_path / "p.py"
    pipeline.write_text("pipeline = 1")
    for wells in ("A01,what", "", ",", "A01,", " , B02"):
        done = Done("run", "1", str(pipeline), "--wells", wells, "--data", str(tmp_path), "--json")
        assert done.code == 2, wells
        assert "'what' is not a well" in done.error["error"] or "names no well" in done.error["error"]


def test_wells_are_taken_as_vendors_write_them() -> None:
    assert wells_of("a1, B7,b07") == ("A01", "B07")
    assert wells_of(None) == ()


@pytest.mark.parametrize("name", ["a\nb\033[31mred", "\udcff", "right\u202eleft"], ids=ascii)
def test_a_name_that_a_terminal_would_obey_is_refused(name: str, tmp_path: Path) -> None:
    done = Done("import", str(tmp_path), "--name", name, "--data", str(tmp_path), "--json")
    assert done.code == 2
    assert "control characters" in done.error["error"]
    assert not set(done.err.rstrip("\n")) & set(name.replace("\\", "")) & set("\n\033\udcff\u202e")


@pytest.mark.parametrize("words", [("--bogus", "--json"), ("--json", "--bogus"), ("nonsense", "--json")], ids=" ".join)
def test_wrong_usage_before_any_command_is_an_error_object_too(words: tuple[str, ...]) -> None:
    done = Done(*words)
    assert done.code == 2
    assert done.error.keys() == {"error", "hint"}


@pytest.mark.parametrize("place", ["foo", "host:", ":7777", "host:port", "127.0.0.1:99999"])
def test_a_place_to_listen_at_that_is_none_is_wrong_usage(place: str, tmp_path: Path) -> None:
    done = Done("up", "--listen", place, "--data", str(tmp_path / "data"), "--json")
    assert done.code == 2
    assert "--listen" in done.error["error"]


def test_every_command_takes_json() -> None:
    def without(command: Any, name: str) -> list[str]:
        if hasattr(command, "commands"):
            return [one for word, sub in command.commands.items() for one in without(sub, f"{name} {word}")]
        return [] if any("--json" in option.opts for option in command.params) else [name]

    assert without(typer.main.get_command(app), "hcs-mesh") == []


def test_numbers_of_any_length_stand_for_ids() -> None:
    assert full_id("job", "9" * 5000) == f"job-{'9' * 5000}"
    assert full_id("job", "00000000007") == "job-0007"


def test_config_check_names_the_wrong_key_and_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[imports]\nsettle = 3\n")
    done = Done("config", "check", "--config", str(file), "--json")
    assert done.code == 1
    assert "imports.settle is not a setting" in done.error["error"]
    assert "imports.settle_s" in done.error["hint"]


def test_config_show_says_who_decided(tmp_path: Path) -> None:
    done = Done("config", "show", "--data", str(tmp_path))
    assert done.code == 0
    assert f'folder = "{tmp_path}"  # --data' in done.out
    told = json.loads(Done("config", "show", "--data", str(tmp_path), "--json").out)
    assert told["data_folder"] == str(tmp_path)
    assert told["origins"]["front.tcp_port"] == "default"


def test_a_journal_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "journal" / "imports").mkdir(parents=True)
    with pytest.raises(CommandFailed, match="no journal 'mail'") as raised:
        journal_folders(tmp_path, "mail")
    assert "imports" in raised.value.hint
    assert journal_folders(tmp_path, "") == [tmp_path / "journal" / "imports"]


def test_doctor_says_what_it_looked_at(tmp_path: Path) -> None:
    findings = json.loads(Done("doctor", "--data", str(tmp_path), "--json").out)
    looked_at = {finding["name"] for finding in findings}
    assert {"Python", "packages", "data folder", "file system", "shared memory", "open files", "GPU"} <= looked_at
    assert all(finding["mend"] for finding in findings if finding["state"] == "missing")


def test_doctor_finds_a_data_folder_that_cannot_be_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    done = Done("doctor", "--data", str(file / "data"), "--json")
    assert done.code == 1
    assert "data folder" in done.error["error"]


def test_a_demo_leaves_a_folder_alone_that_no_demo_made(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = Done("demo", "--data", str(tmp_path), "--json")
    assert done.code == 1
    assert "no demo made" in done.error["error"]
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_the_version_needs_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['hcs-mesh', '--version']\n"
        "from hcs_mesh.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"loaded = set({HEAVY!r}) & set(sys.modules)\nassert not loaded, loaded\n"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("hcs-mesh ")


def test_a_question_loads_nothing_that_computes_or_keeps_logs(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.argv = ['hcs-mesh', 'status', '--data', {str(tmp_path)!r}]\n"
        "from hcs_mesh.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert ended.code == 1, ended.code\n"
        f"loaded = set({HEAVY!r}) & set(sys.modules)\n"
        "assert loaded == {'zmq', 'msgspec'}, loaded\n"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_what_nobody_foresaw_is_one_line_and_a_log(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.argv = ['hcs-mesh', 'plates', '--data', {str(tmp_path)!r}]\n"
        "import hcs_mesh.command_line.asking as asking\n"
        "def broken(question): raise ZeroDivisionError('a planted fault')\n"
        "asking.plates = broken\n"
        "from hcs_mesh.__main__ import main\nmain()\n"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    log = tmp_path / "logs" / "commands.log"
    first, second = result.stderr.splitlines()
    assert first == "error: this is a fault in hcs-mesh: ZeroDivisionError: a planted fault"
    assert second == f"hint:  the log holds the traceback: {log}"
    assert "Traceback" in log.read_text()


def test_a_name_that_is_let_in_takes_no_other_key_and_its_own_takes_another_role(tmp_path: Path) -> None:
    def allow(public: str, role: str) -> Result:
        return CliRunner().invoke(app, ["keys", "allow", "zoe", public, "--role", role, "--data", str(tmp_path)])

    assert allow("a" * 40, "user").exit_code == 0
    refused = allow("b" * 40, "administrator")
    assert refused.exit_code == 1
    assert "zoe is let in already (user)" in refused.output
    assert allow("a" * 40, "viewer").exit_code == 0
    ((principal, public),) = KeyRing(DataLayout(tmp_path).allowed_keys).allowed()
    assert (principal.name, principal.role, public) == ("zoe", "viewer", "a" * 40)


def test_a_public_key_that_begins_with_a_dash_is_no_option(tmp_path: Path) -> None:
    # Z85 has dashes, so one key in 85 begins with one.
    public = "-" + "a" * 39
    done = CliRunner().invoke(
        app, ["keys", "allow", "ann", public, "--role", "user", "--data", str(tmp_path), "--json"]
    )
    assert done.exit_code == 0, done.output
    listed = CliRunner().invoke(app, ["keys", "list", "--data", str(tmp_path), "--json"])
    assert public in listed.output
