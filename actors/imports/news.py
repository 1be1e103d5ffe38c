"""The news of an import: its end is put into the outbox once, however often the proxy dies over it."""

from __future__ import annotations

import asyncio
import time

from ...config import MeshError, get_logger
from ...messages.imports import ImportStatus
from ...messages.notices import NoticeFacts, SendNotice
from ...plates.errors import PlaceRefused
from ...plates.model import PlateSummary
from ...plates.omero.errors import OmeroError
from ...transport import ActorUnknown, AskFailed, AskTimedOut, MailboxFull, PeerGone
from .holds import only_copies
from .means import ImportMeans
from .records import Told

log = get_logger(__name__)

AGAIN_S = 1.0
"""The wait for a notifier that is between two lives."""


class ImportNews:
    """Has people told how their imports ended."""

    def __init__(self, means: ImportMeans) -> None:
        self._means = means
        self._telling: set[str] = set()

    def tell(self, import_id: str) -> None:
        """Hand the news over in a task of its own; nothing happens if they are in the outbox already."""
        if import_id not in self._telling:
            self._telling.add(import_id)
            self._means.context.spawn(self._tell(import_id))

    async def _tell(self, import_id: str) -> None:
        means = self._means
        try:
            # It may fail, be taken up again and be done while the notifier is away: each end is told.
            while (found := means.book.find(import_id)) is not None and (end := found.untold):
                await self._hand_over(await self._notice(found.status(), end), import_id)
                await means.ledger.write_surely(Told(import_id=import_id, at_unix_s=time.time(), of=end))
        finally:
            self._telling.discard(import_id)

    async def _hand_over(self, notice: SendNotice, import_id: str) -> None:
        while True:
            try:
                await self._means.context.find("notifier").ask(notice)
            except (ActorUnknown, PeerGone, AskTimedOut, MailboxFull):
                # Its next life takes it: the key makes asking again harmless.
                await asyncio.sleep(AGAIN_S)
                continue
            except AskFailed as error:
                if error.failure.retry:
                    await asyncio.sleep(AGAIN_S)
                    continue
                log.exception("nobody can be told how an import ended", import_id=import_id)
            return

    async def _notice(self, status: ImportStatus, end: str) -> SendNotice:
        means = self._means
        plates = await self._plates(status)
        return SendNotice(
            key=f"{status.import_id}/{end}",
            kind="import.done" if end == "done" else "import.failed",
            recipients=(status.order.mail,) if status.order.mail else (),
            facts=NoticeFacts(
                import_id=status.import_id,
                owner=status.owner,
                source=status.source,
                plates=tuple(one.name for one in plates),
                repository=means.repository.kind,
                n_files=status.n_files,
                n_bytes=status.n_bytes,
                n_wells=sum(one.n_wells for one in plates),
                n_images=sum(one.n_images for one in plates),
                duration_s=max(0.0, status.history[-1].at_unix_s - status.history[0].at_unix_s),
                certificate=status.certificate,
                only_copy=await self._only_copy(status) if end != "done" else "",
                source_deleted=status.source_deleted,
                reason=status.reason,
                hint=status.hint,
                notes=(*status.notes, *filter(None, (status.certificate_note, status.deletion_note))),
            ),
        )

    async def _plates(self, status: ImportStatus) -> list[PlateSummary]:
        """The plates that an import has made, as its owner sees them; none where nobody can look for him now."""
        means, mine = self._means, set(status.plate_ids)
        if not mine:
            return []
        try:
            seen = await means.threads.run(lambda: means.repository.plates(status.owner))
        except (OmeroError, PlaceRefused) as error:
            # That it is done is worth more than what its plates are called.
            log.warning("an import is told without its plates", import_id=status.import_id, reason=str(error))
            return []
        return [one for one in seen if one.id in mine]

    async def _only_copy(self, status: ImportStatus) -> str:
        """What of the source lies nowhere else any more; empty where that cannot be told now."""
        life = self._means.book.lives.get(status.import_id)
        try:
            return await only_copies(self._means, life) if life is not None else ""
        except (MeshError, OSError) as error:
            log.warning("what is held cannot be looked at", import_id=status.import_id, reason=str(error))
            return ""
