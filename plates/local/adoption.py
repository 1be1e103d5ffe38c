"""Importing in place: the repository keeps links to the files and what they held, and never their bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from ..checksums import Algorithm, new_digest
from ..link_records import RECORDS, write_link_records
from ..linked_file import leads_to
from ..repository import SourceFile, SourceReader, StoredFile, ignore_bytes, ignore_files, never
from .copying import check_settled, source_changed
from .crew import work_through
from .disk import make_all_folders, make_folders, sync_file, sync_files, sync_folder, sync_folders
from .disk_file import disk_buffer
from .errors import TransferCancelled, repository_errors, source_error
from .folder_reader import FolderReader
from .names import PART, checked_path
from .transfer import BATCH_BYTES, BATCH_FILES, N_THREADS


class Hasher:
    """Reads files of the source one after another through a buffer of its own."""

    def __init__(
        self,
        source: Path,
        reader: SourceReader,
        algorithm: Algorithm,
        on_bytes: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._source = _RealPaths(source)
        self._reader = reader
        self._algorithm = algorithm
        self._on_bytes = on_bytes
        self._cancelled = cancelled
        self._buffer = disk_buffer()

    def read(self, file: SourceFile) -> StoredFile:
        """Return a file's checksum, and where it lies.

        Raises:
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the file.
            TransferCancelled: the caller wanted no more.
        """
        links_to = self._source.of(file.path)
        digest = new_digest(self._algorithm)
        with closing(self._reader.open(file.path)) as reader:
            before = reader.look()
            check_settled(file, before, reader.name)
            # The path was looked up by name, and a link of that moment may have led elsewhere than what is read.
            check_settled(before, _seen(file.path, links_to), links_to)
            while n := reader.read_into(self._buffer):
                if self._cancelled():
                    raise TransferCancelled("The reading was cancelled; what was read is not read again.")
                digest.update(self._buffer[:n])
                self._on_bytes(n)
            after = reader.look()
            if after != before:
                raise source_changed(reader.name, before.size, after.size)
        return StoredFile(
            path=file.path,
            size=before.size,
            checksum=digest.hexdigest(),
            algorithm=self._algorithm,
            mtime_ns=before.mtime_ns,
            inode=before.inode,
            links_to=links_to,
        )


def _seen(path: str, name: str) -> SourceFile:
    """What lies at a path that should have no link in it."""
    try:
        seen = os.lstat(name)
    except OSError as error:
        raise source_error(error, name) from error
    return SourceFile(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev)


class _RealPaths:
    """Where the files of a folder lie once every link is followed; each folder is looked up once."""

    def __init__(self, source: Path) -> None:
        self._source = str(source)
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The path, without any link in it, of the file at a path relative to the folder."""
        below, _, name = path.rpartition("/")
        if below not in self._folders:
            self._folders[below] = os.path.realpath(f"{self._source}/{below}" if below else self._source)
        real = f"{self._folders[below].rstrip('/')}/{name}"
        return os.path.realpath(real) if os.path.islink(real) else real  # noqa: PTH114 - of many thousand


def adopt(
    source: Path,
    target: Path,
    files: Sequence[SourceFile],
    *,
    reader: SourceReader | None = None,
    algorithm: Algorithm = "sha1",
    known: Sequence[StoredFile] = (),
    on_bytes: Callable[[int], None] = ignore_bytes,
    on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
    cancelled: Callable[[], bool] = never,
    n_threads: int = N_THREADS,
) -> tuple[StoredFile, ...]:
    """Link ``files`` of ``source`` below ``target``, each hashed once, and return them once the links are durable.

    What they were is recorded beside ``target``: whoever opens one of the links later holds the file against that.
    They are read through ``reader``; without one, as far and as fast as this process can.

    Raises:
        BadName: a path leaves the target or looks like a file in transit.
        SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the source.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: what is wrong with the target.
        TransferCancelled: ``cancelled`` answered True.
    """
    source = source.absolute()
    for file in files:
        checked_path(file.path)
    stored = {file.path: file for file in known if file.links_to and leads_to(f"{target}/{file.path}") == file.links_to}
    todo = [file for file in files if file.path not in stored]
    with repository_errors(target):
        make_folders(target)
        make_all_folders(target, {file.path.rpartition("/")[0] for file in todo})
    for durable in stored.values():
        on_bytes(durable.size)

    def worker() -> Callable[[SourceFile], StoredFile]:
        return Hasher(source, reader or FolderReader(source), algorithm, on_bytes, cancelled).read

    batch: list[StoredFile] = []
    n_bytes = n_linked = 0
    with closing(work_through(todo, worker, min(n_threads, len(todo)) or 1)) as read:
        for one in read:
            batch.append(one)
            n_bytes += one.size
            if len(batch) == len(todo) - n_linked or len(batch) >= BATCH_FILES or n_bytes >= BATCH_BYTES:
                _link(target, batch)
                on_files(tuple(batch))
                stored |= {linked.path: linked for linked in batch}
                n_linked += len(batch)
                n_bytes = 0
                batch.clear()
    linked = tuple(stored[file.path] for file in files)
    record_links(target, linked)
    return linked


def record_links(target: Path, files: Iterable[StoredFile]) -> None:
    """Keep what the links below ``target`` led to when they were made, for those who open them; durable on return.

    Raises:
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk refuses.
    """
    records = target.with_name(RECORDS)
    new = records.with_name(RECORDS + PART)
    with repository_errors(records):
        new.unlink(missing_ok=True)
        write_link_records(new, files)
        sync_file(new)
        new.replace(records)
        sync_folder(records.parent)


def _link(target: Path, batch: Sequence[StoredFile]) -> None:
    """Make links appear whole: under a temporary name first, which the rename replaces in one step."""
    names = [f"{target}/{file.path}" for file in batch]
    with repository_errors(target):
        for name, file in zip(names, batch, strict=True):
            # What an earlier call left under this name when it was killed.
            with suppress(FileNotFoundError):
                os.unlink(name + PART)  # noqa: PTH108 - for each of many thousand small files
            os.symlink(file.links_to, name + PART)  # noqa: PTH211 - as above
            os.replace(name + PART, name)  # noqa: PTH105 - as above
        sync_files(target, ())
        sync_folders(target, {name.rpartition("/")[0] for name in names})
