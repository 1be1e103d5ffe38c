"""Reading a source for its owner: the file that had settled, on its own file system, and none that is not his."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.local_source import LocalSource
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import ImportMode, ImportOrder
from hcs_mesh.plates.access import PathNotAllowed, account_named, check_readable
from hcs_mesh.plates.holding import HeldReader, hold
from hcs_mesh.plates.holding.guarantees import HeldFile, watched
from hcs_mesh.plates.local import FolderReader, LocalRepository, SourceChanged, SourceUnreadable
from hcs_mesh.plates.planners import Fileset, Plan, PlannedFile
from hcs_mesh.plates.reach import Reach
from hcs_mesh.plates.repository import OpenSource, SourceFile
from hcs_mesh.plates.served_folders import NotServed, ServedFolders, served_folder

pytestmark = pytest.mark.needs("root")

SECRET = b"what only root may read"


class Disks(NamedTuple):
    """A folder of somebody's below a root, and a file of somebody else's on another file system."""

    root: Path
    plate: Path
    secret: Path

    @property
    def own(self) -> Path:
        return self.plate / "z.tif"

    @property
    def reach(self) -> Reach:
        return Reach(account=account_named("nobody"), inside=(str(self.root),))

    def settled(self) -> SourceFile:
        """What is there now, as it is written down when a source has settled."""
        seen = self.own.stat()
        return SourceFile(
            path="z.tif", size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev
        )

    def lay_link(self) -> None:
        """Put a link to the secret in the place of the file, which is kept aside."""
        (self.plate.parent / "link").symlink_to(self.secret)
        self.own.rename(self.plate.parent / "aside")
        (self.plate.parent / "link").rename(self.own)

    def put_back(self) -> None:
        (self.plate.parent / "aside").rename(self.own)


@pytest.fixture
def disks() -> Iterator[Disks]:
    """Two file systems that number their files alike, and on each one file of the same number, size and time."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-disks-"))
    scope, hers = folder / "roots" / "scope", folder / "hers"
    for one in (scope, hers):
        one.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(one)], check=True)
    try:
        for one in (folder, scope.parent, scope, hers):
            one.chmod(0o755)
        (scope / "plate").mkdir(mode=0o755)
        for n in range(100):
            (hers / f"{n}").write_bytes(b"")
        secret, own = hers / "secret.tif", scope / "plate" / "z.tif"
        secret.write_bytes(SECRET)
        secret.chmod(0o600)
        seen = secret.stat()
        n = 0
        own.touch()
        while own.stat().st_ino != seen.st_ino:
            # Others of its folder have the numbers in between.
            own.rename(scope / f"{n}")
            own.touch()
            n += 1
            assert n < 1000, "this kernel does not count each tmpfs's files by themselves"
        own.write_bytes(bytes(len(SECRET)))
        os.utime(own, ns=(seen.st_mtime_ns, seen.st_mtime_ns))
        own.chmod(0o644)
        assert own.stat().st_dev != seen.st_dev
        yield Disks(scope.parent, scope / "plate", secret)
    finally:
        for one in (scope, hers):
            # Lazily: what a test that failed has left open is no reason to leave the others without.
            subprocess.run(["umount", "-l", str(one)], check=True)
        shutil.rmtree(folder)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def test_a_file_of_another_file_system_is_not_the_one_that_had_settled(
    disks: Disks, repository: LocalRepository
) -> None:
    file = disks.settled()
    disks.lay_link()
    with pytest.raises(SourceChanged, match=r"z\.tif changed after it had settled"):
        repository.transfer("i1", FolderReader(disks.plate), [file])
    with pytest.raises(SourceChanged):
        repository.adopt("i2", disks.plate, [file])
    with pytest.raises(SourceChanged):
        hold([file], disks.plate, None, "import-0001")
    with pytest.raises(PathNotAllowed, match="it is not the file that had settled"):
        check_readable(disks.plate, [file], Reach(inside=(str(disks.root.parent),)))


def test_what_is_watched_is_not_read_on_another_file_system(disks: Disks) -> None:
    held = hold([disks.settled()], disks.plate, None, "import-0001")
    assert held.guarantee == "watched only"
    disks.lay_link()
    with closing(HeldReader(held).open("z.tif")) as opened, pytest.raises(SourceChanged, match="another file system"):
        opened.look()


def test_a_file_that_is_exchanged_while_it_is_read_is_found_out(disks: Disks) -> None:
    with closing(FolderReader(disks.plate).open("z.tif")) as opened:
        opened.look()
        disks.lay_link()
        with pytest.raises(SourceChanged, match="another file of"):
            opened.look()


def test_a_link_that_was_let_go_of_is_read_from_its_own_file_system_alone(disks: Disks) -> None:
    staging = disks.root / "scope" / "held"
    staging.mkdir(mode=0o700)
    held = hold([disks.settled()], disks.plate, staging, "import-0001")
    assert held.guarantee == "hard link"
    disks.lay_link()
    # As an older version of the mesh did under disk pressure.
    disks.put_back()
    less = msgspec.structs.replace(held, files=tuple(map(watched, held.files)))
    disks.own.rename(disks.plate / "z.aside")
    (disks.plate / "z.tif").symlink_to(disks.secret)
    with closing(HeldReader(less).open("z.tif")) as opened, pytest.raises(SourceChanged):
        opened.look()


def test_what_an_older_version_held_without_its_file_system_is_still_read(disks: Disks) -> None:
    held = hold([disks.settled()], disks.plate, None, "import-0001")
    fields = msgspec.json.decode(msgspec.json.encode(held.files[0]))
    older = msgspec.convert(fields[:-1], HeldFile)
    assert (held.files[0].device, older.device) == (disks.own.stat().st_dev, 0)
    buffer = memoryview(bytearray(64))
    with closing(HeldReader(msgspec.structs.replace(held, files=(older,))).open("z.tif")) as opened:
        opened.look()
        assert opened.read_into(buffer) == len(SECRET)
        opened.look()


def test_the_path_that_is_recorded_in_place_is_that_of_the_file_that_was_read(
    disks: Disks, repository: LocalRepository
) -> None:
    """A link that is there when the path is looked up, and the settled file when it is read."""

    class Late:
        def open(self, path: str) -> OpenSource:
            disks.put_back()
            return FolderReader(disks.plate, disks.reach).open(path)

    file = disks.settled()
    disks.lay_link()
    with pytest.raises(SourceChanged):
        repository.adopt("i1", disks.plate, [file], reader=Late())
    assert not (repository.files_folder("i1") / "z.tif").is_symlink()


@pytest.mark.parametrize("mode", ["upload", "in-place"])
def test_what_is_not_the_owners_is_not_read_where_it_takes_a_files_place(
    disks: Disks, tmp_path: Path, mode: ImportMode
) -> None:
    settings = ImportSettings(accounts="same-name", roots=(RootSettings(path=str(disks.root.parent)),))
    order = ImportOrder(path=str(disks.plate), as_files=True, mode=mode)
    life = ImportLife(Accepted(import_id="import-1", at_unix_s=0.0, key="", order=order, owner="nobody"))
    here: Any = Here()
    source = LocalSource(life, threads=here, inspection=here, places=ImportPlaces(tmp_path / "data", settings))
    plan = Plan(
        root=str(disks.plate),
        filesets=(Fileset(planner="files", root="", files=(PlannedFile("z.tif", len(SECRET)),), plates=()),),
    )
    files = asyncio.run(source.manifest(plan))
    assert files == (disks.settled(),)
    held = hold(files, disks.plate, None, "import-1") if mode == "upload" else None
    with closing(source.reader(plan, held, bool).open("z.tif")) as opened:
        assert opened.look() == disks.settled()
    disks.lay_link()
    with pytest.raises(SourceUnreadable, match="nobody has no permission to read it"):
        source.reader(plan, held, bool).open("z.tif")
    with pytest.raises(SourceUnreadable, match="nobody has no permission to read it"):
        asyncio.run(source.hold(files, plan, print))


class Here:
    """Threads that work at once."""

    async def run(self, work: Any, **_: Any) -> Any:
        return work()


def test_nothing_is_linked_that_its_owner_may_not_read(disks: Disks) -> None:
    """Whatever was written down when the source settled: the link is made of what opens for him."""
    staging = disks.root / "scope" / "held"
    staging.mkdir(mode=0o700)
    disks.own.chmod(0o600)
    with pytest.raises(SourceUnreadable, match="nobody has no permission to read it"):
        hold([disks.settled()], disks.plate, staging, "import-0001", reach=disks.reach)
    assert not list(staging.rglob("z.tif*"))
    disks.own.chmod(0o644)
    assert hold([disks.settled()], disks.plate, staging, "import-0001", reach=disks.reach).guarantee == "hard link"


def test_an_agent_opens_no_file_of_another_file_system_than_it_serves(disks: Disks, tmp_path: Path) -> None:
    source = ServedSource(ServedFolders([served_folder(str(disks.root))]), tmp_path / "data")
    held = hold([disks.settled()], disks.plate, None, "import-1").files[0]
    for file in (held, None):
        source.open("import-1", str(disks.plate), "z.tif", "", file).close()
    disks.lay_link()
    for file in (held, None):
        with pytest.raises((NotServed, SourceChanged)):
            source.open("import-1", str(disks.plate), "z.tif", "", file)
    # Exchanged between the opening and the look at what was opened.
    opened = FolderReader(disks.plate).open("z.tif")
    disks.put_back()
    with pytest.raises(NotServed):
        source._check_inside(disks.own, opened)
    disks.lay_link()
    with pytest.raises(SourceUnreadable, match="leads out of the folders"):
        source.hold("import-1", str(disks.plate), [disks.settled()])
