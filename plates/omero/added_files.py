"""Files that the mesh adds to filesets: uploaded from memory, and never told of as the user's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..checksums import Algorithm, new_digest
from ..local.errors import SourceMissing
from ..repository import SourceFile, StoredFile, ignore_bytes
from .companion import Companion
from .connection import Connection
from .uploading import Sender, Sending


class AddedFiles:
    """A source of what is added to one import; its files have no time and no inode, and never change."""

    def __init__(self, companions: Iterable[Companion], algorithm: Algorithm) -> None:
        self._data: Mapping[str, bytes] = {one.path: one.data for one in companions}
        self._algorithm = algorithm

    def __contains__(self, path: str) -> bool:
        return path in self._data

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All of them, as files to be sent."""
        return tuple(SourceFile(path=path, size=len(data)) for path, data in self._data.items())

    @property
    def stored(self) -> dict[str, StoredFile]:
        """All of them by their paths, as they are once the repository has them."""
        stored = {}
        for path, data in self._data.items():
            digest = new_digest(self._algorithm)
            digest.update(data)
            stored[path] = StoredFile(path=path, size=len(data), checksum=digest.hexdigest(), algorithm=self._algorithm)
        return stored

    def open(self, path: str) -> _OpenFile:
        """Open one of them.

        Raises:
            SourceMissing: there is none of this name.
        """
        if path not in self._data:
            raise SourceMissing(f"{path} is nothing that was added.")
        return _OpenFile(path, self._data[path])

    def sent_beside(
        self, worker: Callable[[Sending], StoredFile], connection: Connection, cancelled: Callable[[], bool]
    ) -> Callable[[Sending], StoredFile]:
        """What brings a file to the server: ``worker`` where it is the user's, an upload where it was added."""
        if not self._data:
            return worker
        own = Sender(connection, self, self._algorithm, ignore_bytes, cancelled)
        return lambda sending: own.send(sending) if sending.file.path in self else worker(sending)

    def apart(
        self, paths: Iterable[str], tell: Callable[[int], None]
    ) -> Iterator[tuple[list[str], Callable[[int], None]]]:
        """The user's files, of whose bytes is told, and those that were added, of which nobody is."""
        own: list[str] = []
        added: list[str] = []
        for path in paths:
            (added if path in self else own).append(path)
        yield own, tell
        if added:
            yield added, ignore_bytes

    def without(self, tell: Callable[[tuple[StoredFile, ...]], None]) -> Callable[[tuple[StoredFile, ...]], None]:
        """``tell`` of the user's files alone."""

        def told(files: tuple[StoredFile, ...]) -> None:
            if own := tuple(file for file in files if file.path not in self):
                tell(own)

        return told


class _OpenFile:
    """One file that was added, open for reading."""

    def __init__(self, path: str, data: bytes) -> None:
        self.name = path
        self._size = len(data)
        self._stream = io.BytesIO(data)

    def read_into(self, buffer: memoryview) -> int:
        return self._stream.readinto(buffer)

    def seek(self, offset: int) -> None:
        self._stream.seek(offset)

    def look(self) -> SourceFile:
        return SourceFile(path=self.name, size=self._size)

    def close(self) -> None:
        self._stream.close()
