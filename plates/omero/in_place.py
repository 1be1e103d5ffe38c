"""Files imported where they lie: a link takes the place of the upload in the server's own folder.

As OMERO's importer does it (``transfer=ln_s``): the server writes some words into the file, so that it is certain
that both see the same folder; then the file gives way to a link, and the server is asked what it sees through it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..checksums import Algorithm
from ..local.adoption import Hasher
from ..repository import SourceReader, StoredFile
from .connection import Connection
from .errors import OmeroNotInPlace
from .offered_checksums import COMPUTED, OURS
from .upload_process import READING, UploadProcess, timed
from .uploading import Sending

INSTEAD = "Import by upload, or see to it that the account of the mesh may write there and the server read here."


def mounted(managed: Path | None) -> Path:
    """The server's managed repository, where links are put.

    Raises:
        OmeroNotInPlace: it is not mounted here.
    """
    if managed is None or not managed.is_dir():
        where = f" ({managed} is no folder)" if managed is not None else ""
        raise OmeroNotInPlace(
            f"Files are imported in place by links in OMERO's managed repository, which is not mounted{where}.",
            hint=f"Mount it here and name it in omero.managed_repository. {INSTEAD}",
        )
    return managed


class Linker:
    """Hashes files of the source one after another, and has links to them stand in the server's folder."""

    def __init__(
        self,
        connection: Connection,
        managed: Path,
        source: Path,
        reader: SourceReader,
        algorithm: Algorithm,
        on_bytes: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._managed = managed
        self._hasher = Hasher(source, reader, algorithm, on_bytes, cancelled)
        self._algorithm = algorithm

    def link(self, sending: Sending) -> StoredFile:
        """Have the server read a file where it lies.

        Raises:
            OmeroNotInPlace: its folder is not what is mounted here, cannot be written to, or it does not see the file.
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the file.
            TransferCancelled: the caller wanted no more.
            OmeroUploadLost: the upload was begun through a connection that is gone, and cannot go on.
            OmeroError: the server refuses or cannot be reached.
        """
        upload = sending.upload
        index = upload.indices[sending.file.path]
        stored = self._hasher.read(sending.file)
        with self._connection.calling():
            words = self._announced(timed(self._connection, upload.store(self._connection, index), 0), stored.size)
            entry = self._entry(upload, index)
            self._exchange(entry, words, stored.links_to)
            store = timed(self._connection, upload.store(self._connection, index, READING), stored.size)
            self._seen(store, stored)
            store.save()
            store.close()
        upload.hashes[sending.file.path] = self._theirs(upload.checksum, stored)
        return stored

    def _announced(self, store: Any, size: int) -> bytes:
        """What the server has written into the file; of another length than the file it stands for."""
        words = uuid.uuid4().hex.encode()
        words += b" " if len(words) == size else b""
        store.write(words, 0, len(words))
        store.close()
        return words

    def _entry(self, upload: UploadProcess, index: int) -> Path:
        store = upload.store(self._connection, index, READING)
        file_id = int(store.getFileId().getValue())
        store.close()
        [[path, name]] = self._connection.rows(
            "select file.path, file.name from OriginalFile file where file.id = :id", id=file_id
        )
        entry = self._managed / str(path).lstrip("/") / str(name)
        if not entry.parent.resolve().is_relative_to(self._managed.resolve()):
            raise OmeroNotInPlace(f"{entry} does not lie below omero.managed_repository.", hint=INSTEAD)
        return entry

    def _exchange(self, entry: Path, words: bytes, links_to: str) -> None:
        try:
            if entry.is_symlink() or entry.read_bytes() != words:
                raise OmeroNotInPlace(
                    f"{self._managed} is not the managed repository of OMERO at {self._connection.address}: what it "
                    f"wrote is not in {entry}.",
                    hint="Mount its managed repository there (omero.managed_repository).",
                )
            new = entry.with_name(f"{entry.name}.{words[:8].decode()}.part")
            new.symlink_to(links_to)
            new.replace(entry)
        except OSError as error:
            raise OmeroNotInPlace(
                f"No link can be put in the place of {entry}: {error.strerror}.", hint=INSTEAD
            ) from error

    def _seen(self, store: Any, stored: StoredFile) -> None:
        omero = self._connection.library.omero
        try:
            size = int(store.size())
        except (omero.ResourceError, omero.InternalException) as error:
            raise OmeroNotInPlace(
                f"OMERO at {self._connection.address} does not see {stored.links_to} under that name.", hint=INSTEAD
            ) from error
        if size != stored.size:
            raise OmeroNotInPlace(
                f"OMERO at {self._connection.address} sees {size:,} bytes under the name {stored.links_to}, and here "
                f"it has {stored.size:,}.",
                hint=INSTEAD,
            )

    def _theirs(self, checksum: str, stored: StoredFile) -> str:
        if OURS.get(self._algorithm) == checksum:
            return stored.checksum
        digest = COMPUTED[checksum]()
        with open(stored.links_to, "rb") as file:  # noqa: PTH123 - a name of ours, resolved already
            while part := file.read(1 << 20):
                digest.update(memoryview(part))
        return digest.hexdigest()
