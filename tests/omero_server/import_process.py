"""One import: its uploads, how far they are, and what comes of them once they are whole."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import omero
import omero.grid

from omero_server import handles
from omero_server.call import Call
from omero_server.checksums import hashed
from omero_server.dispatch import unlocked
from omero_server.graph import Row
from omero_server.handles import Handle
from omero_server.importing import Import, read, response
from omero_server.raw_files import RawFiles, path_of
from omero_server.refusals import BadUse
from omero_server.service_factory import Stateful, opened
from omero_server.sessions import Session

if TYPE_CHECKING:
    from omero_server.server import Server

N_STEPS = 5


class ImportProcess(Stateful):
    """Lives as long as its session, or until the client closes it."""

    interface = omero.grid.ImportProcess
    proxy = omero.grid.ImportProcessPrx

    def __init__(self, server: Server, session: Session, fileset: Row, settings: Any) -> None:
        super().__init__(server, session)
        self._fileset = fileset
        self._settings = settings
        self._files = [entry["originalFile"] for entry in server.graph.collection(fileset, "usedFiles")]
        self._uploads: dict[int, tuple[RawFiles, Any]] = {}
        self._handle: Any = None
        self.is_open = True

    def release(self) -> None:
        self.is_open = False

    def getImportSettings(self, call: Call) -> Any:
        return self._settings

    def getUploader(self, call: Call, n: int) -> Any:
        """The store of one file; the same one for as long as it is open."""
        if not 0 <= n < len(self._files):
            raise BadUse(f"there is no file {n} among {len(self._files)}")
        if n not in self._uploads:
            store = RawFiles(self.server, self.session, closed=partial(self._uploads.pop, n, None))
            self._uploads[n] = store, opened(self.session, store.hold(self._files[n]))
        return self._uploads[n][1]

    def getUploadOffset(self, call: Call, n: int) -> int:
        """How far the open upload of a file is; 0 once it is closed."""
        return self._uploads[n][0].n_bytes if n in self._uploads else 0

    def getHandle(self, call: Call) -> Any:
        return self._handle

    @unlocked
    def verifyUpload(self, call: Call, hashes: list[str]) -> Any:
        """Begin the import of what was uploaded, if it is what the client meant."""
        if len(hashes) != len(self._files):
            raise BadUse(f"got {len(hashes)} hashes for {len(self._files)} files")
        found = [self._hash(n) for n in range(len(self._files))]
        wrong = {n: is_ for n, (is_, should) in enumerate(zip(found, hashes, strict=True)) if is_ != should}
        if wrong:
            said = f"A checksum mismatch has occurred for files {sorted(wrong)}"
            raise omero.ChecksumValidationException("", "omero.ChecksumValidationException", said, wrong)
        with self.server.lock, self.graph.changing():
            for file, hash_ in zip(self._files, found, strict=True):
                self.graph.put(file, "hash", hash_)
                self.graph.put(file, "size", path_of(self.server, file).stat().st_size)
        with self.server.lock:
            if self._handle is None:
                self._handle = handles.start(call, None, partial(self._import, call), N_STEPS)
            return self._handle

    def _hash(self, n: int) -> str:
        file = self._files[n]
        path = path_of(self.server, file)
        if n in self._uploads or not path.exists():
            return ""  # what was never closed has no checksum on the server
        return hashed(path, self._settings.checksumAlgorithm._value.val)

    def _import(self, call: Call, handle: Handle) -> Any:
        door = self.server.door
        door.enter("ManagedRepository.import")
        with self.server.lock:
            work = Import(call, self._fileset, self._settings)
            paths = work.paths()
        handle.step(1)
        found = read(paths)
        handle.step(2)
        with self.server.lock, self.graph.changing():
            objects, pixels = work.keep(found)
            self._finish_jobs(call)
        handle.step(3)
        door.leave("ManagedRepository.import")
        handle.step(4)
        with self.server.lock:
            return response(call, objects, pixels)

    def _finish_jobs(self, call: Call) -> None:
        finished = self.server.enumeration("JobStatus", "Finished")
        for link in self.graph.collection(self._fileset, "jobLinks"):
            self.graph.put(link["child"], "status", finished)
            self.graph.put(link["child"], "finished", self.server.now_ms())
