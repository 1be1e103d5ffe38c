"""Taking a fileset over: copied by a few threads, made durable in batches, continued where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from ..checksums import Algorithm
from ..repository import SourceFile, SourceReader, StoredFile, ignore_bytes, ignore_files, never
from .copying import Copier
from .crew import handfuls, work_through
from .disk import free_bytes, make_all_folders, make_folders, sync_files, sync_folders
from .errors import RepositoryFull, repository_errors
from .names import PART, checked_path

N_THREADS = 2
BATCH_BYTES = 1 << 30
BATCH_FILES = 1 << 15
"""A few seconds of small files, which a crash has compared again: each batch waits for the disk twice."""


def transfer(
    source: SourceReader,
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
    """Copy ``files`` from ``source`` to ``target`` and return them, in their order, once they are durable.

    A file carries ``.part`` behind its name until its bytes are on the disk. ``on_files`` is told each
    batch that has become durable; given back as ``known``, those files are not read again.

    Raises:
        BadName: a path leaves the target or looks like a file in transit.
        SourceChanged, SourceMissing, SourceUnreadable, SourceFailed: what is wrong with the source.
        RepositoryFull, RepositoryNotWritable, RepositoryFailed: what is wrong with the target.
        TransferCancelled: ``cancelled`` answered True.
    """
    for file in files:
        checked_path(file.path)
    with repository_errors(target):
        make_folders(target)
        there = _sizes(target)
        stored = {file.path: file for file in known if file.checksum and there.get(file.path) == file.size}
        todo = [file for file in files if file.path not in stored]
        _check_room(target, todo, there)
        make_all_folders(target, {file.path.rpartition("/")[0] for file in todo})
        for file in todo:
            if file.path in there:
                # Complete since an earlier call, but nobody knows its hash: it is in transit again.
                take_back(target / file.path)
    for durable in stored.values():
        on_bytes(durable.size)

    batch: list[StoredFile] = []
    n_bytes = 0
    n_published = 0

    def worker() -> Callable[[tuple[SourceFile, ...]], list[StoredFile]]:
        return Copier(source, target, algorithm, on_bytes, cancelled).copy_all

    # The threads go on copying while a batch is synced here.
    with closing(work_through(handfuls(todo, n_threads), worker, min(n_threads, len(todo)) or 1)) as copied:
        for some in copied:
            batch.extend(some)
            n_bytes += sum(one.size for one in some)
            if len(batch) == len(todo) - n_published or len(batch) >= BATCH_FILES or n_bytes >= BATCH_BYTES:
                _publish(target, batch)
                on_files(tuple(batch))
                stored |= {finished.path: finished for finished in batch}
                n_published += len(batch)
                n_bytes = 0
                batch.clear()
    return tuple(stored[file.path] for file in files)


def _publish(target: Path, batch: Sequence[StoredFile]) -> None:
    """Give files their names: the data goes to the disk before the name, the name before the report."""
    # Strings, not paths: this is done for each of many thousand small files.
    names = [f"{target}/{file.path}" for file in batch]
    with repository_errors(target):
        sync_files(target, [name + PART for name in names])
        for name in names:
            os.replace(name + PART, name)  # noqa: PTH105 - see above
        sync_folders(target, {name.rpartition("/")[0] for name in names})


def take_back(path: Path) -> None:
    """Put a complete file in transit again; the link that an import in place made goes, what it leads to stays.

    Raises:
        OSError: the disk refuses.
    """
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        path.replace(path.with_name(path.name + PART))


def _sizes(folder: Path) -> dict[str, int]:
    """What is in a folder and below it: sizes by relative path."""
    found: dict[str, int] = {}
    prefixes = [""]
    while prefixes:
        prefix = prefixes.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    prefixes.append(f"{prefix}{entry.name}/")
                else:
                    found[prefix + entry.name] = entry.stat(follow_symlinks=False).st_size
    return found


def _check_room(target: Path, files: Sequence[SourceFile], there: Mapping[str, int]) -> None:
    """Refuse before the first byte what cannot fit; other writers may still fill the disk later."""
    n_needed = sum(file.size - there.get(file.path, there.get(file.path + PART, 0)) for file in files)
    n_free = free_bytes(target)
    if n_needed > n_free:
        raise RepositoryFull(
            f"The repository has {n_free:,} bytes free and this import needs {n_needed:,} more ({target}).",
            hint=f"Free {n_needed - n_free:,} bytes on that disk or move the data folder to a larger one, then retry.",
        )
