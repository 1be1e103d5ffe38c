"""Many files opened for somebody: each is judged, and its folder, though not each time, often enough."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcs_mesh.plates.access import account_named
from hcs_mesh.plates.errors import NotForReader
from hcs_mesh.plates.holding import HeldReader, hold
from hcs_mesh.plates.judged_folders import JudgedFolders
from hcs_mesh.plates.local import FolderReader
from hcs_mesh.plates.reach import Reach
from hcs_mesh.plates.repository import SourceFile

pytestmark = pytest.mark.needs("root")

N_FILES = 100


@pytest.fixture
def plate() -> Iterator[Path]:
    """A folder in a folder, with files that everybody may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "root" / "plate"
        folder.mkdir(parents=True)
        for n in range(N_FILES):
            (folder / f"{n}.tif").write_bytes(b"%d" % n)
        yield folder


def reach_of(plate: Path) -> Reach:
    return Reach(account=account_named("nobody"), inside=(str(plate.parent),))


def settled(plate: Path) -> list[SourceFile]:
    found = ((path, path.stat()) for path in (plate / f"{n}.tif" for n in range(N_FILES)))
    return [
        SourceFile(path=path.name, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino)
        for path, seen in found
    ]


def read(opening: JudgedFolders, path: Path) -> bytes:
    descriptor = opening.open(str(path))
    try:
        return os.read(descriptor, 99)
    finally:
        os.close(descriptor)


def test_files_of_some_folders_are_opened_one_after_another(plate: Path) -> None:
    (plate / "deeper").mkdir()
    (plate / "deeper" / "x.tif").write_bytes(b"x")
    (plate / "link.tif").symlink_to("deeper/x.tif")
    (plate / "folder").symlink_to("deeper")
    opening = JudgedFolders(reach_of(plate))
    for name, content in (("1.tif", b"1"), ("2.tif", b"2"), ("deeper/x.tif", b"x"), ("3.tif", b"3")):
        assert read(opening, plate / name) == content
    assert read(opening, plate / "link.tif") == read(opening, plate / "folder/x.tif") == b"x"
    with pytest.raises(FileNotFoundError):
        opening.open(str(plate / "nothing.tif"))
    assert read(opening, plate / "4.tif") == b"4"


def test_a_file_that_is_not_his_is_not_opened_among_those_that_are(plate: Path) -> None:
    secret = plate.parents[1] / "secret"
    secret.write_bytes(b"secret")
    (plate / "5.tif").chmod(0o600)
    (plate / "out.tif").symlink_to(secret)
    opening = JudgedFolders(reach_of(plate))
    read(opening, plate / "4.tif")
    with pytest.raises(NotForReader, match="no permission to read it"):
        opening.open(str(plate / "5.tif"))
    with pytest.raises(NotForReader, match="leads out of the folders"):
        opening.open(str(plate / "out.tif"))
    assert read(opening, plate / "6.tif") == b"6"


def test_small_files_that_are_not_the_owners_are_not_handed_out_with_the_others(plate: Path) -> None:
    files, reach = settled(plate), reach_of(plate)
    watched = hold(files, plate, None, "i1", reach=reach)
    (plate / "5.tif").chmod(0o600)
    for reader in (FolderReader(plate, reach), HeldReader(watched, reach)):
        found = reader.read_small(files[:8])
        assert found[:5] == [b"0", b"1", b"2", b"3", b"4"]
        assert found[5:] == [None, b"6", b"7"]
