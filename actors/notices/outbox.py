"""The outbox: records in, what to send next out (pure).

A *lane* is a way out: the mail server, or one webhook. Trouble with a lane itself, such as a server that is down, is
the same for everything that waits for it: the lane waits as a whole, and no notice is charged for it. Trouble with one
notice at one recipient lets the others pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from ...config.notice_settings import NoticeSettings
from ...messages.notices import DeliveryState, DeliveryStatus, NoticeStatus, SendNotice
from .records import Delivered, Failed, Posted, Record, Retried, Stumbled

MAIL = "mail"
DAY_S = 86_400.0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One notice to one who is to have it."""

    notice_id: str
    to: str
    notice: SendNotice
    posted_unix_s: float
    everybody: tuple[str, ...]
    """All to whom the notice goes on the same lane: every copy of a mail is the same."""

    @property
    def address(self) -> str:
        """The mail address, or the webhook's name."""
        return self.to.partition(" ")[2]


class _Leg(msgspec.Struct):
    """How it stands with one delivery."""

    state: DeliveryState = "waiting"
    attempts: int = 0
    n_doubts: int = 0
    reason: str = ""
    hint: str = ""
    at_unix_s: float = 0.0


class _Lane(msgspec.Struct):
    """How a way out does; forgotten with the process, so that a restart tries at once."""

    failures: int = 0
    reason: str = ""
    hint: str = ""
    closed_until_unix_s: float = 0.0


class Notice:
    """One notice with all its deliveries."""

    def __init__(self, posted: Posted) -> None:
        self.posted = posted
        self.since_unix_s = posted.at_unix_s
        """From when on it counts how long it has been tried."""
        self.changed_unix_s = posted.at_unix_s
        self.legs = {to: _Leg() for to in posted.to}
        self.records: list[Record] = [posted]

    @property
    def state(self) -> DeliveryState:
        """Waiting while any delivery does, failed if one did."""
        states = {leg.state for leg in self.legs.values()}
        return "waiting" if "waiting" in states else "failed" if "failed" in states else "delivered"

    def apply(self, record: Record) -> None:
        """Move by one record."""
        self.changed_unix_s = record.at_unix_s
        # A later refusal takes the place of the one before: a server that is busy for days fills no journal.
        if isinstance(record, Stumbled):
            self.records = [one for one in self.records if not (isinstance(one, Stumbled) and one.to == record.to)]
        self.records.append(record)
        if isinstance(record, Posted):
            return
        if isinstance(record, Retried):
            self.since_unix_s = record.at_unix_s
            for leg in self.legs.values():
                if leg.state != "delivered":
                    leg.state, leg.attempts, leg.n_doubts, leg.at_unix_s = "waiting", 0, 0, 0.0
            return
        leg = self.legs[record.to]
        leg.attempts += 1
        leg.at_unix_s = record.at_unix_s
        match record:
            case Delivered():
                leg.state, leg.reason, leg.hint = "delivered", "", ""
            case Failed():
                leg.state, leg.reason, leg.hint = "failed", record.reason, record.hint
            case Stumbled():
                leg.reason, leg.hint, leg.at_unix_s = record.reason, record.hint, record.again_unix_s
                leg.n_doubts = record.n_doubts


class Outbox:
    """Every notice that is kept, and for each lane what is its turn."""

    def __init__(self, settings: NoticeSettings) -> None:
        self._settings = settings
        self._notices: dict[str, Notice] = {}
        self._open: dict[str, Notice] = {}
        """Those that wait, which are few among those that are kept."""
        self._by_key: dict[str, str] = {}
        self._lanes: dict[str, _Lane] = {}
        self._last_number = 0

    # -- what is there -----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[NoticeStatus]:
        for notice_id in list(self._notices):
            yield self.status(notice_id)

    def __contains__(self, notice_id: str) -> bool:
        return notice_id in self._notices

    def status(self, notice_id: str) -> NoticeStatus:
        """How a notice stands; what waits for a lane says what the lane waits for."""
        notice = self._notices[notice_id]
        facts = notice.posted.notice.facts
        return NoticeStatus(
            notice_id=notice_id,
            key=notice.posted.notice.key,
            kind=notice.posted.notice.kind,
            at_unix_s=notice.posted.at_unix_s,
            state=notice.state,
            import_id=facts.import_id,
            owner=facts.owner,
            plates=facts.plates,
            deliveries=tuple(self._told(to, leg) for to, leg in notice.legs.items()),
        )

    def counts(self) -> Mapping[str, int | float | str]:
        """How many deliveries wait and failed, and the last trouble of a lane, or else of one of these."""
        legs = [leg for notice in self._notices.values() for leg in notice.legs.values()]
        states = [leg.state for leg in legs]
        lanes = "; ".join(f"{name}: {lane.reason}" for name, lane in self._lanes.items() if lane.reason)
        return {
            "notices": len(self._notices),
            "deliveries_waiting": states.count("waiting"),
            "deliveries_failed": states.count("failed"),
            "last_trouble": lanes or next((leg.reason for leg in reversed(legs) if leg.reason), ""),
        }

    def has(self, key: str) -> bool:
        """Whether a notice of this key is kept."""
        return key in self._by_key

    def new_id(self) -> str:
        """An id that no notice has had."""
        self._last_number += 1
        return f"notice-{self._last_number:04d}"

    # -- records -----------------------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take a record in; one of a notice that is forgotten changes nothing."""
        self._last_number = max(self._last_number, int(record.notice_id.rpartition("-")[2]))
        if isinstance(record, Posted):
            self._notices[record.notice_id] = Notice(record)
            self._by_key[record.notice.key] = record.notice_id
        elif record.notice_id in self._notices:
            self._notices[record.notice_id].apply(record)
        self._sort(record.notice_id)
        if isinstance(record, Retried):
            for lane in self._lanes.values():
                lane.failures, lane.closed_until_unix_s = 0, 0.0

    def compacted(self) -> tuple[Record, ...]:
        """The records that a checkpoint needs."""
        return tuple(record for notice in self._notices.values() for record in notice.records)

    def forget(self, now_unix_s: float) -> int:
        """Let go of what has been over for long enough; returns how many."""
        before = now_unix_s - self._settings.keep_days * DAY_S
        old = [
            notice_id
            for notice_id, notice in self._notices.items()
            if notice.state != "waiting" and notice.changed_unix_s < before
        ]
        for notice_id in old:
            self._by_key.pop(self._notices.pop(notice_id).posted.notice.key, None)
        return len(old)

    @property
    def give_up_s(self) -> float:
        """How long something is tried before it has failed."""
        return self._settings.give_up_days * DAY_S

    # -- lanes -------------------------------------------------------------------------------------

    def due(self, lane: str, now_unix_s: float) -> Delivery | None:
        """What a lane is to send now: what has waited longest; nothing while the lane waits."""
        if self._lane(lane).closed_until_unix_s > now_unix_s:
            return None
        for notice_id, notice, to, leg in self._waiting(lane):
            if leg.at_unix_s <= now_unix_s:
                return Delivery(
                    notice_id=notice_id,
                    to=to,
                    notice=notice.posted.notice,
                    posted_unix_s=notice.posted.at_unix_s,
                    everybody=tuple(one for one in notice.legs if lane_of(one) == lane),
                )
        return None

    def wait_s(self, lane: str, now_unix_s: float) -> float | None:
        """How long nothing will be due on a lane unless something is posted; None if nothing waits for it.

        Never longer than the longest wait: a clock that is set back delays nobody for years.
        """
        times = [leg.at_unix_s for _, _, _, leg in self._waiting(lane)]
        if not times:
            return None
        at = max(min(times), self._lane(lane).closed_until_unix_s)
        return min(max(at - now_unix_s, 0.0), self._settings.longest_retry_s)

    def opened(self, lane: str) -> None:
        """Note that a lane works."""
        self._lanes[lane] = _Lane()

    def closed(self, lane: str, now_unix_s: float, reason: str, hint: str) -> None:
        """Note that a lane does not work, whatever it is given: it waits longer each time."""
        before = self._lane(lane)
        self._lanes[lane] = _Lane(
            failures=before.failures + 1,
            reason=reason,
            hint=hint,
            closed_until_unix_s=now_unix_s + self._backoff_s(before.failures),
        )

    def overdue(self, lane: str, now_unix_s: float) -> tuple[Failed, ...]:
        """The records by which everything that has been tried for too long on a lane fails."""
        too_old = now_unix_s - self.give_up_s
        return tuple(
            Failed(
                notice_id=notice_id,
                at_unix_s=now_unix_s,
                to=to,
                reason=f"given up after {self._settings.give_up_days:g} days: {self._told(to, leg).last_error}",
                hint=f"hcs-mesh notices retry {notice_id}, once that is mended",
            )
            for notice_id, notice, to, leg in self._waiting(lane)
            if notice.since_unix_s <= too_old
        )

    def stumbled(
        self, delivery: Delivery, now_unix_s: float, reason: str, hint: str, *, doubtful: bool = False
    ) -> Stumbled | Failed:
        """The record by which one delivery is tried again later.

        A ``doubtful`` one may have arrived: once more it is tried, and when that is doubtful too, a person has to ask.
        """
        leg = self._notices[delivery.notice_id].legs[delivery.to]
        if doubtful and leg.n_doubts:
            return Failed(
                notice_id=delivery.notice_id,
                at_unix_s=now_unix_s,
                to=delivery.to,
                reason=f"maybe delivered, it was sent {leg.n_doubts + 1} times: {reason}",
                hint=f"ask whether it came; hcs-mesh notices retry {delivery.notice_id} sends it again",
            )
        return Stumbled(
            notice_id=delivery.notice_id,
            at_unix_s=now_unix_s,
            to=delivery.to,
            reason=reason,
            hint=hint,
            again_unix_s=now_unix_s + self._backoff_s(leg.attempts),
            n_doubts=leg.n_doubts + doubtful,
        )

    def lanes(self) -> tuple[str, ...]:
        """Every lane that something waits for."""
        legs = [(to, leg) for notice in self._open.values() for to, leg in notice.legs.items()]
        return tuple(sorted({lane_of(to) for to, leg in legs if leg.state == "waiting"}))

    def _sort(self, notice_id: str) -> None:
        notice = self._notices.get(notice_id)
        if notice is None or notice.state != "waiting":
            self._open.pop(notice_id, None)
        else:
            self._open[notice_id] = notice

    def _backoff_s(self, n_before: int) -> float:
        return min(self._settings.longest_retry_s, self._settings.first_retry_s * 2.0 ** min(n_before, 32))

    def _lane(self, lane: str) -> _Lane:
        return self._lanes.get(lane, _Lane())

    def _waiting(self, lane: str) -> Iterator[tuple[str, Notice, str, _Leg]]:
        for notice_id, notice in self._open.items():
            for to, leg in notice.legs.items():
                if leg.state == "waiting" and lane_of(to) == lane:
                    yield notice_id, notice, to, leg

    def _told(self, to: str, leg: _Leg) -> DeliveryStatus:
        lane = self._lane(lane_of(to))
        through_lane = leg.state == "waiting" and bool(lane.reason)
        return DeliveryStatus(
            to=to,
            state=leg.state,
            attempts=leg.attempts,
            last_error=lane.reason if through_lane else leg.reason,
            hint=lane.hint if through_lane else leg.hint,
            at_unix_s=max(leg.at_unix_s, lane.closed_until_unix_s) if through_lane else leg.at_unix_s,
        )


def lane_of(to: str) -> str:
    """The way out to somebody: one for all mails, one for each webhook."""
    return MAIL if to.startswith(f"{MAIL} ") else to
