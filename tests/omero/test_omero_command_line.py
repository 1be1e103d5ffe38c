"""OMERO's own command line, unmodified, against the server: a client that knows nothing of ours."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omero_people import Login

# The omero script refuses to run as root; its module does not.
RUN = "import sys; from omero.cli import argv; sys.argv[0] = 'omero'; sys.exit(argv())"
Omero = Callable[..., str]


@pytest.fixture
def omero(login: Login, tmp_path: Path) -> Omero:
    """Runs the command line as the user, logged in; gives what it prints."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", RUN, *arguments],
            env={"HOME": str(tmp_path), "OMERO_USERDIR": str(tmp_path / "omero"), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    run("login", "-s", login.host, "-p", str(login.port), "-u", login.user, "-w", login.password)
    return run


def test_objects_are_made_changed_asked_for_and_deleted(omero: Omero) -> None:
    made = omero("obj", "new", "Dataset", "name=from the command line").strip()
    assert made.startswith("Dataset:")
    omero("obj", "update", made, "description=told")
    assert omero("obj", "get", made, "description").strip() == "told"
    id = made.partition(":")[2]
    rows = omero("hql", "-q", "--style", "plain", f"select d.id, d.name from Dataset d where d.id = {id}")
    assert rows.strip().splitlines() == [f"0,{id},from the command line"]
    project = omero("obj", "new", "Project", "name=holder").strip()
    omero("obj", "new", "ProjectDatasetLink", f"parent={project}", f"child={made}")
    assert "ok" in omero("delete", project, made, "--force")
    gone = omero("hql", "-q", "--style", "plain", f"select d.id from Dataset d where d.id = {id}")
    assert gone.strip() == ""


def test_a_file_goes_up_and_comes_down_unchanged(omero: Omero, tmp_path: Path) -> None:
    source, back = tmp_path / "up.txt", tmp_path / "down.txt"
    source.write_text("hello " * 1000)
    made = omero("upload", str(source)).strip().splitlines()[-1]
    omero("download", made, str(back))
    assert back.read_text() == source.read_text()


def test_the_session_is_listed_and_ended(omero: Omero, login: Login) -> None:
    assert login.user in omero("sessions", "list")
    omero("logout")
