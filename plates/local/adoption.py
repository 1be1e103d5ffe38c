"""Importing in place: the repository keeps links to the files and what they held, and never their bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from ..checksums import Algorithm, new_digest
from ..repository import SourceFile, StoredFile, ignore_bytes, ignore_files, never
from .copying import BUFFER_BYTES, check_settled, source_changed
from .crew import work_through
from .disk import make_all_folders, make_folders, sync_files, sync_folders
from .errors import TransferCancelled, repository_errors
from .folder_reader import FolderReader
from .names import PART, checked_path
from .transfer import BATCH_BYTES, BATCH_FILES, N_THREADS


class _Hasher:
    """Reads files of the source one after another through a buffer of its own."""

    def __init__(
        self, source: Path, algorithm: Algorithm, on_bytes: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> None:
        self._source = source
        self._reader = FolderReader(source)
        self._algorithm = algorithm
        self._on_bytes = on_bytes
        self._cancelled = cancelled
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def read(self, file: SourceFile) -> StoredFile:
        """Return a file's checksum, and where it lies.

        Raises:
            SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the file.
            TransferCancelled: the caller wanted no more.
        """
        digest = new_digest(self._algorithm)
        with closing(self._reader.open(file.path)) as reader:
            before = reader.look()
            check_settled(file, before, reader.name)
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
            links_to=f"{self._source}/{file.path}",
        )


def adopt(
    source: Path,
    target: Path,
    files: Sequence[SourceFile],
    *,
    algorithm: Algorithm = "sha1",
    known: Sequence[StoredFile] = (),
    on_bytes: Callable[[int], None] = ignore_bytes,
    on_files: Callable[[tuple[StoredFile, ...]], None] = ignore_files,
    cancelled: Callable[[], bool] = never,
    n_threads: int = N_THREADS,
) -> tuple[StoredFile, ...]:
    """Link ``files`` of ``source`` below ``target``, each hashed once, and return them once the links are durable.

    Raises:
        BadName: a path leaves the target or looks like a file in transit.
        SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the source.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: what is wrong with the target.
        TransferCancelled: ``cancelled`` answered True.
    """
    source = source.absolute()
    for file in files:
        checked_path(file.path)
    stored = {file.path: file for file in known if file.links_to and _leads(target / file.path) == file.links_to}
    todo = [file for file in files if file.path not in stored]
    with repository_errors(target):
        make_folders(target)
        make_all_folders(target, {file.path.rpartition("/")[0] for file in todo})
    for durable in stored.values():
        on_bytes(durable.size)

    def worker() -> Callable[[SourceFile], StoredFile]:
        return _Hasher(source, algorithm, on_bytes, cancelled).read

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
    return tuple(stored[file.path] for file in files)


def whats_wrong(path: str, file: StoredFile) -> str:
    """Say what is wrong with an adopted file as far as a look tells, or return an empty string."""
    leads = _leads(Path(path))
    if leads != file.links_to:
        return f"leads to {leads or 'nothing'} instead of {file.links_to}"
    try:
        seen = os.stat(path)  # noqa: PTH116 - for each of many thousand small files
    except OSError:
        return f"was imported in place, and {file.links_to} is no longer there"
    if seen.st_size != file.size:
        how = "replaced" if file.inode and seen.st_ino != file.inode else "changed"
        return f"was imported in place and {how}: {seen.st_size:,} bytes instead of {file.size:,}"
    return ""


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


def _leads(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - the text as it was written, not a path made of it
    except OSError:
        return ""
