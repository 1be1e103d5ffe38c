"""Bytes on their way into an upload: hashed as they pass, continued where the server has them already."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from ..checksums import Algorithm, new_digest
from ..local.copying import check_settled, source_changed
from ..local.errors import TransferCancelled
from ..repository import SourceFile, SourceReader, StoredFile
from .connection import Connection
from .offered_checksums import COMPUTED, OURS, Running
from .upload_process import UploadProcess, timed

BUFFER_BYTES = 4 * 1024 * 1024
"""What one call carries: a message of OMERO's may be 64 MB, and its own importer sends 5."""


class Sending(NamedTuple):
    """One file that is to be sent, and the upload it belongs to."""

    file: SourceFile
    upload: UploadProcess
    n_bytes_there: int = 0
    """What the server held of it when it was last closed; more than it has now would be left behind its end."""


class Sender:
    """Sends files one after another through a buffer of its own."""

    def __init__(
        self,
        connection: Connection,
        source: SourceReader,
        algorithm: Algorithm,
        on_bytes: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._source = source
        self._algorithm = algorithm
        self._on_bytes = on_bytes
        self._cancelled = cancelled
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def send(self, sending: Sending) -> StoredFile:
        """Have a file whole at the server, which has taken its checksum when this returns.

        Raises:
            SourceChanged: the file is not as it was when it settled, or changed while it was read.
            SourceMissing, SourceUnreadable, SourceFailed: the source cannot be read.
            TransferCancelled: the caller wanted no more.
            OmeroUploadLost: the upload was begun through a connection that is gone, and cannot go on.
            OmeroError: the server refuses or cannot be reached.
        """
        file, upload = sending.file, sending.upload
        index = upload.indices[file.path]
        ours: Running = new_digest(self._algorithm)
        theirs = ours if OURS.get(self._algorithm) == upload.checksum else COMPUTED[upload.checksum]()
        with closing(self._source.open(file.path)) as reader:
            before = reader.look()
            check_settled(file, before, reader.name)
            with self._connection.calling():
                process = upload.on(self._connection)
                # Asked before the store is opened: where none was open, it begins at the first byte again.
                n_sent = min(int(process.getUploadOffset(index)), before.size)
                store = self._connection.in_time(upload.store(self._connection, index))
            position = 0
            while position < before.size and (n := self._read(reader, before.size - position)):
                part = self._buffer[:n]
                for digest in {id(ours): ours, id(theirs): theirs}.values():
                    digest.update(part)
                if position + n > n_sent:
                    with self._connection.calling():
                        store.write(bytes(part), position, n)
                position += n
                self._on_bytes(n)
            after = reader.look()
            if after != before or position != before.size:
                raise source_changed(reader.name, before.size, after.size if after != before else position)
            with self._connection.calling():
                if sending.n_bytes_there > before.size:
                    store.truncate(before.size)
                # Unless it is closed, the server has no checksum of it; it takes that before it answers.
                timed(self._connection, store, before.size).close()
        upload.hashes[file.path] = theirs.hexdigest()
        return StoredFile(
            path=file.path,
            size=before.size,
            checksum=ours.hexdigest(),
            algorithm=self._algorithm,
            mtime_ns=before.mtime_ns,
            inode=before.inode,
        )

    def _read(self, reader: Any, n_left: int) -> int:
        if self._cancelled():
            raise TransferCancelled("The upload was cancelled; what is there is continued by the next one.")
        n_read: int = reader.read_into(self._buffer[:n_left] if n_left < BUFFER_BYTES else self._buffer)
        return n_read
