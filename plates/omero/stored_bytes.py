"""Whether the server has the bytes that were sent: it reads its files again, and its checksums are held to ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ..local.errors import ChecksumMismatch, TransferCancelled
from ..local.verification import NAMED_FILES
from ..repository import StoredFile
from .connection import Connection
from .offered_checksums import OURS, SHA1
from .standing import FiledFile
from .upload_process import Context, UploadProcess, timed

BATCH_BYTES = 1 << 30
"""What the server is asked to read in one call."""
BATCH_FILES = 500


def compare(
    connection: Connection,
    files: Sequence[StoredFile],
    there: Mapping[str, FiledFile],
    upload: UploadProcess | None,
    *,
    context: Context,
    on_bytes: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> None:
    """Promise that the server has every file as it was sent, and reads from its disk what it noted of it.

    Raises:
        ChecksumMismatch: one or more differ; all of them are looked at first.
        TransferCancelled: ``cancelled`` answered True.
        OmeroError: the server refuses or cannot be reached.
    """
    wrong = {file.path: said for file in files if (said := _differs(file, there[file.path], upload))}
    for batch in _batches(files):
        if cancelled():
            raise TransferCancelled("The verification was cancelled; the next one starts again.")
        ids = {there[file.path].id: file.path for file in batch}
        n_bytes = sum(file.size for file in batch)
        with connection.calling():
            repository = timed(connection, connection.managed_repository, n_bytes)
            for number in repository.verifyChecksums(list(ids), connection.context(context)):
                wrong.setdefault(ids[number], "is not what the server took over: its disk holds something else")
        on_bytes(n_bytes)
    if wrong:
        told = "; ".join(f"{path} {reason}" for path, reason in sorted(wrong.items())[:NAMED_FILES])
        more = f"; and {len(wrong) - NAMED_FILES} more" if len(wrong) > NAMED_FILES else ""
        raise ChecksumMismatch(
            f"{len(wrong)} of {len(files)} files at OMERO {connection.address} are not what was sent: {told}{more}.",
            hint="They are uploaded again; if it repeats, check the network and the server's disk.",
            files=tuple(sorted(wrong)),
        )


def _differs(file: StoredFile, there: FiledFile, upload: UploadProcess | None) -> str:
    """What is different about a file, or nothing."""
    if there.size != file.size:
        return f"has {there.size or 0:,} bytes instead of {file.size:,}"
    checksum = upload.checksum if upload is not None else SHA1
    sent = upload.hashes.get(file.path, "") if upload is not None else ""
    if not sent and OURS.get(file.algorithm) == checksum and len(there.hash) == len(file.checksum):
        sent = file.checksum
    return f"has {checksum} {there.hash or 'none'} instead of {sent}" if sent and there.hash != sent else ""


def _batches(files: Sequence[StoredFile]) -> Iterator[list[StoredFile]]:
    batch: list[StoredFile] = []
    n_bytes = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or n_bytes + file.size > BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(file)
        n_bytes += file.size
    if batch:
        yield batch
