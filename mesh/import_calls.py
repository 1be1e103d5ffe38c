"""What can be asked of a mesh about imports: hand a source over, see how far it is, decide about it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from .asker import PATIENCE_S, Asker
from .config.mail_address import check_address
from .messages.imports import (
    AwaitImport,
    CancelImport,
    ForgetImport,
    GetImport,
    ImportOrder,
    ImportPreview,
    ImportState,
    ImportStatus,
    ListImports,
    PreviewImport,
    RetryImport,
    SubmitImport,
)
from .messages.listing import LISTED
from .pages import paged
from .plates.source_names import check_source_name

PREVIEW_S = 600.0
"""How long the looks at a source may take that say what an import of it would do."""


class ImportCalls(Asker):
    """The calls of whoever imports, each one ask to the import proxy."""

    async def submit_import(self, path: Path, *, name: str = "", pattern: str = "") -> str:
        """Hand a folder or file over; returns the import's id.

        Raises:
            BadSourceName: the path holds bytes that are not text.
            AskFailed: the path is not there, or this key may not import it.
        """
        return await self.submit_order(ImportOrder(path=_absolute(path), name=name, pattern=pattern))

    async def submit_order(self, order: ImportOrder, *, on_behalf_of: str = "") -> str:
        """Hand over what an order names, by an absolute path; returns the import's id.

        Raises:
            BadSourceName: the path holds bytes that are not text.
            NoAddress: mail cannot be sent where the order says.
            AskFailed: it cannot be meant, its path is not there, or this key may not import it, or not for another.
        """
        check_source_name(order.path)
        check_address(order.mail)
        request = SubmitImport(order=order, key=uuid.uuid4().hex, on_behalf_of=on_behalf_of)
        return await self._patiently(lambda timeout_s: self.ask("imports", request, timeout_s=timeout_s), 30.0)

    async def preview_import(self, order: ImportOrder, *, on_behalf_of: str = "") -> ImportPreview:
        """What an order would do if it were given; nothing is taken over.

        Raises:
            BadSourceName: the path holds bytes that are not text.
            AskFailed: nothing could be imported, and why, or this key may not import it, or not for somebody else.
        """
        check_source_name(order.path)
        return await self.ask("imports", PreviewImport(order=order, on_behalf_of=on_behalf_of), timeout_s=PREVIEW_S)

    async def imports(self, *, limit: int = LISTED, state: ImportState | Literal[""] = "") -> tuple[ImportStatus, ...]:
        """The newest imports, the newest first, those in ``state`` or all; ``limit`` 0 is every one that is known."""

        async def ask(n: int, before: str) -> tuple[ImportStatus, ...]:
            return await self.ask("imports", ListImports(limit=n, before=before, state=state))

        return await paged(ask, limit, name_of=lambda one: one.import_id)

    async def get_import(self, import_id: str) -> ImportStatus:
        """How one import stands."""
        return await self.ask("imports", GetImport(import_id=import_id))

    async def retry_import(self, import_id: str) -> ImportStatus:
        """Take an import up again.

        Raises:
            AskFailed: it runs or is done, or is somebody else's.
        """
        return await self.ask("imports", RetryImport(import_id=import_id))

    async def cancel_import(self, import_id: str, *, discard_held: bool = False) -> ImportStatus:
        """Stop an import for good; with ``discard_held`` also where the mesh holds the only copy of a file.

        Raises:
            AskFailed: its plates are registered already, it is somebody else's, or a file would be lost.
        """
        return await self.ask("imports", CancelImport(import_id=import_id, discard_held=discard_held))

    async def forget_import(self, import_id: str, *, discard_held: bool = False) -> None:
        """Take an import that has ended off the list; its plates and its certificate stay.

        Raises:
            AskFailed: it has not ended, is somebody else's, or a file would be lost and ``discard_held`` is not given.
        """
        await self.ask("imports", ForgetImport(import_id=import_id, discard_held=discard_held))

    async def follow_import(self, import_id: str, *, patience_s: float = PATIENCE_S) -> AsyncIterator[ImportStatus]:
        """Every change of an import, until it is done, failed or cancelled; outlives restarts of the mesh."""
        revision = -1
        while True:
            request = AwaitImport(import_id=import_id, revision=revision)
            status = await self._patiently(
                lambda timeout_s, request=request: self.ask("imports", request, timeout_s=timeout_s),  # type: ignore[misc]
                patience_s,
            )
            if status.revision != revision:
                revision = status.revision
                yield status
            if status.state in ("done", "failed", "cancelled"):
                return


def _absolute(path: Path) -> str:
    # What the caller means is relative to the caller; the mesh has a folder of its own. No disk is asked.
    return str(path.absolute())
