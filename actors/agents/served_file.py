"""A file that an agent has open: read at any place, and hashed as long as it is read in order."""

from __future__ import annotations

import asyncio
import hashlib

import google_crc32c

from ...messages.agents import Chunk, ChunkSum
from ...plates.checksums import Algorithm, new_digest
from ...plates.repository import OpenSource, SourceFile


class ServedFile:
    """One open file; its calls block, and are made one after the other in the order of ``turn``."""

    def __init__(self, opened: OpenSource, import_id: str, root: str, path: str, algorithm: Algorithm) -> None:
        self.import_id = import_id
        self.root = root
        self.path = path
        self.algorithm = algorithm
        self.turn = asyncio.Lock()
        self._open = opened
        self._at = 0
        self._n_hashed = 0
        self._digest = new_digest(algorithm)
        # Kept: a fresh one for each read costs as much as a third of the hashing, in pages that are new to it.
        self._buffer = memoryview(b"")

    def read(self, offset: int, n_bytes: int) -> Chunk:
        """Bytes of the file.

        Raises:
            SourceMissing, SourceUnreadable, SourceFailed: the disk does not hand them out.
        """
        data = bytes(self._read(offset, n_bytes))
        return Chunk(data=data, crc32c=google_crc32c.value(data))

    def sum(self, offset: int, n_bytes: int) -> ChunkSum:
        """What bytes of the file are.

        Raises:
            SourceMissing, SourceUnreadable, SourceFailed: the disk does not hand them out.
        """
        data = self._read(offset, n_bytes)
        return ChunkSum(n_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def look(self) -> SourceFile:
        """How the file looks now.

        Raises:
            MeshError: it is not what was opened any more.
        """
        return self._open.look()

    def checksum(self, size: int) -> str:
        """The checksum of the whole file, if every byte of it was read in order; else nothing."""
        return self._digest.copy().hexdigest() if self._n_hashed == size else ""

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()

    def _read(self, offset: int, n_bytes: int) -> memoryview:
        if offset != self._at:
            self._open.seek(offset)
        if len(self._buffer) < n_bytes:
            self._buffer = memoryview(bytearray(n_bytes))
        buffer = self._buffer
        n = 0
        while n < n_bytes and (more := self._open.read_into(buffer[n:n_bytes])):
            n += more
        self._at = offset + n
        if offset <= self._n_hashed < self._at:
            # Read twice, as where two windows of a resumed transfer overlap: what is new of it is hashed.
            self._digest.update(buffer[self._n_hashed - offset : n])
            self._n_hashed = self._at
        return buffer[:n]
