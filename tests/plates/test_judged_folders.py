"""Opening many files for somebody: a folder is judged once a second, and nothing is opened that was not judged."""

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from open_below import open_below

from hcs_mesh.plates.errors import NotAFile, NotForReader
from hcs_mesh.plates.judged_folders import JUDGED_S, N_KEPT, JudgedFolders
from hcs_mesh.plates.permissions import Account, Node
from hcs_mesh.plates.reach import EVERYTHING, Reach

# Whoever runs the tests, it is another one.
ANNA = Account("anna", 54001, (54001,))


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder with a plate that any account can read, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-test-"))
    for one in (folder, folder / "plate"):
        one.mkdir(exist_ok=True)
        one.chmod(0o755)
    for name in ("A01.tif", "A02.tif"):
        write(folder / "plate" / name, name)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folders(root: Path, clock: Clock) -> JudgedFolders:
    return JudgedFolders(Reach(account=ANNA, inside=(str(root),)), clock=clock)


def write(path: Path, content: str, mode: int = 0o644) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def read(folders: JudgedFolders, path: Path) -> str:
    descriptor, seen = folders.open_and_look(str(path))
    with open(descriptor) as file:  # noqa: PTH123 - it is no path
        assert os.fstat(descriptor).st_ino == seen.st_ino
        return file.read()


def test_a_folder_is_judged_once_for_all_its_files(root: Path, clock: Clock) -> None:
    asked: list[str] = []

    class Asked(Reach, frozen=True):
        def may_enter(self, node: Node) -> bool:
            asked.append("folder")
            return super().may_enter(node)

        def may_read(self, node: Node) -> bool:
            asked.append("file")
            return super().may_read(node)

    folders = JudgedFolders(Asked(account=ANNA, inside=(str(root),)), clock=clock)
    read(folders, root / "plate" / "A01.tif")
    n_folders = len(root.parts) + 1
    assert asked == [*["folder"] * n_folders, "file"]
    read(folders, root / "plate" / "A02.tif")
    assert asked[n_folders + 1 :] == ["file"]
    clock.now_s += JUDGED_S
    read(folders, root / "plate" / "A02.tif")
    assert asked.count("folder") == 2 * n_folders


@pytest.mark.parametrize("above", [False, True])
def test_permissions_that_are_taken_from_a_folder_count_after_a_second(
    root: Path, folders: JudgedFolders, clock: Clock, above: bool
) -> None:
    assert read(folders, root / "plate" / "A01.tif") == "A01.tif"
    (root if above else root / "plate").chmod(0o700)
    clock.now_s += 0.9 * JUDGED_S
    assert read(folders, root / "plate" / "A02.tif") == "A02.tif"
    clock.now_s += 0.1 * JUDGED_S
    for _ in range(2):
        with pytest.raises(NotForReader, match="anna has no permission to enter a folder above it"):
            folders.open_and_look(str(root / "plate" / "A02.tif"))
    (root if above else root / "plate").chmod(0o755)
    assert read(folders, root / "plate" / "A02.tif") == "A02.tif"


def test_permissions_that_are_taken_from_a_file_count_at_once(root: Path, folders: JudgedFolders) -> None:
    own = root / "plate" / "A01.tif"
    read(folders, own)
    own.chmod(0o600)
    before = open_below(root)
    with pytest.raises(NotForReader, match="anna has no permission to read it"):
        folders.open_and_look(str(own))
    assert open_below(root) == before


@pytest.mark.parametrize("by_link", [False, True])
def test_in_a_folder_that_takes_anothers_place_nothing_is_opened_before_it_is_judged(
    root: Path, folders: JudgedFolders, clock: Clock, by_link: bool
) -> None:
    secret = root / "secret"
    secret.mkdir()
    write(secret / "A01.tif", "secret")
    write(secret / "A03.tif", "secret")
    secret.chmod(0o700)
    read(folders, root / "plate" / "A01.tif")
    (root / "plate").rename(root / "aside")
    if by_link:
        (root / "plate").symlink_to(secret)
    else:
        secret.rename(root / "plate")
    # Of the folder that was judged, wherever it lies by now.
    assert read(folders, root / "plate" / "A01.tif") == "A01.tif"
    with pytest.raises(NotForReader):
        folders.open_and_look(str(root / "plate" / "A03.tif"))
    clock.now_s += JUDGED_S
    with pytest.raises(NotForReader):
        folders.open_and_look(str(root / "plate" / "A01.tif"))


def test_a_link_in_the_place_of_a_folder_leads_nowhere_outside(root: Path, clock: Clock) -> None:
    roots = root / "roots"
    (roots / "plate").mkdir(parents=True)
    write(roots / "plate" / "A01.tif", "own")
    folders = JudgedFolders(Reach(inside=(str(roots),)), clock=clock)
    assert read(folders, roots / "plate" / "A01.tif") == "own"
    (roots / "plate").rename(roots / "aside")
    (roots / "plate").symlink_to(root / "plate")
    assert read(folders, roots / "plate" / "A01.tif") == "own"
    clock.now_s += JUDGED_S
    with pytest.raises(NotForReader, match="it leads out of the folders from which imports may come"):
        folders.open_and_look(str(roots / "plate" / "A01.tif"))


def test_a_link_in_the_place_of_a_file_is_judged_by_where_it_leads(root: Path, folders: JudgedFolders) -> None:
    plate = root / "plate"
    read(folders, plate / "A01.tif")
    (plate / "own.tif").symlink_to("A02.tif")
    (plate / "hers.tif").symlink_to(write(root / "hers", "secret", 0o600))
    (plate / "out.tif").symlink_to("/etc/passwd")
    (plate / "nowhere.tif").symlink_to(plate / "never")
    assert read(folders, plate / "own.tif") == "A02.tif"
    for name, why in (("hers", "no permission to read it"), ("out", "it leads out of the folders")):
        with pytest.raises(NotForReader, match=why):
            folders.open_and_look(str(plate / f"{name}.tif"))
    with pytest.raises(FileNotFoundError):
        folders.open_and_look(str(plate / "nowhere.tif"))


def test_a_folder_may_be_named_through_a_link_that_stays_inside(root: Path, folders: JudgedFolders) -> None:
    (root / "today").symlink_to(root / "plate")
    for name in ("today/A01.tif", "today/A02.tif", "today/../plate/A01.tif"):
        assert read(folders, root / name) == name[-7:]


def test_what_is_no_file_and_what_is_not_there_is_told_as_ever(root: Path, folders: JudgedFolders) -> None:
    read(folders, root / "plate" / "A01.tif")
    (root / "plate" / "folder").mkdir()
    os.mkfifo(root / "plate" / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(NotAFile):
            folders.open_and_look(str(root / "plate" / name))
    for name, number in (("never.tif", errno.ENOENT), ("A01.tif/below", errno.ENOTDIR)):
        with pytest.raises(OSError, match=os.strerror(number)):
            folders.open_and_look(str(root / "plate" / name))


def test_a_single_file_may_be_all_that_is_inside(root: Path, clock: Clock) -> None:
    folders = JudgedFolders(Reach(inside=(str(root / "plate" / "A01.tif"),)), clock=clock)
    assert read(folders, root / "plate" / "A01.tif") == "A01.tif"
    with pytest.raises(NotForReader):
        folders.open_and_look(str(root / "plate" / "A02.tif"))


def test_for_who_may_have_everything_no_folder_is_kept(root: Path) -> None:
    folders = JudgedFolders(EVERYTHING)
    assert read(folders, root / "plate" / "A01.tif") == "A01.tif"
    assert open_below(root) == []


def test_only_a_few_folders_stay_open_and_none_longer_than_who_opens(root: Path, folders: JudgedFolders) -> None:
    for n in range(3 * N_KEPT):
        (root / f"{n}").mkdir()
        (root / f"{n}").chmod(0o755)
        read(folders, write(root / f"{n}" / "A01.tif", ""))
    assert len(open_below(root)) == N_KEPT


def test_no_folder_is_closed_while_another_thread_opens_a_file_in_it(root: Path) -> None:
    """Nothing is believed, so that every opening judges anew and lets the former one go."""
    now_s = iter(range(1_000_000))
    folders = JudgedFolders(Reach(account=ANNA, inside=(str(root),)), clock=lambda: float(next(now_s)))
    for n in range(2 * N_KEPT):
        (root / f"{n}").mkdir()
        (root / f"{n}").chmod(0o755)
        write(root / f"{n}" / "A01.tif", f"{n}")
    wrong: list[object] = []

    def work(first: int) -> None:
        for n in range(first, first + 200):
            name = f"{n % (2 * N_KEPT)}"
            try:
                if (found := read(folders, root / name / "A01.tif")) != name:
                    wrong.append((name, found))
            except OSError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
