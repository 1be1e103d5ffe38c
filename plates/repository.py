"""What the mesh asks of a place that takes plates over and keeps what was found out about them.

A place that is only read from needs none of this: ``plate_source`` says what it needs. Every call blocks and is called
from threads. Files, plates and results are promised durable when the call that stores them returns, and each such call
may be repeated: what is there already is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from .checksums import Algorithm
from .import_outline import ImportOutline
from .labels import Target
from .model import Plate, PlateSummary
from .plate_source import PlateSource

ResultKind = Literal["label", "plane", "table", "other"]


FileMark = tuple[int, int, int]
"""Inode, size and time: no device, whose number each mount and each host makes up for itself."""


def file_mark(inode: int, size: int, mtime_ns: int) -> FileMark | None:
    """The mark of a file; None where its inode or time is not known."""
    # File servers hand times out in steps of 100 ns.
    return (inode, size, mtime_ns // 1_000) if inode and mtime_ns else None


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to take over, as it looked when it had settled; ``mtime_ns``, ``inode`` and ``device`` 0 mean not known.

    An inode's number is one of its file system, the ``device``: the two together are a file and no other.
    ``path`` is relative to the import's source, with '/' between folders.
    """

    path: str
    size: int
    mtime_ns: int = 0
    inode: int = 0
    device: int = 0

    @property
    def mark(self) -> FileMark | None:
        """What tells the file from others on any host that sees it; None where its inode or time is not known."""
        return file_mark(self.inode, self.size, self.mtime_ns)


class OpenSource(Protocol):
    """One file of a source, open for reading; used by one thread at a time."""

    name: str
    """What people call the file in messages: its path, with its host where that is another one."""

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes, at most the buffer's, and return how many; 0 at the end of the file."""

    def seek(self, offset: int) -> None:
        """Read on from this byte."""

    def look(self) -> SourceFile:
        """Say what the file is like now; an error where its name leads to another file than the open one."""

    def close(self) -> None:
        """Let go of the file."""


class SourceReader(Protocol):
    """Where an import's bytes come from: a folder on this host, or one that an agent elsewhere serves.

    Every call blocks. What goes wrong is told by the errors ``SourceMissing``, ``SourceUnreadable``,
    ``SourceChanged`` and ``SourceFailed`` of the local repository, whatever kind of source it is.
    """

    def open(self, path: str) -> OpenSource:
        """Open the file at a path relative to the source; called from several threads."""


@runtime_checkable
class SmallFileReader(SourceReader, Protocol):
    """A source that hands out small files whole: to open each by itself costs more than to read it."""

    def read_small(self, files: Sequence[SourceFile]) -> list[bytes | None]:
        """The bytes of each file that was, before and after they were read, what is known of it.

        Of any other there is None and no word of what is the matter: who opens it is told. Called from several threads.
        """


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the repository vouches for, and what its source looked like when it was read.

    It lies in the repository byte for byte, or, imported in place, at the absolute path ``links_to``. The
    checksum is empty only where an older version wrote the record: such a file is read again.
    """

    path: str
    size: int
    checksum: str = ""
    algorithm: Algorithm = "sha1"
    mtime_ns: int = 0
    inode: int = 0
    links_to: str = ""


class StoredFileset(msgspec.Struct, frozen=True, kw_only=True):
    """Files that belong together and the plates they make.

    A plate's id is 0 (the repository gives it one) and its root is relative to the import's files.
    """

    planner: str
    files: tuple[StoredFile, ...]
    plates: tuple[Plate, ...] = ()
    root: str = ""


class PartialFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of which the repository holds the first ``size`` bytes."""

    path: str
    size: int


class ImportStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository holds of one import: the question to ask before anything is tried again."""

    import_id: str
    registered: bool
    plate_ids: tuple[int, ...] = ()
    complete: tuple[str, ...] = ()
    partial: tuple[PartialFile, ...] = ()
    n_bytes: int = 0


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a well's result; ``path`` is relative to the result's folder.

    ``output`` names the pipeline's output, ``field``, ``c``, ``z`` and ``t`` the image it describes.
    Height, width and dtype are given for labels and planes, ``size`` and ``sha1`` by :func:`seal_well`.
    """

    path: str
    kind: ResultKind
    output: str = ""
    field: int = 0
    c: int = 0
    z: int = 0
    t: int = 0
    height: int = 0
    width: int = 0
    dtype: str = ""
    size: int = 0
    sha1: str = ""


class StoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished well: what was counted, measured and written; ``folder`` is absolute once it is committed."""

    job: str
    plate_id: int
    well: str
    attempt: int
    n_objects: int = 0
    measurements: tuple[tuple[str, float], ...] = ()
    files: tuple[ResultFile, ...] = ()
    folder: str = ""
    notes: tuple[str, ...] = ()


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """Text that somebody attached to a plate, or to one well of it."""

    id: int
    plate_id: int
    namespace: str
    name: str
    value: str
    well: str = ""
    author: str = ""
    created_at_s: float = 0.0


NO_TARGET = Target()
"""Plates that belong nowhere in particular."""


def ignore_bytes(n_bytes: int) -> None:
    """Take note of nothing: the progress of a caller that shows none."""


def ignore_linked() -> None:
    """Take note of nothing: for a caller that files elsewhere may be read for at any time."""


def ignore_files(files: tuple[StoredFile, ...]) -> None:
    """Take note of nothing: for a caller that keeps no record of single files."""


def wait_on(reason: str) -> None:
    """Go on waiting: for a caller that shows no reason and never cancels."""


def never() -> bool:
    """Answer False: the work of a caller that never cancels."""
    return False


class ImportRepository(Protocol):
    """Takes the files of imports over and makes plates of them: all that one import asks for."""

    @property
    def kind(self) -> str:
        """The backend's name: 'local'."""

    def files_folder(self, import_id: str) -> Path:
        """Say where an import's files lie on this host, whether they are there yet or not."""

    def reconcile(self, import_id: str) -> ImportStanding:
        """Say what is here of an import: which files are complete or begun, and whether it is registered."""

    def transfer(
        self,
        import_id: str,
        source: SourceReader,
        files: Sequence[SourceFile],
        *,
        known: Sequence[StoredFile] = (),
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
        cancelled: Callable[[], bool] = never,
    ) -> tuple[StoredFile, ...]:
        """Take files over, continuing where an earlier call stopped, and return them once they are durable.

        ``known`` are files that ``on_files`` reported durable earlier: they are not read again.
        ``on_bytes`` is called from the working threads, ``on_files`` from the calling one.
        """

    def adopt(
        self,
        import_id: str,
        source: Path,
        files: Sequence[SourceFile],
        *,
        reader: SourceReader | None = None,
        known: Sequence[StoredFile] = (),
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
        cancelled: Callable[[], bool] = never,
    ) -> tuple[StoredFile, ...]:
        """Take files over in place: they are read and hashed once, and the repository keeps links to them.

        The arguments are those of ``transfer``, but for the source, which is a folder on this host; through ``reader``
        its files are read.
        """

    def verify(
        self,
        import_id: str,
        files: Sequence[StoredFile],
        *,
        on_bytes: Callable[[int], None] = ignore_bytes,
        on_linked: Callable[[], None] = ignore_linked,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Read every file again from the disk and compare it with its checksum.

        ``on_linked`` is called from the working threads before a file is opened that lies in place, at its owner's.
        """

    def register(
        self,
        import_id: str,
        filesets: Sequence[StoredFileset],
        *,
        name: str = "",
        source: str = "",
        owner: str = "",
        target: Target = NO_TARGET,
        while_waiting: Callable[[str], None] = wait_on,
    ) -> tuple[int, ...]:
        """Make an import's plates appear all at once and return their ids; the same ids when it is repeated.

        Their screen, project and dataset, and what ``target`` says of them, appear with them. Where a server takes
        its time, ``while_waiting`` is told now and then for what is waited; what it raises ends the wait.
        """

    def discard(self, import_id: str) -> None:
        """Remove the files of an import that was never registered; files that are only linked to stay."""

    def rest(self, import_id: str) -> None:
        """Hear that nothing is done for an import before somebody asks: others may have what it keeps from them."""

    def off_plates(self, import_id: str) -> str:
        """Say, for people, which images of a finished import are on no plate here, and where they are; else nothing."""

    def annotate(
        self, plate_id: int, *, key: str, namespace: str, name: str, value: str, well: str = "", author: str = ""
    ) -> Annotation:
        """Attach text to a plate or well, once for each ``key``."""


class Taken(NamedTuple):
    """What a repository has taken over of one import: whether it is finished, and its files with their sizes."""

    registered: bool
    files: Mapping[str, int]


class ImportStore(Protocol):
    """Takes filesets over byte for byte, and knows what it has taken."""

    @property
    def kind(self) -> str:
        """The backend's name: 'local'."""

    def for_import(self, outline: ImportOutline) -> ImportRepository:
        """The repository as one import is to use it: in its owner's name, where that matters to the repository."""

    def import_ids(self) -> frozenset[str]:
        """The imports of which anything is here, registered or begun, as far as this can be told."""

    def links_into(self, folder: str) -> Mapping[str, str]:
        """The files below a folder that registered imports have in place, each with one of them, as far as is known."""

    def has_in_place(self, files: Sequence[SourceFile]) -> str:
        """A registered import that has one of these files in place, whatever its path; empty if none is known."""

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        """List every plate that this person may see."""

    def taken(self, import_id: str, *, owner: str = "", root: str = "") -> Taken:
        """Say what is here of an import that ``owner`` had made of the folder ``root``; files relative to that."""

    def away(self, person: str = "", *, sends: str = "") -> str:
        """Why nothing can be done here in a person's name now, although later it may be; empty where it can.

        ``sends`` is an import that has files to be taken over or made plates of: it may have to wait for others.
        """


class JobOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's results come from: told to whoever keeps them, for people to read beside them."""

    job: str
    plate_id: int
    pipeline: str
    source: str
    owner: str


class WellResults(Protocol):
    """Keeps the finished wells of jobs, in the name of the job's owner, who is the ``requester`` of what is written."""

    def results_folder(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> Path:
        """Make and return the empty folder into which this attempt writes its files, then seals them."""

    def commit_well(self, plate_id: int, job: str, well: str, attempt: int, *, requester: str = "") -> StoredResult:
        """Publish a sealed attempt, once for each job and well: a later attempt gets the first one's result."""

    def results(self, job: str, *, requester: str = "") -> tuple[StoredResult, ...]:
        """List the finished wells of a job."""

    def sweep(
        self, job: str, *, alive: Collection[tuple[str, int]] = (), requester: str = ""
    ) -> tuple[StoredResult, ...]:
        """Finish the commits that a crash cut short and remove attempts that are not ``alive`` (well, attempt)."""


class ResultStore(WellResults, Protocol):
    """A backend that keeps the finished wells of the plates whose place names it as compatible."""

    @property
    def kind(self) -> str:
        """The backend's name: 'local'."""

    def away(self, person: str = "") -> str:
        """Why nothing can be done here in a person's name now, although later it may be; empty where it can."""

    def job_taken(self, origin: JobOrigin) -> None:
        """Hear of a job before its first well is begun, in each life of the mesh."""

    def well_result(self, job: str, well: str, *, requester: str = "") -> StoredResult:
        """Return one finished well with its files in a folder of this host, as this person sees it."""


class Repository(PlateSource, ImportRepository, ImportStore, ResultStore, Protocol):
    """Holds filesets byte for byte, knows their plates, and keeps what was found out about them."""
