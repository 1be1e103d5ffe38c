"""The news of an import: its end is put into the outbox once, however often the proxy dies over it."""

from __future__ import annotations

import asyncio
import time

from ...config import MeshError, get_logger
from ...messages.imports import ImportStatus
from ...messages.notices import NoticeFacts, SendNotice
from ...plates.errors import PlaceRefused
from ...plates.local.errors import RepositoryFailed
from ...plates.model import PlateSummary
from ...plates.omero.errors import OmeroError
from ...transport import ActorUnknown, AskTimedOut, MailboxFull, PeerGone
from ..errors import MeshFault
from ..mishaps import faults_as_errors
from .holds import only_copies
from .means import ImportMeans
from .records import Told

log = get_logger(__name__)

AGAIN_S = 1.0
"""The wait for a notifier that is between two lives."""
LONGEST_AGAIN_S = 60.0
"""The longest wait for one that takes nothing: each is twice the one before."""


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
        """Return once the outbox has it on its disk, and not before: then it counts as told."""
        again_s = AGAIN_S
        while True:
            try:
                return await self._means.context.find("notifier").ask(notice)
            except (ActorUnknown, PeerGone, AskTimedOut, MailboxFull):
                # Its next life takes it: the key makes asking again harmless.
                again_s = AGAIN_S
            except MeshError as error:
                # Its journal's disk may have failed, and its next life opens that anew.
                log.warning("the end of an import is not told yet", import_id=import_id, reason=str(error))
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, LONGEST_AGAIN_S)

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
                # Nothing is written down between the certificate and the end of the deletion.
                deletion_begun=bool(status.order.delete_source and status.certificate and not status.source_deleted),
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
            with faults_as_errors(import_id=status.import_id):
                seen = await means.threads.run(lambda: means.repository.plates(status.owner))
        except (OmeroError, PlaceRefused, RepositoryFailed, MeshFault) as error:
            # That it is done is worth more than what its plates are called.
            log.warning("an import is told without its plates", import_id=status.import_id, reason=str(error))
            return []
        return [one for one in seen if one.id in mine]

    async def _only_copy(self, status: ImportStatus) -> str:
        """What of the source lies nowhere else any more, also where nobody can tell now; empty if nothing does."""
        life = self._means.book.lives.get(status.import_id)
        if life is None:
            return ""
        try:
            with faults_as_errors(import_id=status.import_id):
                return await only_copies(self._means, life)
        except MeshError as error:
            log.warning("what is held cannot be looked at", import_id=status.import_id, reason=str(error))
            where = life.hold.staging if life.hold is not None else "the staging folder"
            where = f"{where} on {life.order.agent}" if life.order.agent else where
            return f"It cannot be told now whether files of it lie anywhere but in {where}"
