"""One viewer's stream: what waits for it, in which order, and how much it may hold unacknowledged (pure).

Events go in, and out comes the next thing to send. Planes wait for credit; a plane that still waits
is superseded by newer pixels of the same address; facts are never dropped and never overtake a plane
that was announced before them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import msgspec

from ...messages.frames import ContentsChanged, Fact, JobStateChanged, NewsMissed, PlanesCommitted, WellStateChanged
from ...messages.metadata import PlatesStored
from ...messages.planes import PlaneAddress, PlaneRecord
from ...messages.streaming import Snapshot
from ...messages.viewing import Contents, Subject

News = PlanesCommitted | WellStateChanged | JobStateChanged | PlatesStored | NewsMissed
Verdict = Literal["take", "hold", "pass", "switch"]


class Announced:
    """A plane that waits for its turn: where its pixels lie and what it belongs to."""

    __slots__ = ("job", "plate_id", "record")

    def __init__(self, plate_id: int, job: str, record: PlaneRecord) -> None:
        self.plate_id = plate_id
        self.job = job
        self.record = record


class ViewerStream:
    """What one viewer is to be sent, in order, within its credit."""

    def __init__(self, subject: Subject, *, n_credits: int) -> None:
        """Open a stream that holds everything back until a snapshot is adopted and the viewer is ready."""
        self.subject = subject
        self.contents = Contents()
        self.n_sent = 0
        self.n_skipped = 0
        self._n_credits = n_credits
        self._begun = False
        self._held: list[News] | None = []
        self._waiting: OrderedDict[PlaneAddress | int, Announced | Fact] = OrderedDict()
        self._announced: dict[PlaneAddress, PlaneRecord] = {}
        self._n_planes = 0
        self._last_fact = 0
        self._loading: Announced | None = None
        self._unacknowledged: set[int] = set()

    @property
    def n_waiting(self) -> int:
        """Planes that will be sent as far as is known, the one being loaded included."""
        return self._n_planes + (self._loading is not None)

    @property
    def n_unacknowledged(self) -> int:
        """Planes that the viewer holds."""
        return len(self._unacknowledged)

    def begin(self) -> None:
        """The viewer is ready."""
        self._begun = True

    def verdict(self, news: News) -> Verdict:
        """Whether news belong to this stream, or mean that what it shows from now on is to be looked up.

        While a snapshot is looked up everything is held, because what the stream will show is not known.
        """
        if self._held is not None:
            return "hold"
        if isinstance(news, NewsMissed):
            return "switch"
        if isinstance(news, PlatesStored):
            idle = not self.subject.job and not self.subject.plate_id and self.contents.job_state != "running"
            return "switch" if idle and news.plate_ids else "pass"
        if self.subject.job:
            return "take" if news.job == self.subject.job else "pass"
        if self.subject.plate_id:
            return "take" if news.plate_id == self.subject.plate_id else "pass"
        if (news.plate_id, news.job) == (self.contents.plate_id, self.contents.job):
            return "take"
        return "switch" if isinstance(news, JobStateChanged) and news.state == "running" else "pass"

    def subject_after(self, news: News) -> Subject:
        """What to look up after news that mean a switch."""
        match news:
            case NewsMissed():
                return self.subject
            case PlatesStored(plate_ids=plate_ids):
                return Subject(plate_id=plate_ids[-1])
            case _:
                return Subject(job=news.job)

    def switch(self) -> None:
        """Hold news back until the snapshot of the new subject is adopted."""
        self._held = []

    def adopt(self, snapshot: Snapshot, *, announce: bool) -> tuple[News, ...]:
        """Show a snapshot; returns what was held back, to be handed in again.

        With ``announce`` the viewer is told first that its stream shows something else from now on.
        """
        held, self._held = self._held or [], None
        self.n_skipped += self._n_planes
        for key in [key for key, item in self._waiting.items() if isinstance(item, Announced)]:
            del self._waiting[key]
        self._n_planes = 0
        self._announced.clear()
        self.contents = snapshot.contents
        if announce:
            self._fact(ContentsChanged(contents=snapshot.contents))
        for well in snapshot.wells:
            self._fact(well)
        for record in snapshot.planes:
            self._plane(snapshot.contents.plate_id, snapshot.contents.job, record)
        return tuple(held)

    def take(self, news: News) -> None:
        """Queue news that belong to this stream, or hold them back while a snapshot is looked up."""
        if self._held is not None:
            self._held.append(news)
            return
        match news:
            case PlanesCommitted(planes=planes, plate_id=plate_id, job=job):
                for record in planes:
                    self._plane(plate_id, job, record)
            case JobStateChanged(job=job, state=state):
                if job == self.contents.job:
                    self.contents = msgspec.structs.replace(self.contents, job_state=state)
                self._fact(news)
            case WellStateChanged():
                self._fact(news)
            case PlatesStored() | NewsMissed():
                pass

    def next_fact(self) -> tuple[int, Fact] | None:
        """The fact whose turn it is, with its sequence number; None when a plane comes first."""
        if not self._begun or self._loading is not None or not self._waiting:
            return None
        key, item = next(iter(self._waiting.items()))
        if isinstance(item, Announced):
            return None
        del self._waiting[key]
        self.n_sent += 1
        return self.n_sent, item

    def may_load(self) -> bool:
        """Whether a plane's turn has come and the viewer has credit for it."""
        return (
            self._begun
            and self._loading is None
            and bool(self._waiting)
            and isinstance(next(iter(self._waiting.values())), Announced)
            and len(self._unacknowledged) < self._n_credits
        )

    def next_plane(self) -> Announced:
        """The plane whose turn it is, left where it waits."""
        item = next(iter(self._waiting.values()))
        assert isinstance(item, Announced), "next_plane without may_load"
        return item

    def load(self) -> Announced:
        """Take the plane whose turn it is; it is in the works until ``sent``."""
        item = self.next_plane()
        self._waiting.popitem(last=False)
        self._n_planes -= 1
        self._loading = item
        return item

    def sent(self, *, readable: bool = True) -> int:
        """The plane in the works goes out under the number returned; an unreadable one takes no credit."""
        self._loading = None
        self.n_sent += 1
        if readable:
            self._unacknowledged.add(self.n_sent)
        return self.n_sent

    def taken(self, sequence: int) -> bool:
        """The viewer acknowledged a plane; False when it held no such plane."""
        if sequence not in self._unacknowledged:
            return False
        self._unacknowledged.remove(sequence)
        return True

    def _plane(self, plate_id: int, job: str, record: PlaneRecord) -> None:
        address = record.header.address
        if self._announced.get(address) == record:
            # What is committed never changes: these pixels were sent, or wait to be.
            return
        self._announced[address] = record
        if address in self._waiting:
            # Newer pixels of a plane that was not sent yet keep its place in the queue.
            self.n_skipped += 1
        else:
            self._n_planes += 1
        self._waiting[address] = Announced(plate_id, job, record)

    def _fact(self, fact: Fact) -> None:
        self._last_fact += 1
        self._waiting[self._last_fact] = fact
