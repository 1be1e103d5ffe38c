"""What the person at the microscope may do to a folder that is held."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.plates.devices import device_of
from hcs_mesh.plates.holding import (
    HeldReader,
    HeldSpace,
    Hold,
    NotHeld,
    Swept,
    choose_staging,
    held_bytes,
    held_space,
    hold,
    let_go,
    pressure,
    release,
    sweep,
)
from hcs_mesh.plates.holding.private_folder import OpenFolder
from hcs_mesh.plates.holding.staging import MARK
from hcs_mesh.plates.local import SourceChanged, SourceMissing
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.source_names import HELD_FOLDER

NOBODY = 65534
CONTENT = b"plate" * 4000


def make_source(folder: Path) -> list[SourceFile]:
    """Two files, one of them in a folder of its own, and what they look like when they have settled."""
    (folder / "day 1").mkdir(parents=True)
    for path in ("index.xml", "day 1/A01.tif"):
        (folder / path).write_bytes(CONTENT)
    return settled(folder)


def settled(folder: Path) -> list[SourceFile]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    looks = [(path, path.stat()) for path in found]
    return [
        SourceFile(path=path.relative_to(folder).as_posix(), size=s.st_size, mtime_ns=s.st_mtime_ns, inode=s.st_ino)
        for path, s in looks
    ]


def read(held: Hold, path: str) -> bytes:
    """As a transfer does: look, read, look again."""
    opened = HeldReader(held).open(path)
    buffer = bytearray(1 << 20)
    with closing(opened):
        before = opened.look()
        n = opened.read_into(memoryview(buffer))
        expected = next(file for file in held.expected if file.path == path)
        assert opened.look() == before == msgspec.structs.replace(expected, device=before.device)
    return bytes(buffer[:n])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "root" / "plate"


@pytest.fixture
def staging(tmp_path: Path, source: Path) -> Path:
    source.mkdir(parents=True)
    folder = choose_staging(source, data=tmp_path / "data", root=source.parent).folder
    assert folder is not None
    return folder


def test_deletion_of_the_whole_source_is_survived(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    assert held.guarantee in {"hard link", "reflink"}
    shutil.rmtree(source)
    assert read(held, "index.xml") == read(held, "day 1/A01.tif") == CONTENT


def test_renaming_files_and_folders_is_survived(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    (source / "index.xml").rename(source / "index.bak")
    source.rename(source.with_name("moved"))
    assert read(held, "index.xml") == read(held, "day 1/A01.tif") == CONTENT


def test_deletion_while_the_file_is_read_is_survived(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    opened = HeldReader(held).open("index.xml")
    before = opened.look()
    (source / "index.xml").unlink()
    assert opened.look() == before
    opened.close()


def test_a_file_that_is_put_in_the_place_of_a_held_one_does_not_matter(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    (source / "other").write_bytes(b"something else")
    (source / "other").replace(source / "index.xml")
    assert read(held, "index.xml") == CONTENT


def test_a_change_in_place_is_detected(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    with (source / "index.xml").open("r+b") as file:
        file.write(b"X")
    with pytest.raises(SourceChanged, match=r"index\.xml changed after it was held"):
        read(held, "index.xml")


@pytest.mark.parametrize("linked", [True, False])
def test_an_overwrite_that_puts_the_time_back_is_detected(source: Path, staging: Path, *, linked: bool) -> None:
    held = hold(make_source(source), source, staging if linked else None, "import-0001")
    status = (source / "index.xml").stat()
    with (source / "index.xml").open("r+b") as file:
        file.write(b"X")
    os.utime(source / "index.xml", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SourceChanged, match="its time was put back"):
        read(held, "index.xml")


def test_an_overwrite_between_two_looks_is_detected_though_its_time_is_put_back(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    opened = HeldReader(held).open("index.xml")
    (source / "index.xml").rename(source / "renamed")
    opened.look()
    status = (source / "renamed").stat()
    (source / "renamed").write_bytes(b"!" * len(CONTENT))
    os.utime(source / "renamed", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SourceChanged):
        opened.look()
    opened.close()


def test_what_changed_since_it_settled_is_not_held(source: Path, staging: Path) -> None:
    files = make_source(source)
    (source / "index.xml").write_bytes(b"longer" * 9000)
    for folder in (staging, None):
        with pytest.raises(SourceChanged, match="after it had settled"):
            hold(files, source, folder, "import-0001")
    assert not (staging / "import-0001" / "index.xml").exists()


def test_what_went_away_since_it_settled_is_named(source: Path, staging: Path) -> None:
    files = make_source(source)
    (source / "index.xml").unlink()
    for folder in (staging, None):
        with pytest.raises(SourceMissing, match=r"index\.xml"):
            hold(files, source, folder, "import-0001")


def test_a_hold_repeated_after_a_crash_finds_its_links_though_the_source_is_gone(source: Path, staging: Path) -> None:
    files = make_source(source)
    hold(files, source, staging, "import-0001")
    shutil.rmtree(source)
    again = hold(files, source, staging, "import-0001")
    assert read(again, "day 1/A01.tif") == CONTENT


def test_a_link_left_by_an_earlier_version_of_the_file_is_replaced(source: Path, staging: Path) -> None:
    hold(make_source(source), source, staging, "import-0001")
    status = (source / "index.xml").stat()
    (source / "new").write_bytes(CONTENT[::-1])
    os.utime(source / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (source / "new").replace(source / "index.xml")
    held = hold(settled(source), source, staging, "import-0001")
    assert read(held, "index.xml") == CONTENT[::-1]


def test_a_link_inside_the_source_is_held_as_what_it_leads_to(source: Path, staging: Path) -> None:
    make_source(source)
    (source / "link.tif").symlink_to("day 1/A01.tif")
    held = hold(settled(source), source, staging, "import-0001")
    shutil.rmtree(source)
    assert read(held, "link.tif") == CONTENT


def test_release_leaves_the_source_as_it_was(source: Path, staging: Path) -> None:
    files = make_source(source)
    held = hold(files, source, staging, "import-0001")
    release(held)
    release(held)
    assert settled(source) == files
    assert (source / "index.xml").stat().st_nlink == 1
    assert [entry.name for entry in staging.iterdir()] == [MARK]


def test_held_bytes_are_those_whose_other_name_is_gone(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    assert held_bytes(held) == 0
    (source / "index.xml").unlink()
    assert len(CONTENT) <= held_bytes(held) <= len(CONTENT) + (1 << 16)
    assert held_space(held).n_bytes_again == 0


def test_letting_go_gives_up_no_link(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    (source / "index.xml").unlink()
    less = let_go(held)
    assert less.files == held.files
    (source / "day 1/A01.tif").unlink()
    assert read(less, "index.xml") == read(less, "day 1/A01.tif") == CONTENT


def test_what_another_file_has_the_name_of_is_kept(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    (source / "index.xml").unlink()
    (source / "index.xml").write_bytes(b"another acquisition")
    space = held_space(held)
    assert (space.n_files_only, space.n_bytes_again) == (1, 0)
    assert read(let_go(held), "index.xml") == CONTENT


def test_what_was_let_go_of_before_that_was_written_down_is_read_from_the_source(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    for file in held.files:
        Path(held.path_of(file)).unlink()
    assert read(held, "index.xml") == CONTENT
    assert held_space(held).n_files_only == 0
    (source / "index.xml").unlink()
    (source / "index.xml").write_bytes(CONTENT)
    # Which of both depends on whether the file system gives the number of a file that is gone away again.
    with pytest.raises((SourceMissing, SourceChanged)):
        read(held, "index.xml")


def test_what_lies_on_a_disk_that_is_away_may_be_the_only_copy(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    for path in (source / "index.xml", source / "day 1/A01.tif"):
        path.unlink()
    staging.rename(staging.with_name("unmounted"))
    assert held_space(held).n_files_only == 2
    staging.with_name("unmounted").rename(staging)
    assert held_space(held).n_files_only == 2


def test_what_was_renamed_has_another_copy(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    (source / "index.xml").rename(source / "renamed.xml")
    assert held_space(held).n_files_only == 0


def test_without_a_staging_folder_a_source_is_watched_only(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, None, "import-0001", why="it lies on another file system")
    assert (held.guarantee, held.staging) == ("watched only", "")
    assert read(held, "index.xml") == CONTENT
    assert str(held) == "watched only (2 files): it lies on another file system"


def test_a_file_that_is_not_held_cannot_be_read(source: Path, staging: Path) -> None:
    held = hold(make_source(source), source, staging, "import-0001")
    with pytest.raises(NotHeld):
        HeldReader(held).open("../../etc/passwd")


def test_nobody_else_can_enter_a_staging_folder(staging: Path) -> None:
    assert staging.stat().st_mode & 0o777 == 0o700


def test_no_staging_folder_is_made_inside_the_source_itself(tmp_path: Path) -> None:
    source = tmp_path / "root"
    source.mkdir()
    chosen = choose_staging(source, data=tmp_path / "data", root=source)
    assert chosen.folder is not None
    assert chosen.folder.is_relative_to(tmp_path / "data")
    assert "inside the source" in chosen.reason
    assert not (source / HELD_FOLDER).exists()


def test_meshes_that_share_a_root_keep_their_links_apart(tmp_path: Path) -> None:
    source = tmp_path / "root" / "plate"
    source.mkdir(parents=True)
    folders = {choose_staging(source, data=tmp_path / mesh, root=source.parent).folder for mesh in ("one", "two")}
    assert len(folders) == 2


def test_two_imports_that_are_the_first_of_a_root_at_once_are_both_held_by_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "root" / "plate"
    source.mkdir(parents=True)
    looked_in = OpenFolder.names
    both_have_looked = threading.Barrier(2, timeout=20.0)

    def names(folder: OpenFolder) -> list[str]:
        found = looked_in(folder)
        both_have_looked.wait()
        return found

    monkeypatch.setattr(OpenFolder, "names", names)
    with ThreadPoolExecutor(2) as threads:
        chosen = list(
            threads.map(lambda _: choose_staging(source, data=tmp_path / "data", root=source.parent), range(2))
        )
    assert chosen[0] == chosen[1]
    assert chosen[0].reason == ""
    assert chosen[0].folder is not None
    assert (chosen[0].folder / MARK).exists()


def test_a_staging_folder_that_is_a_planted_link_is_not_used(tmp_path: Path) -> None:
    source = tmp_path / "root" / "plate"
    source.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (source.parent / HELD_FOLDER).symlink_to(tmp_path / "elsewhere")
    chosen = choose_staging(source, data=tmp_path / "data", root=source.parent)
    assert "is a link" in chosen.reason
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_staging_folder_that_leads_in_a_circle_is_not_used(tmp_path: Path) -> None:
    source = tmp_path / "root" / "plate"
    source.mkdir(parents=True)
    (source.parent / HELD_FOLDER).symlink_to(HELD_FOLDER)
    chosen = choose_staging(source, data=tmp_path / "data", root=source.parent)
    assert "is a link" in chosen.reason
    assert chosen.folder is not None
    assert chosen.folder.is_relative_to(tmp_path / "data")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        device_of(source.parent / HELD_FOLDER)


def test_what_was_held_for_imports_that_are_over_is_swept_away_and_nothing_else(source: Path, staging: Path) -> None:
    files = make_source(source)
    for import_id in ("import-0001", "import-0002"):
        hold(files, source, staging, import_id)
    shutil.rmtree(source)
    # Of the other nobody knows anything, as when its journal was lost: it has the only copy by now.
    assert sweep(staging, {"import-0001", "import-0003"}) == Swept(("import-0001",), ("import-0002",))
    assert sorted(entry.name for entry in staging.iterdir()) == [MARK, "import-0002"]
    assert sweep(staging.with_name("never made"), {"import-0002"}) == Swept()


def test_pressure_gives_up_what_can_be_read_again_and_never_the_only_copy() -> None:
    spaces = (
        HeldSpace(import_id="import-0001", n_bytes=500, n_bytes_again=100),
        HeldSpace(import_id="import-0002", n_bytes=300, n_bytes_again=300),
        HeldSpace(import_id="import-0003", n_bytes=900),
    )
    assert pressure(spaces, 1000, 1000).let_go == ()
    assert pressure(spaces, 800, 1000).let_go == ("import-0002",)
    most = pressure(spaces, 0, 1000)
    assert (most.let_go, most.n_bytes) == (("import-0002", "import-0001"), 400)
    assert "1,300 held bytes are the only copy and are kept" in most.message


SERVICE = """
import os, sys
from pathlib import Path
from hcs_mesh.plates.holding import choose_staging, hold
from hcs_mesh.plates.repository import SourceFile
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
root = Path(sys.argv[2]); source = root / "plate"
files = []
for path in sorted(source.iterdir()):
    s = path.stat()
    files.append(SourceFile(path=path.name, size=s.st_size, mtime_ns=s.st_mtime_ns, inode=s.st_ino))
staging = choose_staging(source, data=root / "data", root=root).folder
held = hold(files, source, staging, "import-0001")
print(*(f"{file.path}={file.guarantee}" for file in held.files), sep="\\n")
print(held.reason)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.needs("root")
def test_an_account_that_owns_nothing_links_what_it_may_write_and_watches_the_rest(open_folder: Path) -> None:
    source = open_folder / "plate"
    source.mkdir()
    for name, mode, owner in (("mine.tif", 0o644, NOBODY), ("shared.tif", 0o666, 0), ("theirs.tif", 0o644, 0)):
        (source / name).write_bytes(CONTENT)
        (source / name).chmod(mode)
        os.chown(source / name, owner, owner)
    # Root's link, to a file that is not root's.
    (source / "link.tif").symlink_to("mine.tif")
    done = subprocess.run(
        [sys.executable, "-c", SERVICE, str(NOBODY), str(open_folder)], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    *files, reason = done.stdout.splitlines()
    if Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "0":
        assert "theirs.tif=hard link" in files
        return
    assert files == ["link.tif=hard link", "mine.tif=hard link", "shared.tif=hard link", "theirs.tif=watched only"]
    assert "fs.protected_hardlinks" in reason


HOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_holding_sources as t
source, staging = Path(sys.argv[2]), Path(sys.argv[3])
t.hold(t.settled(source), source, staging, "import-0001")
"""


def test_every_name_that_a_hold_gave_is_on_the_disk_and_no_folder_is_synced_twice(
    source: Path, staging: Path, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: install it (apt-get install strace), durability is tested with it"
    make_source(source)
    for path in ("day 1/wells/A02.tif", "day 2/wells/A01.tif"):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(CONTENT)
    trace = tmp_path / "trace"
    options = ["-f", "-y", "-o", str(trace), "-e", "trace=fsync,mkdir,mkdirat,link,linkat,rename,renameat,renameat2"]
    words = [sys.executable, "-c", HOLD, str(Path(__file__).parent), str(source), str(staging)]
    subprocess.run([strace, *options, *words], check=True, timeout=60)

    calls = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
    # Names are given in the open folder of the import, which in turn has its name from the open staging folder.
    giving = (f"<{staging}>", "/proc/self/fd/")
    named = max(n for n, call in enumerate(calls) if any(one in call for one in giving) and "fsync(" not in call)
    synced = [match[1] for call in calls if (match := re.match(r"fsync\(\d+<(.*)>\)", call))]
    after = [match[1] for call in calls[named:] if (match := re.match(r"fsync\(\d+<(.*)>\)", call))]
    mine = staging / "import-0001"
    folders = [staging, mine, *(mine / one for one in ("day 1", "day 1/wells", "day 2", "day 2/wells"))]
    assert {str(folder) for folder in folders} <= {*after}
    assert len(synced) == len({*synced})
