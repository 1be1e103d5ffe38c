"""Whoever may write into a root may put anything in the place of the folder in which links are held."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.plates.holding import (
    HeldReader,
    Hold,
    StagingFailed,
    StagingNotOurs,
    choose_staging,
    hold,
    let_go,
    release,
    sweep,
)
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.source_names import HELD_FOLDER

NOBODY = 65534
CONTENT = b"plate" * 4000
IMPORT = "import-0001"

Swap = Callable[[Path, Path], None]


def link_for_the_meshs_own(staging: Path, other: Path) -> None:
    """A link under the name that is apart for each mesh, in a folder that is there for all."""
    staging.rename(staging.with_name("aside"))
    staging.symlink_to(other)


def link_for_the_shared_one(staging: Path, other: Path) -> None:
    """A link under the name that meshes share; where it leads, this mesh's name is a link too."""
    staging.parent.rename(staging.parent.with_name("aside"))
    elsewhere = staging.parent.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    (elsewhere / staging.name).symlink_to(other)
    staging.parent.symlink_to(elsewhere)


def folder_with_a_link(staging: Path, other: Path) -> None:
    """A folder of somebody's own, and a link in it."""
    staging.parent.rename(staging.parent.with_name("aside"))
    staging.parent.mkdir(mode=0o777)
    staging.symlink_to(other)


def another_folder_itself(staging: Path, other: Path) -> None:
    """A folder of the mesh's account, with its rights, that was made for something else."""
    staging.rename(staging.with_name("aside"))
    other.rename(staging)
    other.symlink_to(staging)


SWAPS = (link_for_the_meshs_own, link_for_the_shared_one, folder_with_a_link, another_folder_itself)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "plate"
    (folder / "day 1").mkdir(parents=True)
    for path in ("index.xml", "day 1/A01.tif"):
        (folder / path).write_bytes(CONTENT)
    return folder


@pytest.fixture
def staging(tmp_path: Path, source: Path) -> Path:
    folder = choose_staging(source, data=tmp_path / "data", root=source.parent).folder
    assert folder is not None
    assert folder.is_relative_to(source.parent)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What no hold is to reach: files of imports, under the same names that the links have."""
    folder = tmp_path / "data" / "repository" / "imports"
    (folder / IMPORT).mkdir(parents=True)
    folder.chmod(0o700)
    (folder / IMPORT).chmod(0o700)
    return folder


def settled(folder: Path) -> list[SourceFile]:
    looks = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        SourceFile(path=path.relative_to(folder).as_posix(), size=s.st_size, mtime_ns=s.st_mtime_ns, inode=s.st_ino)
        for path, s in looks
    ]


def fill(repository: Path, like: Path) -> None:
    shutil.copytree(like, repository / IMPORT, dirs_exist_ok=True)
    (repository / IMPORT).chmod(0o700)


def stored(repository: Path) -> dict[str, bytes]:
    folder = repository / IMPORT
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.mark.parametrize("swap", SWAPS)
def test_what_is_put_in_the_place_of_the_folder_is_not_swept(
    source: Path, staging: Path, repository: Path, swap: Swap
) -> None:
    held = hold(settled(source), source, staging, IMPORT)
    fill(repository, Path(held.staging))
    before = stored(repository)
    swap(staging, repository)
    with pytest.raises(StagingNotOurs):
        sweep(staging, (IMPORT,))
    assert stored(repository) == before
    assert len(before) == 2


@pytest.mark.parametrize("swap", SWAPS)
def test_what_is_put_in_the_place_of_the_folder_is_not_released(
    source: Path, staging: Path, repository: Path, swap: Swap
) -> None:
    held = hold(settled(source), source, staging, IMPORT)
    fill(repository, Path(held.staging))
    before = stored(repository)
    swap(staging, repository)
    with pytest.raises(StagingNotOurs):
        release(held)
    assert stored(repository) == before
    assert len(before) == 2


@pytest.mark.parametrize("swap", SWAPS)
def test_nothing_is_let_go_of_in_what_is_put_in_the_place_of_the_folder(
    source: Path, staging: Path, repository: Path, swap: Swap
) -> None:
    held = hold(settled(source), source, staging, IMPORT)
    fill(repository, Path(held.staging))
    before = stored(repository)
    swap(staging, repository)
    with pytest.raises(StagingNotOurs):
        let_go(held)
    assert stored(repository) == before
    assert len(before) == 2


@pytest.mark.parametrize("swap", [link_for_the_meshs_own, link_for_the_shared_one, folder_with_a_link])
def test_nothing_is_linked_or_replaced_in_what_is_put_there_before_the_source_is_held(
    source: Path, staging: Path, repository: Path, swap: Swap
) -> None:
    (repository / IMPORT / "index.xml").write_bytes(b"what was imported before")
    swap(staging, repository)
    held = hold(settled(source), source, staging, IMPORT)
    assert (held.guarantee, held.staging) == ("watched only", "")
    assert "it is a link" in held.reason or "other accounts may enter it" in held.reason
    assert stored(repository) == {"index.xml": b"what was imported before"}


class SwappedMeanwhile(list[SourceFile]):
    """Files in whose midst somebody swaps the folder."""

    swap: Callable[[], None]

    def __iter__(self) -> Iterator[SourceFile]:
        for n, file in enumerate(super().__iter__()):
            if n:
                self.swap()
            yield file


def test_what_is_put_there_while_files_are_linked_is_not_touched(source: Path, staging: Path, repository: Path) -> None:
    (repository / IMPORT / "index.xml").write_bytes(b"what was imported before")
    hold(settled(source), source, staging, IMPORT)
    files = SwappedMeanwhile(settled(source))
    files.swap = lambda: link_for_the_meshs_own(staging, repository)
    held = hold(files, source, staging, IMPORT)
    assert held.staging
    assert stored(repository) == {"index.xml": b"what was imported before"}


def test_a_hold_that_does_not_say_which_folder_was_made_removes_none(source: Path, staging: Path) -> None:
    held = hold(settled(source), source, staging, IMPORT)
    with pytest.raises(StagingNotOurs, match="not the folder that was made for the import"):
        release(msgspec.structs.replace(held, staging_inode=0))
    release(held)
    assert not Path(held.staging).exists()


def test_what_cannot_be_let_go_of_since_the_folder_is_gone_stays_as_it_was(source: Path, staging: Path) -> None:
    held = hold(settled(source), source, staging, IMPORT)
    staging.parent.rename(staging.parent.with_name("aside"))
    with pytest.raises(StagingFailed, match="is gone"):
        let_go(held)
    release(held)
    moved = staging.parent.with_name("aside") / staging.name
    assert list(moved.rglob("index.xml*"))
    moved.parent.rename(staging.parent)
    assert let_go(held).files == held.files


def test_no_folder_is_used_that_others_may_enter(source: Path, tmp_path: Path) -> None:
    (source.parent / HELD_FOLDER).mkdir()
    (source.parent / HELD_FOLDER).chmod(0o770)
    chosen = choose_staging(source, data=tmp_path / "data", root=source.parent)
    assert "other accounts may enter it" in chosen.reason
    assert chosen.folder is not None
    assert chosen.folder.is_relative_to(tmp_path / "data")


def test_no_folder_is_used_in_which_something_lies_that_no_mesh_has_marked(
    source: Path, tmp_path: Path, repository: Path
) -> None:
    # As whoever may write into a configured staging folder could name one of this account's own.
    above = tmp_path / "links"
    named = choose_staging(source, data=tmp_path / "data", staging=above).folder
    assert named is not None
    shutil.rmtree(named)
    repository.rename(named)
    chosen = choose_staging(source, data=tmp_path / "data", staging=above)
    assert "no mark of a mesh" in chosen.reason
    with pytest.raises(StagingNotOurs, match="no mark of a mesh"):
        sweep(named, (IMPORT,))
    assert (named / IMPORT).exists()


@pytest.mark.needs("root")
def test_no_folder_is_used_that_somebody_else_made_first(source: Path, tmp_path: Path) -> None:
    (source.parent / HELD_FOLDER).mkdir(mode=0o700)
    os.chown(source.parent / HELD_FOLDER, NOBODY, NOBODY)
    chosen = choose_staging(source, data=tmp_path / "data", root=source.parent)
    assert "it belongs to another account" in chosen.reason
    assert not list((source.parent / HELD_FOLDER).iterdir())
    held = hold(settled(source), source, chosen.folder, IMPORT, why=chosen.reason)
    with closing(HeldReader(held).open("index.xml")) as opened:
        assert opened.look().size == len(CONTENT)


def test_a_hold_is_told_to_a_mesh_elsewhere_with_the_folder_that_was_made(source: Path, staging: Path) -> None:
    held = hold(settled(source), source, staging, IMPORT)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(held), type=Hold) == held
    assert held.staging_inode == Path(held.staging).stat().st_ino
