"""The place of an actor on its node: the mailbox outlives the actor's failures, one life follows another."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..config import MeshError, get_logger
from ..config.bounded_text import told, traced
from ..config.tracing import carried, followed
from ..transport.errors import ActorGivenUp, BadMessage, MailboxFull, PeerGone
from ..transport.link import Link
from ..transport.messages import INNER, Message, Ping, Pulse, Request
from ..transport.refs import Ref
from .actor import Actor
from .inbox import inbox_of
from .letters import (
    Answer,
    Letter,
    letter_of,
    not_taken,
    outsider_of,
    too_full,
    too_late,
    too_much_of_one,
    weight_of,
)
from .mailbox import OVER_SHARE, REJECTED, Mailbox, Offer, WhenFull
from .occupant import Occupant
from .traces import Traces

log = get_logger(__name__)

MAX_PINGS = 64
HANDLING_WEIGHT = 0.2
"""What the latest message counts for in the mean time of handling one."""


R = TypeVar("R")


class Fault(NamedTuple):
    """A fault in deferred work: the actor goes on, and no supervisor hears of it."""

    at_unix_s: float
    of: str
    """The kind of message that was worked on."""
    error: str
    traceback: str


class Cell:
    """A named actor of a node, whichever life of it is running."""

    __slots__ = (
        "_keeps_latest",
        "_new_future",
        "_now",
        "_queued",
        "_requests",
        "box",
        "decoder",
        "events",
        "find",
        "given_up",
        "handling_s",
        "last_error",
        "last_fault",
        "life",
        "loop",
        "me",
        "n_expired",
        "n_faults",
        "n_handled",
        "name",
        "paused",
        "pings",
        "replies",
        "run_decoder",
        "slowest_s",
        "traces",
    )

    def __init__(
        self,
        name: str,
        kind: type[Actor[Any]],
        find: Callable[[str], Ref],
        me: Ref,
        traces: Traces | None = None,
    ) -> None:
        self.name = name
        inbox = inbox_of(kind)
        self.decoder, self.run_decoder = inbox.decoder, inbox.run_decoder
        self.replies, self.events, self._requests = inbox.replies, inbox.events, inbox.requests
        self.box: Mailbox[Letter] = Mailbox(kind.mailbox, self._let_in)
        self._queued = self.box.queued
        self.pings: deque[Letter] = deque()
        self.life: Occupant | None = None
        self.find = find
        self.me = me
        self.loop = loop = asyncio.get_running_loop()
        self._new_future, self._now = loop.create_future, loop.time
        self.n_handled = 0
        self.n_expired = 0
        self.n_faults = 0
        self.last_error = ""
        self.last_fault: Fault | None = None
        self.given_up: ActorGivenUp | None = None
        """Why nobody sits here any more, and whoever asks is told so at once."""
        self.paused = False
        self.traces = traces or Traces()
        self.handling_s = 0.0
        self.slowest_s = 0.0
        self._keeps_latest = kind.mailbox.when_full is WhenFull.LATEST

    def ask(self, request: Request[R], timeout_s: float) -> asyncio.Future[R]:
        """Take in a request of this process; the future is its answer."""
        future: asyncio.Future[R] = self._new_future()
        deadline = self._now() + timeout_s
        n_bytes = self._requests.get(request.__class__)
        box, queued = self.box, self._queued
        # What ``post`` does with the ordinary letter, in place: most messages of a process come this way.
        if n_bytes and box.plain and not followed() and self.given_up is None:
            total = box.n_bytes + n_bytes
            if total <= box.max_bytes and len(queued) < box.max_messages:
                queued.append(Letter(request, future, deadline))
                box.n_bytes = total
                life = self.life
                if life is not None and life.idle is not None:
                    life.wake()
                return future
        self.post(letter_of(request, future, deadline, trace=carried()))
        return future

    def post(self, letter: Letter) -> None:
        """Take a letter in, or refuse it by the mailbox's policy; who waits for its answer learns it from there.

        Raises:
            MailboxFull: there is no room, and nobody waits for the answer.
            BadMessage: the actor does not take such messages, and nobody waits for the answer.
        """
        message, answer = letter.message, letter.answer
        if answer is None:
            n_bytes = self.events.get(message.__class__)
        elif self.given_up is not None:
            answer.set_exception(self.given_up)
            return
        else:
            n_bytes = self._requests.get(message.__class__)
        if not n_bytes:
            if n_bytes is None:
                self._post_other(letter)
                return
            n_bytes = letter.n_bytes = weight_of(letter)
        box, queued = self.box, self._queued
        total = box.n_bytes + n_bytes
        inner = letter.principal is INNER
        if inner and box.plain and total <= box.max_bytes and len(queued) < box.max_messages:
            queued.append(letter)
            box.n_bytes = total
        elif not self._offer(letter):
            return
        life = self.life
        if life is not None and life.idle is not None:
            life.wake()

    def post_run(self, messages: list[Message], caller: Link, refuse: Callable[[MeshError], None]) -> None:
        """Take in what one peer within the mesh told one after the other; ``refuse`` hears what is not taken."""
        sizes, box, queued = self.events, self.box, self._queued
        for message in messages:
            letter = Letter(message, None, 0.0, INNER, caller)
            n_bytes = sizes.get(message.__class__)
            if n_bytes and box.plain:
                total = box.n_bytes + n_bytes
                if total <= box.max_bytes and len(queued) < box.max_messages:
                    queued.append(letter)
                    box.n_bytes = total
                    continue
            try:
                self.post(letter)
            except MeshError as error:
                refuse(error)
        if self.life is not None:
            self.life.wake()

    def post_own(self, message: Message) -> None:
        """Take in what the actor reminded itself of: however full its mailbox is, its timers go off."""
        self.box.force(Letter(message, n_bytes=message.nominal_bytes))
        if self.life is not None:
            self.life.wake()

    def pause(self) -> None:
        """Leave the mailbox unread until ``resume``; pings are answered, and what waits too long is told so."""
        self.paused = True
        if self.life is not None:
            self.life.interrupt()

    def resume(self) -> None:
        """Read the mailbox again."""
        self.paused = False
        if self.life is not None:
            self.life.wake()

    def took(self, seconds: float) -> None:
        """Note how long a message was worked on: the mean of the latest, and the slowest."""
        self.handling_s += (seconds - self.handling_s) * (HANDLING_WEIGHT if self.handling_s else 1.0)
        self.slowest_s = max(self.slowest_s, seconds)

    def expire(self, now: float) -> None:
        """Fail every ask whose time is over, and let go of what only waits for somebody who is gone."""
        letters = [*(self.box.letters() if len(self.box) else ()), *self.pings]
        if self.life is not None:
            self.life.let_go()
            letters += self.life.in_hand()
        for letter in letters:
            if letter.answer is not None and letter.deadline <= now and not letter.answer.done():
                self.timed_out(letter)

    def timed_out(self, letter: Letter) -> bool:
        """The asker's time is over, and it is told; always true."""
        self.n_expired += 1
        assert letter.answer is not None
        letter.answer.set_exception(too_late(self.name, letter.message, len(self.box)))
        return True

    def answer_pings(self) -> None:
        """Say how the actor is."""
        while self.pings:
            answer = self.pings.popleft().answer
            if answer is not None and not answer.done():
                answer.set_result(self.pulse())

    def note_fault(self, of: str, error: BaseException) -> None:
        """Work for an asker has failed as no answer should; the asker knows, and here people learn it too."""
        self.n_faults += 1
        self.last_error = told(error)
        # Kept as well: a program that embeds the mesh may have no handler for its log.
        fault = self.last_fault = Fault(time.time(), of, self.last_error, traced(error))
        log.error("a fault in deferred work", actor=self.name, message=of, error=fault.error, traceback=fault.traceback)

    def give_up(self, error: ActorGivenUp) -> None:
        """Nobody will sit here unless somebody sees to it: fail everything that waits, and whoever asks from now on."""
        self.given_up = error
        self._fail_waiting(lambda letter: error)

    def hang_up(self, why: str) -> None:
        """Nobody will sit here again: fail everything that waits."""
        self._fail_waiting(lambda letter: PeerGone(f"{type(letter.message).__name__} to {self.name}: {why}"))

    def _fail_waiting(self, error: Callable[[Letter], MeshError]) -> None:
        letters = list(self.pings)
        self.pings.clear()
        while (letter := self.box.take()) is not None:
            letters.append(letter)
        for letter in letters:
            if letter.answer is not None and not letter.answer.done():
                letter.answer.set_exception(error(letter))

    def pulse(self) -> Pulse:
        """How the actor is."""
        return Pulse(
            waiting=len(self.box),
            handled=self.n_handled,
            deferred=self.life.n_deferred if self.life is not None else 0,
            expired=self.n_expired,
            refused=self.box.n_refused,
            last_error=self.last_error,
        )

    def statistics(self) -> dict[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "mailbox": len(self.box),
            "mailbox_bytes": self.box.n_bytes,
            "handled": self.n_handled,
            "expired": self.n_expired,
            "refused": self.box.n_refused,
            "faults": self.n_faults,
            "superseded": self.box.n_superseded,
            "deferred": self.life.n_deferred if self.life is not None else 0,
            "handling_s": self.handling_s,
            "slowest_s": self.slowest_s,
            "paused": int(self.paused),
            "last_error": self.last_error,
            **(self.life.own_statistics() if self.life is not None else {}),
        }

    def _offer(self, letter: Letter) -> bool:
        """Whether the mailbox's policy takes a letter for which there is no room, or which supersedes another."""
        if letter.message.always_taken and letter.principal is INNER:
            self.box.force(letter)
            return True
        key = getattr(letter.message, "supersedes", None) if self._keeps_latest and letter.answer is None else None
        offered = self.box.offer(letter, key, may_wait=letter.answer is not None, from_outside=outsider_of(letter))
        if offered is not REJECTED and offered is not OVER_SHARE:
            return True
        if letter.answer is None:
            raise self._refusal(letter, offered)
        self._refuse(letter, letter.answer, offered)
        return False

    def _post_other(self, letter: Letter) -> None:
        """What is no question for this actor: an event that somebody waits for, a ping, or what it does not take."""
        answer, kind = letter.answer, letter.message.__class__
        if answer is None:
            raise self._not_taken(letter.message)
        if kind in self.events:
            self._send(letter, answer)
        elif kind is not Ping:
            answer.set_exception(self._not_taken(letter.message))
        elif len(self.pings) >= MAX_PINGS:
            answer.set_exception(self._full())
        else:
            self.pings.append(letter)
        if self.life is not None:
            self.life.wake()

    def _send(self, letter: Letter, answer: Answer) -> None:
        letter.answer = None
        letter.n_bytes = weight_of(letter)
        offered = self.box.offer(letter, may_wait=True, from_outside=outsider_of(letter))
        if offered is REJECTED or offered is OVER_SHARE:
            self._refuse(letter, answer, offered)
        elif offered is Offer.WAITING:
            letter.answer = answer
        else:
            answer.set_result(None)

    def _refuse(self, letter: Letter, answer: Answer, offered: Offer) -> None:
        error = self._refusal(letter, offered)
        if letter.caller is not None and outsider_of(letter):
            # Told to the asker alone it would be known to nobody here; of what is told, who hears it makes a line.
            letter.caller.offend(type(error).__name__, error)
        answer.set_exception(error)

    def _refusal(self, letter: Letter, offered: Offer) -> MailboxFull:
        if offered is not OVER_SHARE:
            return self._full()
        name = letter.principal.name
        return too_much_of_one(self.name, name, *self.box.held.of(name))

    def _let_in(self, letter: Letter) -> bool:
        answer = letter.answer
        if answer is None:
            return True
        if answer.done() or (letter.deadline <= self.loop.time() and self.timed_out(letter)):
            return False
        if letter.message.__class__ in self.events:
            letter.answer = None
            answer.set_result(None)
        return True

    def _not_taken(self, message: Message) -> BadMessage:
        return not_taken(self.name, message, asked_only=message.__class__ in self.replies)

    def _full(self) -> MailboxFull:
        return too_full(self.name, len(self.box), self.box.n_bytes)
