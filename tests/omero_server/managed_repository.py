"""The managed repository: where the files of an import go, and how an import begins."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path, PurePosixPath
from typing import Any

import omero
import omero.constants
import omero.grid
from omero.rtypes import rstring, rtime

from omero_server.call import Call
from omero_server.checksums import ALGORITHMS, hashed
from omero_server.dispatch import Servant
from omero_server.graph import Row
from omero_server.import_process import ImportProcess
from omero_server.merging import Merge
from omero_server.raw_files import RawFiles, path_of
from omero_server.refusals import BadData, BadUse, NotKnown
from omero_server.service_factory import opened
from omero_server.wire import Wire

PREFERRED = ("SHA1-160", "MD5-128", "CRC-32", "Adler-32", "File-Size-64")
PARENTS_KEPT = 3
"""So many folders above the files come along into the repository."""
LOG = "application/omero-log-file"
ILLEGAL = re.compile(r'[\x00-\x1f"*:<>?\\|]')


def relative_paths(client_paths: list[str]) -> list[str]:
    """Where the files go beneath the import's own folder.

    Raises:
        BadData: a name holds a character that the repository does not take, or two files are one.
    """
    split = [tuple(part for part in PurePosixPath(path).parts if part != "/") for path in client_paths]
    for parts in split:
        if any(part in {"..", "."} or ILLEGAL.search(part) for part in parts):
            raise BadData(f"illegal path: {'/'.join(parts)}")
    if len(set(split)) != len(split):
        raise BadData("a path is there twice")
    folders = [parts[:-1] for parts in split]
    common = 0
    while all(len(parts) > common for parts in folders) and len({parts[common] for parts in folders}) == 1:
        common += 1
    first = min(common, max(0, min(map(len, folders)) - PARENTS_KEPT))
    return ["/".join(parts[first:]) for parts in split]


def expanded(template: str, said: dict[str, str]) -> str:
    """A template's folder, its ``%terms%`` replaced.

    Raises:
        NotKnown: a term that means nothing here.
    """
    folder = template.replace("//", "/")  # which only tells whose folders those before it are
    for term in set(re.findall(r"%(\w+)%", folder)):
        if term.lower() not in said:
            raise NotKnown(f"%{term}% in the template of the managed repository")
        folder = folder.replace(f"%{term}%", said[term.lower()])
    return folder


class ManagedRepository(Servant):
    """Begins imports, and shows what lies where."""

    interface = omero.grid.ManagedRepository
    proxy = omero.grid.ManagedRepositoryPrx

    def _knows(self, call: Call) -> None:
        """Nothing, if the context of the call says whose it is: the repository belongs to no session.

        Raises:
            BadUse: it does not, as where a client sends a context of its own in place of omero.client's.
        """
        for key in (omero.constants.SESSIONUUID, omero.constants.CLIENTUUID):
            if not call.current.ctx.get(key):
                raise BadUse(f"No {key} key provided in context.")

    def root(self, call: Call) -> Any:
        return described(self.server)

    def listChecksumAlgorithms(self, call: Call) -> list[Any]:
        return Wire(call).roots([self.server.enumeration("ChecksumAlgorithm", name) for name in PREFERRED])

    def suggestChecksumAlgorithm(self, call: Call, offered: list[Any]) -> Any:
        """The one that the server likes best of those that the client can; None if it can none."""
        names = {one._value.val for one in offered}
        return next((one for one in self.listChecksumAlgorithms(call) if one._value.val in names), None)

    def importFileset(self, call: Call, sent: Any, settings: Any) -> Any:
        self._knows(call)
        entries = [entry for entry in sent._usedFilesSeq if entry is not None]
        if not entries:
            raise BadUse("No paths provided")
        if settings is None or settings.checksumAlgorithm is None:
            raise BadUse("must specify checksum algorithm")
        if settings.checksumAlgorithm._value.val not in ALGORITHMS:
            raise BadUse(f"the checksum algorithm {settings.checksumAlgorithm._value.val} is not offered")
        _must_be_one_upload(sent)
        places = relative_paths([entry._clientPath.val for entry in entries])
        with self.graph.changing():
            folder = self._new_folder(call)
            for entry, place in zip(entries, places, strict=True):
                entry._originalFile = omero.model.OriginalFileI(self._file(call, folder, place, settings).id, False)
            sent._templatePrefix = rstring(f"{folder}/")
            self._add_jobs(call, sent, settings)
            [fileset] = Merge(call).all([sent])
            self._begin_log(call, fileset, folder)
        process = ImportProcess(self.server, self.session, fileset, settings, call.current)
        proxy = opened(self.session, process)
        self.server.imports.append((process, proxy))
        return proxy

    def listImports(self, call: Call) -> list[Any]:
        """Those of the user's groups that the user may go on with; on some servers none ever."""
        self._knows(call)
        if not self.server.lists_imports:
            return []
        theirs = [(one, proxy) for one, proxy in self.server.imports if one.is_open and call.may_read(one.fileset)]
        mine = [proxy for one, proxy in theirs if call.rights(one.fileset).edit]
        return [omero.grid.ImportProcessPrx.uncheckedCast(proxy) for proxy in mine]

    def verifyChecksums(self, call: Call, ids: list[int]) -> list[int]:
        """The files whose bytes are not what their hash says."""
        self._knows(call)
        files = [call.get("OriginalFile", id) for id in ids]
        return [one.id for one in files if hashed(path_of(self.server, one), one["hasher"]["value"]) != one["hash"]]

    def fileExists(self, call: Call, path: str) -> bool:
        return self._inside(path).exists()

    def list(self, call: Call, path: str) -> list[str]:
        return sorted(one.name for one in self._inside(path).iterdir())

    def fileById(self, call: Call, id: int) -> Any:
        self._knows(call)
        return opened(self.session, RawFiles(self.server, self.session).hold(call.get("OriginalFile", id)))

    def _inside(self, path: str) -> Path:
        found = (self.server.managed / path).resolve()
        if not found.is_relative_to(self.server.managed.resolve()):
            raise BadUse(f"{path} lies outside of the repository")
        return found

    def _new_folder(self, call: Call) -> str:
        while True:
            now = dt.datetime.now().astimezone()
            said = {
                "user": call.user["omeName"],
                "userid": str(call.user.id),
                "group": call.writing_group["name"],
                "groupid": str(call.writing_group.id),
                "year": f"{now:%Y}",
                "month": f"{now:%m}",
                "monthname": f"{now:%B}",
                "day": f"{now:%d}",
                "time": f"{now:%H-%M-%S}.{now.microsecond // 1000:03d}",
                "session": self.session.uuid,
                "sessionid": str(self.session.row.id),
            }
            folder = expanded(self.server.template, said)
            try:
                (self.server.managed / folder).mkdir(parents=True)
            except FileExistsError:
                continue  # another import within the same millisecond
            return folder

    def _file(self, call: Call, folder: str, place: str, settings: Any) -> Row:
        path = PurePosixPath(folder) / place
        (self.server.managed / path.parent).mkdir(parents=True, exist_ok=True)
        hasher = self.server.enumeration("ChecksumAlgorithm", settings.checksumAlgorithm._value.val)
        return call.make(
            "OriginalFile", path=f"{path.parent}/", name=path.name, repo=self.server.uuid, hasher=hasher, version=0,
            mimetype="application/octet-stream", ctime=self.server.now_ms(),
        )  # fmt: skip

    def _add_jobs(self, call: Call, sent: Any, settings: Any) -> None:
        """To the upload come the jobs of the server's own."""
        kinds = ["MetadataImportJob", "PixelDataJob", "IndexingJob"]
        if settings.doThumbnails is not None and settings.doThumbnails.val:
            kinds.insert(2, "ThumbnailGenerationJob")
        for kind in kinds:
            sent.linkJob(getattr(omero.model, f"{kind}I")())
        waiting = self.server.enumeration("JobStatus", "Waiting")
        for link in sent._jobLinksSeq:
            job, now = link._child, rtime(self.server.now_ms())
            job._username, job._groupname = rstring(call.user["omeName"]), rstring(call.writing_group["name"])
            job._submitted = job._scheduledFor = job._started = now
            job._message, job._type = rstring("Waiting"), rstring("FS")
            job._status = omero.model.JobStatusI(waiting.id, False)

    def _begin_log(self, call: Call, fileset: Row, folder: str) -> None:
        path = PurePosixPath(f"{folder}.log")
        (self.server.managed / path).write_text("")
        where = {"path": f"{path.parent}/", "name": path.name, "repo": self.server.uuid}
        log = call.make("OriginalFile", **where, mimetype=LOG, size=0, version=0)
        upload = self.graph.collection(fileset, "jobLinks")[0]["child"]
        call.make("JobOriginalFileLink", parent=upload, child=log, version=0)


def _must_be_one_upload(sent: Any) -> None:
    jobs = [link._child for link in sent._jobLinksSeq if link is not None]
    if len(jobs) != 1:
        raise BadData("Found more than one job link. Link only updateJob on creation!")
    if not isinstance(jobs[0], omero.model.UploadJob):
        raise BadData(f"Found non-UploadJob on creation: {type(jobs[0]).__name__}")


def described(server: Any) -> Any:
    """The repository as clients see it."""
    root = omero.model.OriginalFileI()
    root._name, root._path = rstring(server.managed.name), rstring(f"{server.managed.parent}/")
    root._hash, root._mimetype = rstring(server.uuid), rstring("Repository")
    return root
