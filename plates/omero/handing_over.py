"""The moment at which an upload becomes images: asked for once, and waited for by who comes after as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..local.errors import ChecksumMismatch
from .connection import Connection
from .errors import OmeroImportFailed
from .upload_process import UploadProcess
from .waiting import proceed, response_of

LOOK_S = 2.0
"""How often is looked for images that nobody can call back about."""


def have_images_made(
    connection: Connection, upload: UploadProcess, hashes: Sequence[str], *, proceed: Callable[[], None] = proceed
) -> None:
    """Have the server make images of an upload that has none yet; each time it is asked, it makes them.

    ``proceed`` may raise to wait no more: the server goes on.

    Raises:
        ChecksumMismatch: it does not take the upload for what was sent.
        OmeroImportFailed: it cannot.
        OmeroError: the server refuses or cannot be reached.
    """
    omero = connection.library.omero
    with connection.calling():
        # There is one where it was asked for already, and the answer to that never came.
        handle = upload.on(connection).getHandle()
        if handle is None:
            try:
                handle = upload.on(connection).verifyUpload(list(hashes))
            except omero.ChecksumValidationException as error:
                raise mismatch(upload, error.failingChecksums) from None
    answer = response_of(connection, handle, proceed=proceed)
    if isinstance(answer, omero.cmd.ERR):
        said = answer.parameters.get("message", "") if answer.parameters else ""
        raise OmeroImportFailed(
            f"OMERO at {connection.address} cannot import {upload.paths[0]}"
            f"{f' and {len(upload.paths) - 1} files with it' if len(upload.paths) > 1 else ''}: "
            f"{' '.join(said.split())[:300] or answer.name}.",
            hint="Its import log at the fileset says more; the file may be damaged, or of a format it does not read.",
        )


def mismatch(upload: UploadProcess, failing: dict[int, str]) -> ChecksumMismatch:
    """The error for files of which the server has another checksum; an empty one where it has none."""
    files = tuple(upload.paths[n] for n in sorted(failing))
    shown = "; ".join(f"{upload.paths[n]} has {failing[n] or 'none'}" for n in sorted(failing)[:3])
    return ChecksumMismatch(
        f"OMERO has other {upload.checksum} checksums of {len(files)} of {len(upload.paths)} files: {shown}.",
        hint="They are uploaded again; if it repeats, check the network and the server's disk.",
        files=files,
    )
