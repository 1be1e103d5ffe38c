"""Deleting a source: what was stored goes, whatever else lies there stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.plates.devices import device_of
from hcs_mesh.plates.holding import hold, let_go
from hcs_mesh.plates.holding.deletion import SourceStays, delete_source
from hcs_mesh.plates.holding.guarantees import HeldFile
from hcs_mesh.plates.permissions import Account, Node, may_delete
from hcs_mesh.plates.reach import Reach
from hcs_mesh.plates.repository import SourceFile


def stored(root: Path, *paths: str) -> tuple[HeldFile, ...]:
    found: list[SourceFile] = []
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
        seen = file.stat()
        found.append(SourceFile(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino))
    return hold(found, root, None, "import").files


def test_what_was_stored_is_deleted_with_the_folders_that_are_empty_then(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif", "z/b.tif", "z/c.tif")
    assert delete_source(source, source, files) == 3
    assert not source.exists()
    assert delete_source(source, source, files) == 0, "after a crash it is called again"


def test_nothing_counts_as_deleted_while_the_disk_of_the_source_is_away(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif", "z/b.tif")
    lay_on = device_of(source)
    away = source.rename(tmp_path / "away")
    with pytest.raises(SourceStays, match=r"the disk is not there that it lay on, .* at /mnt/scope"):
        delete_source(source, source, files, device=msgspec.structs.replace(lay_on, mount_point="/mnt/scope"))
    away.rename(source)
    assert delete_source(source, source, files, device=lay_on) == 2
    assert delete_source(source, source, files, device=lay_on) == 0, "after a crash it is called again"


@pytest.mark.parametrize(("says", "stays"), [(errno.EIO, True), (errno.EINVAL, False), (errno.EOPNOTSUPP, False)])
def test_a_disk_that_does_not_say_that_names_are_gone_is_told_and_one_that_cannot_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: int, *, stays: bool
) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif")

    def refuse(descriptor: int) -> None:
        raise OSError(says, os.strerror(says))

    monkeypatch.setattr(os, "fsync", refuse)
    if stays:
        with pytest.raises(SourceStays, match=f"does not say whether all of it is gone: .*{os.strerror(says)}.*plate"):
            delete_source(source, source, files)
    else:
        assert delete_source(source, source, files) == 1


def test_a_disk_that_fails_while_its_folders_are_looked_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif")
    lstat = os.lstat

    def fail(path: Path | str) -> os.stat_result:
        if str(path) == str(source):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", fail)
    with pytest.raises(SourceStays, match=os.strerror(errno.EIO)):
        delete_source(source, source, files)


def test_what_was_not_imported_stays_with_its_folders(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif", "z/b.tif")
    (source / "z" / "notes.txt").write_text("mine")
    assert delete_source(source, source, files) == 2
    assert [path.name for path in source.rglob("*") if path.is_file()] == ["notes.txt"]


def test_a_file_that_changed_since_stays_and_is_named(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif", "b.tif")
    (source / "a.tif").write_bytes(b"acquired again")
    with pytest.raises(SourceStays, match=r"1 of 2 files .* a\.tif \(changed since it was stored\)"):
        delete_source(source, source, files)
    assert [path.name for path in source.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("how", ["written to", "replaced"])
def test_a_file_that_changed_stays_also_where_its_size_and_time_were_put_back(tmp_path: Path, how: str) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif", "b.tif")
    if how == "replaced":
        (source / "new").write_bytes(b"A.tif")
        (source / "new").replace(source / "a.tif")
    else:
        (source / "a.tif").write_bytes(b"A.tif")
    os.utime(source / "a.tif", ns=(files[0].mtime_ns, files[0].mtime_ns))
    with pytest.raises(SourceStays, match=r"a\.tif \(changed since it was stored\)"):
        delete_source(source, source, files)
    assert (source / "a.tif").read_bytes() == b"A.tif"


@pytest.mark.parametrize("unknown", ["mtime_ns", "origin", "origin_ctime_ns"])
def test_a_file_of_which_too_little_is_known_stays(tmp_path: Path, unknown: str) -> None:
    source = tmp_path / "plate"
    (file,) = stored(source, "a.tif")
    with pytest.raises(SourceStays):
        delete_source(source, source, [msgspec.structs.replace(file, **{unknown: 0})])
    assert (source / "a.tif").exists()


def test_a_file_that_is_held_is_deleted_and_one_let_go_of_too(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    stored(source, "a.tif", "b.tif")
    found = [
        SourceFile(path=one.name, size=5, mtime_ns=one.stat().st_mtime_ns, inode=one.stat().st_ino)
        for one in source.iterdir()
    ]
    held = hold(found, source, tmp_path, "held")
    assert {file.guarantee for file in held.files} <= {"hard link", "reflink"}
    assert delete_source(source, source, let_go(held).files) == 2


def test_a_link_that_is_laid_in_a_folders_place_leads_to_no_deletion(tmp_path: Path) -> None:
    source, other = tmp_path / "plate", tmp_path / "other"
    files = stored(source, "z/b.tif")
    stored(other, "b.tif")
    os.utime(other / "b.tif", ns=(files[0].mtime_ns, files[0].mtime_ns))
    (source / "z").rename(tmp_path / "aside")
    (source / "z").symlink_to(other)
    with pytest.raises(SourceStays, match="a link leads out of the source"):
        delete_source(source, source, files)
    assert (other / "b.tif").exists()


def test_a_single_file_takes_no_folder_with_it(tmp_path: Path) -> None:
    files = stored(tmp_path, "image.ome.tif")
    assert delete_source(tmp_path / "image.ome.tif", tmp_path, files) == 1
    assert tmp_path.exists()


@pytest.mark.parametrize(
    ("mode", "uid", "deleted"),
    [
        (0o755, 4002, False),
        (0o757, 4002, True),
        (0o756, 4002, False),
        (0o1757, 4002, False),
        (0o1757, 0, True),
    ],
)
def test_nothing_is_deleted_for_who_could_not_delete_it_himself(mode: int, uid: int, deleted: bool) -> None:
    folder = Node(mode=mode, uid=4001, gid=4001)
    account = Account("anna", uid, (4002,))
    assert may_delete(account, folder, 4001) is deleted
    assert may_delete(Account("ben", 4001, ()), folder, 4009) is True


def test_a_file_that_its_owner_may_only_read_stays(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    files = stored(source, "a.tif")
    with pytest.raises(SourceStays, match=r"a\.tif \(.*no permission to"):
        delete_source(source, source, files, Reach(account=Account("anna", 4009, (4009,))))
    assert (source / "a.tif").exists()


def test_what_lies_in_a_folder_that_keeps_its_sources_stays(tmp_path: Path) -> None:
    source = tmp_path / "scope"
    files = stored(source, "a.tif", "ada/b.tif")
    reach = Reach(inside=(str(source),), closed=(str(source / "ada"),))
    with pytest.raises(SourceStays, match=r"1 of 2 files .*ada/b\.tif \(the mesh deletes nothing in .*ada\)"):
        delete_source(source, source, files, reach)
    assert not (source / "a.tif").exists()
    assert (source / "ada/b.tif").exists()


def test_a_folder_from_which_imports_may_come_stays_when_it_is_empty(tmp_path: Path) -> None:
    source = tmp_path / "scope"
    files = stored(source, "a.tif", "ada/b.tif")
    assert delete_source(source, source, files, Reach(inside=(str(source), str(source / "ada")))) == 2
    assert (source / "ada").is_dir()


def test_a_folder_that_held_nothing_of_the_import_stays(tmp_path: Path) -> None:
    source = tmp_path / "plate"
    files = stored(source, "day 1/z/a.tif")
    (source / "TimePoint_2").mkdir()
    assert delete_source(source, source, files) == 1
    assert [path.name for path in source.iterdir()] == ["TimePoint_2"]
