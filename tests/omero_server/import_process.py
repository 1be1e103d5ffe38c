"""One import: its uploads, how far they are, and what comes of them once they are whole."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.grid

from omero_server import handles
from omero_server.call import Call
from omero_server.dispatch import peer
from omero_server.graph import Row
from omero_server.handles import Handle
from omero_server.importing import Import, read, response
from omero_server.raw_files import RawFiles
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

    def __init__(self, server: Server, session: Session, fileset: Row, settings: Any, begun_by: Any) -> None:
        """``begun_by`` is what the call that began it came with: the import is made in that call's group."""
        super().__init__(server, session)
        self._begun_by = begun_by
        self.fileset = fileset
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
            if self._is_left():
                # A new store is registered at the client that began the import: where that is gone there is nothing
                # to be registered at, and the error of that is lost on the way to an answer that leads nowhere.
                return None
            store = RawFiles(self.server, self.session, closed=partial(self._uploads.pop, n, None))
            store.hold(self._files[n])
            if call.current.ctx.get("omero.fs.mode", "rw") == "r":
                store.only_read()
            else:
                store.begin()
            self._uploads[n] = store, opened(self.session, store)
        return self._uploads[n][1]

    def getUploadOffset(self, call: Call, n: int) -> int:
        """How far the open upload of a file is; 0 once it is closed."""
        return self._uploads[n][0].n_bytes if n in self._uploads else 0

    def getHandle(self, call: Call) -> Any:
        return self._handle

    def verifyUpload(self, call: Call, hashes: list[str]) -> Any:
        """Begin the import of what was uploaded, if it is what the client meant."""
        if len(hashes) != len(self._files):
            raise BadUse(f"got {len(hashes)} hashes for {len(self._files)} files")
        wrong = {n: kept for n, should in enumerate(hashes) if (kept := self._hash(n)) != should}
        if wrong:
            said = f"A checksum mismatch has occurred for files {sorted(wrong)}"
            raise omero.ChecksumValidationException("", "omero.ChecksumValidationException", said, wrong)
        call = Call(self.server, self.session, self._begun_by)
        with self.graph.changing():
            self._finish(call, "UploadJob")
        # Asked twice, the server imports twice.
        self._handle = handles.start(call, None, partial(self._import, call), N_STEPS)
        return self._handle

    def _is_left(self) -> bool:
        """Whether the client that began it has gone: closed, dropped or died."""
        try:
            here = peer(self._begun_by) in self.server.connections
        except Ice.LocalException:
            return True
        return not here or self._begun_by.ctx.get("omero.client.uuid", "") not in self.server.clients

    def _hash(self, n: int) -> str:
        """What the server noted when the upload was closed; nothing before, or once the fileset is gone."""
        file = self.graph.find("OriginalFile", self._files[n].id)
        return "" if file is None else file["hash"] or ""

    def _import(self, call: Call, handle: Handle) -> Any:
        door = self.server.door
        door.enter("ManagedRepository.import")
        with self.server.lock:
            work = Import(call, self.fileset, self._settings)
            paths = work.paths()
        handle.step(1)
        found = read(paths, self.server.bioformats)
        handle.step(2)
        with self.server.lock, self.graph.changing():
            objects, pixels = work.keep(found)
            self._finish(call)
        handle.step(3)
        door.leave("ManagedRepository.import")
        door.enter("ManagedRepository.pixelData")
        with self.server.lock, self.graph.changing():
            work.tell_series(pixels)
        door.leave("ManagedRepository.pixelData")
        handle.step(4)
        with self.server.lock:
            return response(call, objects, pixels)

    def _finish(self, call: Call, *kinds: str) -> None:
        finished = self.server.enumeration("JobStatus", "Finished")
        for link in self.graph.collection(self.fileset, "jobLinks"):
            job = link["child"]
            if not kinds or job.of in kinds:
                self.graph.put(job, "status", finished)
                self.graph.put(job, "message", "Finished")
                self.graph.put(job, "finished", self.server.now_ms())
