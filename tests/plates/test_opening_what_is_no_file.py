"""What somebody lays in the place of a file that is about to be read: nobody waits for it."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hcs_mesh.plates.errors import NotAFile
from hcs_mesh.plates.holding import HeldReader, hold
from hcs_mesh.plates.local import FolderReader, SourceChanged
from hcs_mesh.plates.regular_file import open_regular
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.stored_image import open_stored

CONTENT = b"plane" * 4000
WRITER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
descriptor = os.open(sys.argv[1], os.O_WRONLY)
fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("has it alone", flush=True)
sys.stdin.read()
"""


def lay_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        # Relative: the path of a socket may have 108 bytes.
        before = Path.cwd()
        os.chdir(path.parent)
        try:
            listening.bind(path.name)
        finally:
            os.chdir(before)


def lay_link(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to(path.with_name("pipe"))


IN_ITS_PLACE: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "it is a pipe"),
    "link to a pipe": (lay_link, "it is a pipe"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "terminal": (lambda path: path.symlink_to("/dev/ptmx"), "it is a device"),
    "socket": (lay_socket, "it is a socket"),
    "folder": (Path.mkdir, "it is a folder"),
}


Replaced = tuple[Path, Callable[[], None], str]


@pytest.fixture(params=IN_ITS_PLACE)
def replaced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replaced]:
    """A plate's file, what replaces it, and what is told of that; who waits for a pipe's other end, fails soon."""
    lay, told = IN_ITS_PLACE[request.param]
    path = tmp_path / "plate" / "A01.tif"
    path.parent.mkdir()
    path.write_bytes(CONTENT)

    def replace() -> None:
        path.unlink()
        lay(path)

    with patience():
        yield path, replace, told


class patience:  # noqa: N801 - reads as a statement
    """Fails what waits much longer than the opening of a file can take."""

    def __enter__(self) -> None:
        def give_up(*_: object) -> None:
            raise AssertionError("it was waited for")

        self._before = signal.signal(signal.SIGALRM, give_up)
        signal.alarm(20)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self._before)


def settled(path: Path) -> SourceFile:
    found = path.stat()
    return SourceFile(path=path.name, size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)


def test_a_reader_of_a_folder_does_not_wait(replaced: Replaced) -> None:
    path, replace, told = replaced
    replace()
    with pytest.raises(SourceChanged, match=told):
        FolderReader(path.parent).open(path.name)


def test_a_reader_of_what_is_only_watched_does_not_wait(replaced: Replaced) -> None:
    path, replace, told = replaced
    held = hold([settled(path)], path.parent, None, "import-0001")
    replace()
    with pytest.raises(SourceChanged, match=told):
        HeldReader(held).open(path.name)


def test_what_takes_hold_of_a_folder_does_not_wait(replaced: Replaced, tmp_path: Path) -> None:
    path, replace, _ = replaced
    files = [settled(path)]
    replace()
    staging = tmp_path / "held"
    staging.mkdir(mode=0o700)
    with pytest.raises(SourceChanged, match="changed after it had settled"):
        hold(files, path.parent, staging, "import-0001")
    # Nor is the pipe itself held on to.
    assert not [one for one in staging.rglob("*") if not one.is_dir()]


def test_what_opens_a_plane_of_a_source_does_not_wait(replaced: Replaced) -> None:
    path, replace, told = replaced
    replace()
    with pytest.raises(NotAFile, match=told), open_stored(path.parent, path.name, follow_links=True):
        pass


def test_what_is_refused_stays_open_nowhere(replaced: Replaced) -> None:
    path, replace, _ = replaced
    replace()
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NotAFile):
        open_regular(path)
    # Not the same number: what earlier tests left lying may be closed at any moment.
    assert len(list(Path("/proc/self/fd").iterdir())) <= n_open


def test_a_file_that_its_writer_has_alone_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "A01.tif"
    path.write_bytes(CONTENT)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"has it alone\n"
        with pytest.raises(SourceChanged, match="to write to it alone"):
            FolderReader(tmp_path).open(path.name)
        writer.communicate()


def test_what_was_opened_without_waiting_is_read_as_any_file(tmp_path: Path) -> None:
    path = tmp_path / "A01.tif"
    path.write_bytes(CONTENT)
    descriptor = open_regular(path)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - it is no path
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK
        assert not os.get_inheritable(descriptor)
        assert stream.read() == CONTENT
