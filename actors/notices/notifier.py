"""The notifier: tells people and programs what became of their imports, and forgets nobody over a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from ...config import MailSettings, MeshError, NoticeSettings, WebhookSettings, get_logger
from ...messages.notices import ListNotices, NoticeStatus, RetryNotices, SendNotice, TryMail
from ...supervisors import Actor
from ...supervisors.journal import SEGMENT_BYTES
from ..ledger import Ledger
from ..retention import settling_s
from .errors import NoticeInDoubt, NoticeNotFound, NoticePutOff, NoticeRefused, WayClosed
from .outbox import MAIL, Delivery, Outbox, lane_of
from .records import Delivered, Failed, Posted, Record, Retried

if TYPE_CHECKING:
    from .mail import MailWay

log = get_logger(__name__)

Inbox = SendNotice | ListNotices | RetryNotices | TryMail

COMPACT_RECORDS = 2_000

LAST_WORD_S = 10.0
"""How long an ordered stop waits for what is being handed over: cut short, it would be sent twice."""


class Way(Protocol):
    """How a notice leaves."""

    async def deliver(self, delivery: Delivery, taken: Callable[[], Awaitable[None]]) -> None:
        """Hand it over, and say so at once."""
        ...


class Notifier(Actor[Inbox]):
    """Keeps every notice in its journal until each of its recipients has it, or will never take it."""

    def __init__(
        self,
        journal_folder: Path,
        settings: NoticeSettings | None = None,
        mail: MailSettings | None = None,
        webhooks: tuple[WebhookSettings, ...] = (),
        *,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = journal_folder
        self._segment_bytes = segment_bytes
        self._mail_settings = mail or MailSettings()
        self._mail_way: MailWay | None = None
        self._webhooks = {f"webhook {one.label}": one for one in webhooks}
        self._outbox = Outbox(settings or NoticeSettings())
        self._ledger: Ledger[Record] = Ledger(
            self._outbox, name_of=lambda record: record.notice_id, compact_records=COMPACT_RECORDS
        )
        self._news: dict[str, asyncio.Event] = {}
        self._handing_over: dict[str, asyncio.Lock] = {}
        self._stopping = False
        self._began_s = 0.0

    async def started(self) -> None:
        """Replay the journal, and go on with what waits."""
        await self._ledger.open(self.context, self._folder, record_type=Record, segment_bytes=self._segment_bytes)
        self._began_s = self.context.now()
        for lane in self._outbox.lanes():
            self._wake(lane)

    async def stopping(self) -> None:
        """Let what is being handed over come to its end."""
        self._stopping = True
        at_work = [asyncio.ensure_future(lock.acquire()) for lock in self._handing_over.values()]
        if at_work:
            _, late = await asyncio.wait(at_work, timeout=LAST_WORD_S)
            for one in late:
                one.cancel()

    async def ended(self) -> None:
        """Let the journal go."""
        await self._ledger.close()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {**self._outbox.counts(), **self._ledger.statistics()}

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case SendNotice():
                return self.defer_once(("send", message.key), lambda _: self._send(message))
            case ListNotices():
                principal = self.context.principal
                all_of_them = principal.role in ("administrator", "node")
                return tuple(one for one in self._outbox if all_of_them or one.owner == principal.name)
            case RetryNotices(notice_ids=notice_ids):
                return self.defer(self._retry(notice_ids, self.context.principal.name))
            case TryMail(address=address):
                return self.defer(self._mail().try_out(address))
            case _:
                assert_never(message)

    async def _send(self, message: SendNotice) -> None:
        to = self._recipients(message)
        if not to or self._outbox.has(message.key):
            return
        posted = Posted(notice_id=self._outbox.new_id(), at_unix_s=time.time(), notice=message, to=to)
        # Whoever asks repeats it, and may have nobody to tell of a full disk: that is what the notice may be about.
        await self._ledger.write_surely(posted)
        for lane in dict.fromkeys(map(lane_of, to)):
            self._wake(lane)

    def _recipients(self, message: SendNotice) -> tuple[str, ...]:
        people = [*message.recipients]
        if message.kind != "import.done":
            people += self._mail_settings.administrators
        hooks = [name for name, one in self._webhooks.items() if message.kind in one.events]
        return tuple(dict.fromkeys([*(f"{MAIL} {one.strip()}" for one in people if one.strip()), *hooks]))

    async def _retry(self, notice_ids: tuple[str, ...], by: str) -> tuple[NoticeStatus, ...]:
        for notice_id in notice_ids:
            if notice_id not in self._outbox:
                raise NoticeNotFound(f"there is no notice {notice_id}", hint="hcs-mesh notices lists them")
        chosen = [
            one.notice_id
            for one in self._outbox
            if one.state != "delivered" and (not notice_ids or one.notice_id in notice_ids)
        ]
        for notice_id in chosen:
            await self._ledger.write(Retried(notice_id=notice_id, at_unix_s=time.time(), by=by))
        for lane in self._outbox.lanes():
            self._wake(lane)
        return tuple(self._outbox.status(notice_id) for notice_id in chosen)

    def _wake(self, lane: str) -> None:
        """Have a lane look what is there; it is begun with its first notice."""
        if lane not in self._news:
            self._news[lane] = asyncio.Event()
            self._handing_over[lane] = asyncio.Lock()
            self.context.spawn(self._run(lane, self._news[lane]))
        self._news[lane].set()

    async def _run(self, lane: str, news: asyncio.Event) -> None:
        """Send what waits for a lane, one after the other, as long as the actor lives."""
        while True:
            news.clear()
            delivery = None if self._stopping else self._outbox.due(lane, time.time())
            if delivery is not None:
                async with self._handing_over[lane]:
                    await self._hand_over(lane, delivery)
                continue
            if self.context.now() - self._began_s >= settling_s(self._outbox.give_up_s):
                for failed in self._outbox.overdue(lane, time.time()):
                    await self._fail(failed)
                self._outbox.forget(time.time())
            wait_s = None if self._stopping else self._outbox.wait_s(lane, time.time())
            waiting = asyncio.ensure_future(news.wait())
            try:
                await asyncio.wait([waiting], timeout=wait_s)
            finally:
                waiting.cancel()

    async def _hand_over(self, lane: str, delivery: Delivery) -> None:
        async def taken() -> None:
            at = time.time()
            await self._ledger.write_surely(Delivered(notice_id=delivery.notice_id, at_unix_s=at, to=delivery.to))
            self._outbox.opened(lane)
            log.info("a notice was delivered", notice=delivery.notice_id, to=delivery.to)

        try:
            await self._way(delivery).deliver(delivery, taken)
        except WayClosed as error:
            self._outbox.closed(lane, time.time(), str(error), error.hint)
            log.warning("notices wait", by=lane, reason=str(error), hint=error.hint)
        except NoticePutOff as error:
            self._outbox.opened(lane)
            log.warning("a notice waits", notice=delivery.notice_id, to=delivery.to, reason=str(error))
            doubtful = isinstance(error, NoticeInDoubt)
            record = self._outbox.stumbled(delivery, time.time(), str(error), error.hint, doubtful=doubtful)
            await (self._fail(record) if isinstance(record, Failed) else self._ledger.write_surely(record))
        except NoticeRefused as error:
            self._outbox.opened(lane)
            await self._fail(_failed(delivery, error))

    async def _fail(self, failed: Failed) -> None:
        log.error("a notice failed", notice=failed.notice_id, to=failed.to, reason=failed.reason, hint=failed.hint)
        await self._ledger.write_surely(failed)

    def _way(self, delivery: Delivery) -> Way:
        if lane_of(delivery.to) == MAIL:
            return self._mail()
        if delivery.to not in self._webhooks:
            raise NoticeRefused(
                f"there is no {delivery.to} in the settings any more",
                hint="name it there again, then hcs-mesh notices retry",
            )
        # What speaks HTTP is a tenth of what a mesh loads to come up, and most have no use for it.
        with _loading("HTTP"):
            from .webhook import WebhookWay

        return WebhookWay(self._webhooks[delivery.to])

    def _mail(self) -> MailWay:
        if self._mail_way is None:
            # What speaks SMTP is another tenth, and a mesh that comes up after a crash has others to serve first.
            with _loading("SMTP"):
                from .mail import MailWay

            self._mail_way = MailWay(self._mail_settings)
        return self._mail_way


@contextmanager
def _loading(protocol: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # No fault of the notifier's: its next life could not even open the journal while no descriptor is free.
        raise WayClosed(
            f"what speaks {protocol} cannot be loaded: {error.strerror}",
            hint="it is tried again; while the mesh has no descriptor free, raise its limit (LimitNOFILE, ulimit -n)",
        ) from error


def _failed(delivery: Delivery, error: MeshError) -> Failed:
    return Failed(
        notice_id=delivery.notice_id, at_unix_s=time.time(), to=delivery.to, reason=str(error), hint=error.hint
    )
