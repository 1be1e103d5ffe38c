"""Files attached to objects: bytes in blocks, checksums, truncation, and who may read them."""

from collections.abc import Callable
from pathlib import Path

import Ice
import omero
import omero.model
import pytest
from omero.gateway import BlitzGateway
from omero.rtypes import rlong, rstring

from omero_server.checksums import ALGORITHMS, NoSuchAlgorithm, hashed
from omero_server.running import RunningServer

Connect = Callable[..., BlitzGateway]


def attached(connection: BlitzGateway, path: Path) -> omero.gateway.FileAnnotationWrapper:
    return connection.createFileAnnfromLocalFile(str(path), mimetype="text/csv", ns="test.files")


def test_a_file_attached_to_a_plate_is_found_by_namespace_and_read_back(
    connection: BlitzGateway, tmp_path: Path
) -> None:
    path = tmp_path / "features.csv"
    path.write_text("a,b\n1,2\n" * 1000)
    plate = omero.model.PlateI()
    plate.setName(rstring("measured"))
    held = connection.getObject("Plate", connection.getUpdateService().saveAndReturnObject(plate).id.val)
    held.linkAnnotation(attached(connection, path))
    [found] = held.listAnnotations(ns="test.files")
    assert found.getFile().getName() == path.name
    assert found.getFile().getSize() == path.stat().st_size
    assert b"".join(found.getFileInChunks(buf=1000)) == path.read_bytes()
    assert found.getFile().getHash() == hashed(path, "SHA1-160")


def test_a_store_reads_and_writes_anywhere_and_says_what_it_kept(connection: BlitzGateway) -> None:
    file = omero.model.OriginalFileI()
    file.setName(rstring("notes.txt"))
    file.setPath(rstring(""))
    file.setSize(rlong(0))
    file.setHasher(omero.model.ChecksumAlgorithmI())
    file.hasher.setValue(rstring("SHA1-160"))
    file = connection.getUpdateService().saveAndReturnObject(file)
    store = connection.c.sf.createRawFileStore()
    with pytest.raises(omero.ApiUsageException):
        store.size()
    store.setFileId(file.id.val)
    store.write(b"hello world", 0, 11)
    store.write(b"W", 6, 1)
    assert store.read(6, 5) == b"World"
    assert store.read(6, 7) == b"World\0\0"
    assert store.truncate(5)
    assert not store.truncate(50)
    saved = store.save()
    assert (saved.size.val, store.size(), len(saved.hash.val)) == (5, 5, 40)
    assert store.save() is None
    store.close()
    with pytest.raises(Ice.ObjectNotExistException):
        store.size()


def test_a_file_of_which_nothing_was_written_is_empty(connection: BlitzGateway, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.touch()
    found = attached(connection, path).getFile()
    assert (found.getSize(), found.getHash()) == (0, hashed(path, "SHA1-160"))


def test_a_private_file_is_nobody_elses_to_read(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "private.csv"
    path.write_text("secret")
    mine = attached(connect("ada"), path).getFile().getId()
    store = connect("ben").c.sf.createRawFileStore()
    with pytest.raises(omero.ValidationException):
        store.setFileId(mine)
    store.close()


def test_a_file_goes_from_the_disk_with_its_annotation(
    stand_in: RunningServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "short-lived.csv"
    path.write_text("x")
    connection = connect("ada")
    annotation = attached(connection, path)
    kept = stand_in.folder / "Files" / str(annotation.getFile().getId())
    assert kept.read_text() == "x"
    connection.deleteObjects("Annotation", [annotation.getId()], wait=True)
    assert not kept.exists()


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("SHA1-160", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("MD5-128", "900150983cd24fb0d6963f7d28e17f72"),
        ("CRC-32", "352441c2"),
        ("Adler-32", "024d0127"),
        ("File-Size-64", "0000000000000003"),
    ],
)
def test_checksums_are_those_of_the_standards(tmp_path: Path, algorithm: str, expected: str) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert hashed(file, algorithm) == expected
    assert algorithm in ALGORITHMS


def test_a_checksum_that_was_not_learnt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSuchAlgorithm):
        hashed(tmp_path, "Murmur3-128")


def test_nobody_puts_a_file_into_a_repository_by_saving(connection: BlitzGateway) -> None:
    file = omero.model.OriginalFileI()
    file.setName(rstring("passwd"))
    file.setPath(rstring("/etc/"))
    file.setRepo(rstring(connection.c.getManagedRepository().root().hash.val))
    with pytest.raises(omero.SecurityViolation, match="repo"):
        connection.getUpdateService().saveObject(file)
