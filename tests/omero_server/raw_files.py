"""RawFileStore: the bytes of one file, read and written in blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import omero
import omero.api
from omero.rtypes import rlong

from omero_server.call import Call
from omero_server.checksums import hashed
from omero_server.dispatch import unlocked
from omero_server.graph import Row
from omero_server.refusals import BadUse
from omero_server.service_factory import Stateful
from omero_server.sessions import Session
from omero_server.wire import Wire

if TYPE_CHECKING:
    from omero_server.server import Server

MOST_BYTES = 64_000_000
"""What one call may read."""


def path_of(server: Server, file: Row) -> Path:
    """Where the bytes of an OriginalFile lie."""
    if file["repo"] == server.uuid:
        return server.managed / file["path"] / file["name"]
    return server.folder / "Files" / str(file.id)


class RawFiles(Stateful):
    """One file at a time; an upload of an import has its file from the start."""

    interface = omero.api.RawFileStore
    proxy = omero.api.RawFileStorePrx

    def __init__(self, server: Server, session: Session, closed: Callable[[], None] | None = None) -> None:
        super().__init__(server, session)
        self._file: Row | None = None
        self._path: Path | None = None
        self._closed = closed
        self._modified = False
        self._is_writable = True
        self.n_bytes = 0
        """How far the last write went: where an upload goes on."""

    def hold(self, file: Row) -> RawFiles:
        """Be about this file from now on."""
        self._file, self._path = file, path_of(self.server, file)
        return self

    def begin(self) -> None:
        """Have the file there, so that also one of no bytes is uploaded by opening and closing."""
        path = self._where()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():  # an import in place: what it leads to is not ours to touch
            path.touch()

    def only_read(self) -> None:
        """Have nothing written through it."""
        self._is_writable = False

    def setFileId(self, call: Call, id: int) -> None:
        self.hold(call.get("OriginalFile", id))

    def getFileId(self, call: Call) -> Any:
        return None if self._file is None else rlong(self._file.id)

    def exists(self, call: Call) -> bool:
        return self._where().exists()

    def size(self, call: Call) -> int:
        return self._read(lambda path: path.stat().st_size)

    @unlocked
    def read(self, call: Call, position: int, n_bytes: int) -> bytes:
        def part(path: Path) -> bytes:
            with path.open("rb") as file:
                return os.pread(file.fileno(), n_bytes, position)

        if n_bytes > MOST_BYTES:
            raise BadUse(f"Too big: {n_bytes}")
        data: bytes = self._read(part)
        self.server.door.moved("RawFileStore.read", len(data))
        return data.ljust(n_bytes, b"\0")  # as the server does: behind the end there are zeros

    @unlocked
    def write(self, call: Call, data: bytes, position: int, n_bytes: int) -> None:
        if position < 0 or n_bytes > len(data):
            raise BadUse(f"{n_bytes} bytes at {position} of a buffer of {len(data)}")
        path = self._writable(call)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, memoryview(data)[:n_bytes], position)
        finally:
            os.close(descriptor)
        self._modified = True
        self.n_bytes = position + n_bytes
        self.server.door.moved("RawFileStore.write", n_bytes)

    @unlocked
    def truncate(self, call: Call, n_bytes: int) -> bool:
        path = self._writable(call)
        if not path.exists() or path.stat().st_size <= n_bytes:
            return False
        os.truncate(path, n_bytes)
        self._modified = True
        return True

    @unlocked
    def save(self, call: Call) -> Any:
        """Have the OriginalFile say how large the file is, and its hash; None where nothing has changed."""
        file = self._about()
        if not self._where().exists() and call.rights(file).edit:
            self.begin()  # a file of which nothing was ever written is an empty one
        if not self._has_changed(file):
            return None
        self._note(file)
        with self.server.lock:
            return Wire(call).root(file)

    @unlocked
    def close(self, call: Call) -> None:
        super().close(call)  # which takes a checksum, and time

    def release(self) -> None:
        if self._file is not None and self._has_changed(self._file):
            self._note(self._file)
        if self._closed is not None:
            self._closed()
        self._file = self._path = self._closed = None

    def _has_changed(self, file: Row) -> bool:
        """Whether it was written through here, or, as by a link in its place, behind our back."""
        path = path_of(self.server, file)
        if not path.exists() or self.graph.find("OriginalFile", file.id) is None:
            return False
        size = path.stat().st_size
        return self._modified or size == 0 or (file["size"] is not None and size != file["size"])

    def _note(self, file: Row) -> None:
        path = path_of(self.server, file)
        said = None if file["hasher"] is None else hashed(path, file["hasher"]["value"])
        is_ = {"size": path.stat().st_size, "hash": said, "mtime": int(path.stat().st_mtime * 1000)}
        with self.server.lock, self.graph.changing():
            if any(file[name] != value for name, value in is_.items()):
                for name, value in is_.items():
                    self.graph.put(file, name, value)
                self.graph.put(file, "version", (file["version"] or 0) + 1)
        self._modified = False

    def _about(self) -> Row:
        if self._file is None:
            raise BadUse("This RawFileStore has no file: setFileId comes first")
        return self._file

    def _where(self) -> Path:
        self._about()
        assert self._path is not None
        return self._path

    def _read(self, read: Callable[[Path], Any]) -> Any:
        path = self._where()
        try:
            return read(path)
        except FileNotFoundError:
            said = f"{self._about()} has no bytes on disk"
            raise omero.ResourceError("", "ome.conditions.ResourceError", said) from None

    def _writable(self, call: Call) -> Path:
        if not self._is_writable:
            raise OSError("NonWritableChannelException: it was opened to be read")
        with self.server.lock:
            call.may("edit", self._about())
        return self._where()
