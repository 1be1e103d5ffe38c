"""Which files of an import are still to be sent, and the sending of them by a few threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from ..import_outline import ImportOutline
from ..local.crew import work_through
from ..local.transfer import BATCH_BYTES, BATCH_FILES
from ..repository import SourceFile, StoredFile
from .client_paths import client_path
from .offered_checksums import OURS
from .standing import FiledFile, FiledFileset, furthest
from .upload_process import UploadProcess
from .uploading import Sending

_SHA1_DIGITS = 40


def still_to_send(
    outline: ImportOutline,
    files: Sequence[SourceFile],
    known: Sequence[StoredFile],
    uploads: Mapping[int, UploadProcess | None],
    found: Sequence[FiledFileset],
) -> tuple[dict[str, StoredFile], list[Sending]]:
    """The files that the server has whole, and those that it has not.

    A fileset without an upload is the server's already. Of the others a file is whole if it was reported so, and the
    server has noted the same checksum of it.
    """
    reported = {file.path: file for file in known if file.checksum}
    number_of = {path: number for number, one in enumerate(outline.filesets) for path in one.files}
    there_by_number = {
        number: fileset.files
        if (fileset := furthest(found, number, own_file=upload.first_file if upload is not None else 0)) is not None
        else {}
        for number, upload in uploads.items()
    }
    stored: dict[str, StoredFile] = {}
    todo: list[Sending] = []
    for file in files:
        number = number_of[file.path]
        upload, before = uploads[number], reported.get(file.path)
        there = there_by_number[number].get(client_path(outline.root, file.path))
        if upload is None:
            stored[file.path] = before or _as_filed(file, there)
        elif before is not None and there is not None and there.hash and there.hash == kept_checksum(before, upload):
            upload.hashes[file.path] = there.hash
            stored[file.path] = before
        else:
            todo.append(Sending(file, upload, (there.size or 0) if there is not None else 0))
    return stored, todo


def kept_checksum(file: StoredFile, upload: UploadProcess) -> str:
    """The checksum that was kept of a file, if it is the server's kind; else nothing."""
    return file.checksum if OURS.get(file.algorithm) == upload.checksum else ""


def send_all(
    todo: Sequence[Sending],
    worker: Callable[[], Callable[[Sending], StoredFile]],
    on_files: Callable[[tuple[StoredFile, ...]], None],
    *,
    n_threads: int,
) -> dict[str, StoredFile]:
    """Send files, telling in batches of those that the server has whole.

    Raises:
        MeshError: what the first failing file failed with; those beside it are finished and told all the same.
    """
    stored: dict[str, StoredFile] = {}
    batch: list[StoredFile] = []
    n_bytes = 0

    def tell() -> None:
        nonlocal n_bytes
        if batch:
            on_files(tuple(batch))
            stored.update({file.path: file for file in batch})
        n_bytes = 0
        batch.clear()

    with closing(work_through(todo, worker, max(1, min(n_threads, len(todo))))) as sent:
        try:
            for one in sent:
                batch.append(one)
                n_bytes += one.size
                if len(batch) >= BATCH_FILES or n_bytes >= BATCH_BYTES:
                    tell()
        finally:
            tell()
    return stored


def _as_filed(file: SourceFile, there: FiledFile | None) -> StoredFile:
    """A file of which nobody reported that it was stored, by what the server says of it."""
    return StoredFile(
        path=file.path,
        size=file.size,
        checksum=there.hash if there is not None and len(there.hash) == _SHA1_DIGITS else "",
        mtime_ns=file.mtime_ns,
        inode=file.inode,
    )
