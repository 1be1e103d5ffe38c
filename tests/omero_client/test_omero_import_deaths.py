"""Imports through deaths of the client, of the server, and of both: one fileset, one plate, whatever the moment."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import omero_imports
import pytest
from omero_imports import METAXPRESS, ask, importable, importing, n_of, secret, wait_held
from omero_plates import logged_in

from omero_server.running import RunningServer

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]
__all__ = ["secret"]

STEPS = (
    "ManagedRepository.importFileset",
    "RawFileStore.write",
    "RawFileStore.close",
    "ManagedRepository.verifyChecksums",
    "ImportProcess.verifyUpload",
    "ManagedRepository.import",
    "IUpdate.saveArray",
)


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("ManagedRepository.importFileset", True),
        ("RawFileStore.write", False),
        ("RawFileStore.close", True),
        ("ManagedRepository.verifyChecksums", False),
        ("ImportProcess.verifyUpload", False),
        ("ImportProcess.verifyUpload", True),
        ("ManagedRepository.import", True),
        ("ManagedRepository.pixelData", False),
        ("IUpdate.saveArray", True),
    ],
)
def test_a_server_that_dies_at_any_step_has_imported_once(
    own_omero: RunningServer, secret: Path, shared_data: Path, step: str, after: bool
) -> None:
    with importing(own_omero, users=(), minter=secret, patience_s=3.0) as desk:
        one = desk.of("import-0001", importable(shared_data / METAXPRESS))
        own_omero.control.tell("kill_at", operation=step, nth=1, after=after)

        def restart() -> None:
            own_omero.wait_until_dead()
            own_omero.start()

        again = threading.Thread(target=restart)
        again.start()
        ids = one.driven(n_tries=200)
        again.join()
        assert one.register() == ids
        assert (n_of(own_omero, "Fileset"), n_of(own_omero, "Plate"), n_of(own_omero, "Image")) == (1, 1, 1)
        assert one.bytes_at(own_omero) == one.bytes_here()
        with logged_in(own_omero, "ada") as client:
            # Without it nobody can read the image's pixels.
            assert ask(client, "select img.series from Image img") == [[0]]


def start(
    server: RunningServer, secret: Path, source: Path, journal: Path, *, patience_s: float = 60.0
) -> subprocess.Popen[bytes]:
    """A process that imports, and goes on from the journal of an earlier one."""
    at = [server.host, str(server.port), str(server.certificate), str(secret)]
    what = ["import-0001", str(source), str(journal), str(patience_s)]
    return subprocess.Popen([sys.executable, omero_imports.__file__, *at, *what], stdout=subprocess.PIPE)


def killed_at(server: RunningServer, step: str, first: subprocess.Popen[bytes]) -> None:
    """End a process while the server holds a call of it."""
    wait_held(server, step)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()


def check_imported_once(server: RunningServer, second: subprocess.Popen[bytes]) -> None:
    said, _ = second.communicate(timeout=100)
    assert (second.returncode, said[:1]) == (0, b"("), said
    assert (n_of(server, "Fileset"), n_of(server, "Plate"), n_of(server, "Image")) == (1, 1, 1)


@pytest.mark.parametrize("step", STEPS)
def test_a_client_that_is_killed_at_any_step_has_imported_once(
    own_omero: RunningServer, secret: Path, shared_data: Path, tmp_path: Path, step: str
) -> None:
    own_omero.control.tell("hold", operation=step)
    killed_at(own_omero, step, start(own_omero, secret, importable(shared_data / METAXPRESS), tmp_path / "journal"))
    # What it had asked for goes on, as it does at a server: nobody is there any more to hear of it.
    own_omero.control.tell("release", operation=step)
    check_imported_once(own_omero, start(own_omero, secret, importable(shared_data / METAXPRESS), tmp_path / "journal"))


@pytest.mark.parametrize("step", ["ManagedRepository.importFileset", "ImportProcess.verifyUpload"])
def test_what_a_killed_client_had_asked_for_may_come_after_what_its_follower_asks_for(
    own_omero: RunningServer, secret: Path, shared_data: Path, tmp_path: Path, step: str
) -> None:
    own_omero.control.tell("hold", operation=step)
    killed_at(own_omero, step, start(own_omero, secret, importable(shared_data / METAXPRESS), tmp_path / "journal"))
    second = start(own_omero, secret, importable(shared_data / METAXPRESS), tmp_path / "journal")
    wait_held(own_omero, step, n_calls=2)
    own_omero.control.tell("release", operation=step)
    check_imported_once(own_omero, second)


@pytest.mark.parametrize("step", ["RawFileStore.write", "ManagedRepository.import"])
def test_a_client_and_a_server_that_are_killed_together_have_imported_once(
    own_omero: RunningServer, secret: Path, shared_data: Path, tmp_path: Path, step: str
) -> None:
    own_omero.control.tell("hold", operation=step)
    killed_at(own_omero, step, start(own_omero, secret, importable(shared_data / METAXPRESS), tmp_path / "journal"))
    own_omero.kill()
    own_omero.start()
    # Nobody makes images any more, and nobody says so: they are waited for in vain.
    second = start(own_omero, secret, importable(shared_data / METAXPRESS), tmp_path / "journal", patience_s=2.0)
    check_imported_once(own_omero, second)
