"""OMERO's own command line, unmodified, against the server: a client that knows nothing of ours."""

import json
import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omero.cli import CLI
from omero_people import Login

Omero = Callable[..., str]


@pytest.fixture
def command(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Omero]:
    """Runs the command line as the user, logged in; gives what it prints."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path / "omero"))
    # The script refuses to run as root; the commands that it is made of do not.
    cli = CLI()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a plugin that warns while it is loaded would be left out
        cli.loadplugins()

    def run(*arguments: str) -> str:
        capfd.readouterr()
        cli.invoke(list(arguments), strict=True)
        return capfd.readouterr().out

    run("login", "-s", login.host, "-p", str(login.port), "-u", login.user, "-w", login.password)
    yield run
    cli.close()


def test_objects_are_made_changed_asked_for_and_deleted(command: Omero) -> None:
    made = command("obj", "new", "Dataset", "name=from the command line").strip()
    assert made.startswith("Dataset:")
    command("obj", "update", made, "description=told")
    assert command("obj", "get", made, "description").strip() == "told"
    id = made.partition(":")[2]
    rows = command("hql", "-q", "--style", "plain", f"select d.id, d.name from Dataset d where d.id = {id}")
    assert rows.strip().splitlines() == [f"0,{id},from the command line"]
    project = command("obj", "new", "Project", "name=holder").strip()
    command("obj", "new", "ProjectDatasetLink", f"parent={project}", f"child={made}")
    assert "ok" in command("delete", project, made, "--force")
    gone = command("hql", "-q", "--style", "plain", f"select d.id from Dataset d where d.id = {id}")
    assert gone.strip() == ""


def test_a_file_goes_up_and_comes_down_unchanged(command: Omero, tmp_path: Path) -> None:
    source, back = tmp_path / "up.txt", tmp_path / "down.txt"
    source.write_text("hello " * 1000)
    made = command("upload", str(source)).strip().splitlines()[-1]
    command("download", made, str(back))
    assert back.read_text() == source.read_text()


def test_the_session_is_listed_and_ended(command: Omero, login: Login) -> None:
    assert login.user in command("sessions", "list")
    command("logout")


def test_the_people_of_a_real_server_are_made_by_commands_that_there_are(checkout: Path) -> None:
    recipe = (checkout / "tests" / "omero" / "compose.yaml").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^#   \S+/omero (.*)$", recipe, re.MULTILINE)]
    cli = CLI()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cli.loadplugins()
    said = [cli.parser.parse_args(command) for command in commands]
    cli.close()
    (written,) = re.findall(r"^#   echo '(.*)' > people.json$", recipe, re.MULTILINE)
    passwords = {one.username: one.userpassword for one in said if hasattr(one, "userpassword")}
    assert {role: tuple(login) for role, login in json.loads(written).items()} == {
        name: (name, password) for name, password in passwords.items()
    }
    assert set(passwords) == {"ada", "grace"}
