"""What the repository keeps in memory does not grow with what it has done."""

import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20

COPYING = """
import sys, threading
from pathlib import Path
from hcs_mesh.plates.local import FolderReader
from hcs_mesh.plates.local.copying import Copier
from hcs_mesh.plates.repository import SourceFile

folder = Path(sys.argv[1])
over = threading.Event()

def copy(number):
    copier = Copier(FolderReader(folder / "source"), folder / str(number), "sha1", lambda n: None, lambda: False)
    (folder / str(number)).mkdir()
    copier.copy(SourceFile(path="a.tif", size=3_000_000))

def copying(number, done):
    copy(number)
    done.set()
    # A thread that has ended leaves its memory to the next one: those of a mesh live on.
    over.wait()

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))

for number in range(4):
    copy(number)
before = held()
for number in range(4, 68):
    done = threading.Event()
    threading.Thread(target=copying, args=(number, done), daemon=True).start()
    done.wait()
print(held() - before)
over.set()
"""

READING = """
import sys, sqlite3
from contextlib import ExitStack
from pathlib import Path
from hcs_mesh.plates.local.catalogue import IDLE_READERS, Catalogue

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))

catalogue = Catalogue(Path(sys.argv[1]) / "catalogue.sqlite")
with catalogue.writing() as connection:
    connection.executemany(
        "INSERT INTO imports VALUES (?, ?, '', ?, '', 0.0)", ((n, str(n), "x" * 2000) for n in range(1, 5001))
    )
before = held()
with ExitStack() as at_once:
    for connection in [at_once.enter_context(catalogue.reading()) for _ in range(IDLE_READERS)]:
        connection.execute("SELECT sum(length(source)) FROM imports").fetchone()
print(held() - before)
catalogue.close()
"""


def grown(program: str, folder: Path) -> int:
    """The bytes by which the memory of a fresh process grew, as it says itself."""
    command = [sys.executable, "-P", "-c", program, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in /proc")
def test_whichever_threads_copied_their_buffers_are_the_systems_again(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.tif").write_bytes(bytes(3_000_000))
    assert grown(COPYING, tmp_path) < 8 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in /proc")
def test_connections_that_read_a_large_catalogue_remember_little_of_it(tmp_path: Path) -> None:
    assert grown(READING, tmp_path) < 4 * MIB
