"""Files attached to what they describe: uploaded, compared by their SHA-1, then linked, each once."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from .connection import Connection
from .errors import OmeroWriteSpoilt
from .open_store import opened
from .result_keys import ResultKey, mimetype, noted
from .saving import Keyed, Target, delete, find_keyed, link, owner_of, save, unloaded
from .well_records import WellRecord

BLOCK_BYTES = 4 * 1024 * 1024
"""Written and read at a time; OMERO answers to at most 64 MB."""
SHA1 = "SHA1-160"

LINKED = "select f.id, f.size, f.mimetype from FileAnnotation a join a.file f where a.id = :id"
UNLINKED = """
select f.id from OriginalFile f
where f.path = :path and f.name = :name and f.details.owner.omeName = :owner
and not exists (select a.id from FileAnnotation a where a.file.id = f.id) order by f.id
"""
STORED = "select f.size, f.hash from OriginalFile f where f.id = :id"


class AttachedFile(NamedTuple):
    """A file that is attached; ``file_id`` is its OriginalFile."""

    annotation_id: int
    file_id: int
    size: int
    sha1: str
    mimetype: str


def attach_file(
    connection: Connection, to: Target, key: ResultKey, content: Path, *, namespace: str, record: WellRecord
) -> AttachedFile:
    """Attach a file, once: one that is there is kept where its SHA-1 is the same, else replaced.

    Raises:
        OmeroNotPermitted: the session's user may not annotate this.
        OmeroWriteSpoilt: the server holds other bytes than were sent.
        OmeroError: the server refuses or cannot be reached.
    """
    with content.open("rb") as file:
        sha1 = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    there = kept(connection, key, namespace=namespace, sha1=sha1, group_id=to.group_id)
    if there is not None:
        return there
    file_id = _begun_file(connection, key, content, sha1, to.group_id)
    _upload(connection, file_id, content, to.group_id)
    size, stored_sha1 = connection.rows(STORED, id=file_id)[0]
    if (size, stored_sha1) != (content.stat().st_size, sha1):
        raise OmeroWriteSpoilt(
            f"OMERO holds {size} bytes with SHA-1 {stored_sha1} of {key.path}, and {content.stat().st_size} bytes "
            f"with {sha1} were sent.",
            hint="It is written again with the next try; if that fails too, look at the server's disk.",
        )
    return link_file(connection, to, key, file_id, namespace=namespace, sha1=sha1, record=record)


def attached_file(connection: Connection, key: ResultKey, namespace: str, *, group_id: int) -> AttachedFile | None:
    """The file that the key's owner has attached with it, whatever it holds.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    found = find_keyed(connection, namespace, key, group_id=group_id)
    return _described(connection, found[0]) if found else None


def kept(connection: Connection, key: ResultKey, *, namespace: str, sha1: str, group_id: int) -> AttachedFile | None:
    """The owner's file that is attached with this key and SHA-1; the owner's others with the key are taken away.

    Raises:
        OmeroError: the server refuses or cannot be reached.
    """
    found = find_keyed(connection, namespace, key, group_id=group_id)
    described = ((one, _described(connection, one)) for one in found if one.noted.get("sha1") == sha1)
    same, file = next(((one, file) for one, file in described if file is not None), (None, None))
    delete(connection, "Annotation", (one.id for one in found if one is not same), group_id=group_id)
    return file


def link_file(
    connection: Connection, to: Target, key: ResultKey, file_id: int, *, namespace: str, sha1: str, record: WellRecord
) -> AttachedFile:
    """Attach a file that is uploaded; what it is attached to and its provenance appear with it.

    Raises:
        OmeroNotPermitted: the session's user may not annotate this.
        OmeroError: the server refuses or cannot be reached.
    """
    library = connection.library
    annotation = library.omero.model.FileAnnotationI()
    annotation.setNs(library.rtypes.rstring(namespace))
    annotation.setName(library.rtypes.rstring(key.text))
    told = (("job", key.job), ("well", key.well), ("file", key.path), ("sha1", sha1))
    annotation.setDescription(library.rtypes.rstring(noted(pair for pair in told if pair[1])))
    annotation.setFile(unloaded(connection, "OriginalFile", file_id))
    annotation.linkAnnotation(unloaded(connection, "MapAnnotation", record.id))
    save(connection, [link(connection, to, annotation)], group_id=to.group_id)
    attached = kept(connection, key, namespace=namespace, sha1=sha1, group_id=to.group_id)
    assert attached is not None, "it was just saved"
    return attached


def read_file(connection: Connection, attached: AttachedFile, into: Path, *, size: int, group_id: int) -> Path:
    """Write an attached file to ``into``, which was of this size when it was attached.

    Raises:
        OmeroWriteSpoilt: it is not what was attached.
        OmeroError: the server refuses or cannot be reached.
    """
    if attached.size != size:
        # Before a byte of it is written: OMERO gives zeros behind the end of a file that says it is longer.
        raise OmeroWriteSpoilt(
            f"File {attached.file_id} at OMERO is said to have {attached.size} bytes and was attached with {size}.",
            hint="It has changed at the server: run the pipeline again.",
        )
    digest = hashlib.sha1(usedforsecurity=False)
    with connection.calling(), _store(connection, group_id) as store, into.open("wb") as file:
        store.setFileId(attached.file_id)
        for at in range(0, attached.size, BLOCK_BYTES):
            block = store.read(at, min(BLOCK_BYTES, attached.size - at))
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != attached.sha1:
        raise OmeroWriteSpoilt(
            f"File {attached.file_id} at OMERO has SHA-1 {digest.hexdigest()} and was attached with {attached.sha1}.",
            hint="Its bytes have changed at the server: run the pipeline again.",
        )
    return into


def _described(connection: Connection, found: Keyed) -> AttachedFile | None:
    """The file; None where somebody has saved another kind of annotation under its key."""
    for file_id, size, kind in connection.rows(LINKED, id=found.id):
        return AttachedFile(found.id, file_id, size, found.noted.get("sha1", ""), kind)
    return None


def _begun_file(connection: Connection, key: ResultKey, content: Path, sha1: str, group_id: int) -> int:
    """The OriginalFile to upload to: one that a crash left without a link, else a new one."""
    rows = connection.rows(
        UNLINKED, group=str(group_id), path=key.folder, name=key.name, owner=owner_of(connection, key)
    )
    begun = [number for (number,) in rows]
    delete(connection, "OriginalFile", begun[1:], group_id=group_id)
    if begun:
        return int(begun[0])
    library = connection.library
    file = library.omero.model.OriginalFileI()
    hasher = library.omero.model.ChecksumAlgorithmI()
    hasher.setValue(library.rtypes.rstring(SHA1))
    file.setName(library.rtypes.rstring(key.name))
    file.setPath(library.rtypes.rstring(key.folder))
    file.setSize(library.rtypes.rlong(content.stat().st_size))
    file.setHash(library.rtypes.rstring(sha1))
    file.setHasher(hasher)
    file.setMimetype(library.rtypes.rstring(mimetype(key.path)))
    return save(connection, [file], group_id=group_id)[0]


def _upload(connection: Connection, file_id: int, content: Path, group_id: int) -> None:
    with connection.calling(), _store(connection, group_id) as store, content.open("rb") as file:
        store.setFileId(file_id)
        at = 0
        while block := file.read(BLOCK_BYTES):
            store.write(block, at, len(block))
            at += len(block)
        store.truncate(at)
        store.save()


def _store(connection: Connection, group_id: int) -> AbstractContextManager[Any]:
    return opened(connection, connection.session.createRawFileStore(), group_id=group_id)
