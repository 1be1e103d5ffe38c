"""One conversation with one peer: what is said within a tick leaves together, what is heard goes where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import msgspec

from ..config import get_logger
from ..config.tracing import carried, followed
from . import codec
from .codec import Envelope, Kind
from .deliveries import Deliver, DeliverRuns
from .errors import BadMessage, PeerGone
from .failures import failure_of, in_brief
from .messages import INNER, Event, Failure, Principal, Request
from .offences import Offences
from .outgoing import Outgoing
from .questions import Question, Questions
from .refs import ASK_TIMEOUT_S

ENOUGH = 32
"""So many asks and answers leave before their tick ends, then twice as many: they took as long as to wake the peer."""

R = TypeVar("R")

log = get_logger(__name__)

_REPLY, _FAIL = int(Kind.REPLY), int(Kind.FAIL)
_ANSWERS = (_REPLY, _FAIL)
_ASK, _TELL, _SEND, _RUN = int(Kind.ASK), int(Kind.TELL), int(Kind.SEND), int(Kind.RUN)
_TAKEN: msgspec.msgpack.Decoder[Any] = codec.decoder(None)


class Link:
    """What this process says to one peer and hears from it."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Any], bool], bool],
        deliver: Deliver[Link],
        *,
        principal: Principal = INNER,
        offences: Offences | None = None,
        max_message_bytes: int = 64 << 20,
    ) -> None:
        """Speak through ``write(frames, bulk)``, which returns False when it had to drop them."""
        self.name = name
        self.principal = principal
        self.pid = 0
        self.public = ""
        """The key it speaks under; empty on the inner endpoint."""
        self.here = False
        """Whether the peer is of this host, as the way says by which its link came, and not the peer."""
        self.attached: Sequence[Any] = ()
        """What lies beside the batch that is being heard: the parts of a plane's pixels."""
        self.most_attached_bytes = 256 << 20
        """A larger plane is not taken from this peer."""
        self.on_lost: dict[Hashable, Callable[[str], None]] = {}
        """Who hears once, and why, that the peer is gone; one for each key, until it takes itself out."""
        self.offences = offences or Offences(name, now=asyncio.get_running_loop().time)
        self._write = write
        self._deliver = deliver
        self._deliver_run = deliver.deliver_run if isinstance(deliver, DeliverRuns) else self._unroll
        self._max_bytes = max_message_bytes - codec.HEAD_BYTES
        self._batch_bytes = min(codec.BATCH_BYTES, self._max_bytes)
        self._loop = asyncio.get_running_loop()
        self._questions = Questions(name, self._loop)
        self._out = Outgoing()
        self._out_bulk = Outgoing()
        self._collecting = False
        self._in_company = False
        self._n_out_before = 0
        self._enough = ENOUGH
        self._gone = ""
        self.n_in = 0
        self.n_out = 0
        self.n_refused = 0
        self.last_heard = self._loop.time()

    @property
    def gone(self) -> str:
        """Why the peer is gone; empty while it is there."""
        return self._gone

    # -- speaking ---------------------------------------------------------------------------------

    def ask(self, target: str, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request to an actor of the peer's node."""
        return self._expect(_ASK, target, request, codec.reply_decoder(type(request)), timeout_s)

    def send(self, target: str, event: Event, *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[None]:
        """Send an event; the future is done once the actor's mailbox has taken it."""
        return self._expect(_SEND, target, event, _TAKEN, timeout_s)

    def tell(self, target: str, event: Event) -> None:
        """Send an event to an actor of the peer's node; nothing is said when the peer is gone.

        Raises:
            BadMessage: it cannot travel.
        """
        trace = carried() if followed() else ""
        if self._collecting and not trace and not self._gone:
            outgoing = self._out_bulk if event.bulk else self._out
            if outgoing.tell(target, event, self._batch_bytes):
                self.n_out += 1
                return
        self._leave(codec.seal(_TELL, 0, target, 0.0, event, trace), event, event.bulk)

    def tell_with(self, target: str, event: Event, parts: Sequence[Any]) -> bool:
        """Send an event with a plane's pixels beside it, not copied: nobody changes them while the socket holds them.

        Returns False when it was dropped: the peer is gone, or takes nothing.

        Raises:
            BadMessage: it cannot travel.
        """
        if self._gone:
            return False
        # What was told before stays before it.
        self._put_all()
        self.n_out += 1
        bulk = True
        return self._write([codec.join([codec.seal(_TELL, 0, target, 0.0, event)]), *parts], bulk)

    def reply(self, id: int, answer: Any) -> None:  # noqa: A002
        """Answer the peer's ask; what is ``bulk`` goes where it delays no other answer."""
        self.say(_REPLY, id, "", 0.0, answer, bulk=getattr(answer, "bulk", False) is True)

    def fail(self, id: int, failure: Failure) -> None:  # noqa: A002
        """Answer the peer's ask with a failure; id 0 speaks of what it told."""
        try:
            self.say(_FAIL, id, "", 0.0, failure)
        except BadMessage:
            self.say(_FAIL, id, "", 0.0, in_brief(failure))

    def refuse(self, error: Exception, where: str) -> None:
        """What the peer told was not taken: it hears of the first, the second, the fourth..."""
        if self.offend(type(error).__name__, error):
            self.fail(0, failure_of(error, where=where))

    def offend(self, kind: str, what: object) -> bool:
        """Count what the peer should not have done; whether it was worth a line."""
        return self.offences.add(kind, self.public or self.name, f"from {self.principal.name}: {what}")

    def say(
        self,
        kind: int,
        id: int = 0,  # noqa: A002
        target: str = "",
        ttl_s: float = 0.0,
        body: Any = None,
        *,
        bulk: bool = False,
    ) -> None:
        """Send an envelope: the first of a tick at once, the others together when it ends.

        Raises:
            BadMessage: the body cannot travel, or is larger than a message may be.
        """
        self._leave(codec.seal(kind, id, target, ttl_s, body), body, bulk)

    def _leave(self, sealed: bytes, body: Any, bulk: bool) -> None:  # noqa: FBT001
        if self._gone:
            return
        n_bytes = len(sealed)
        if n_bytes > self._max_bytes:
            raise BadMessage(
                f"{type(body).__name__} is {n_bytes} bytes, and a message holds at most {self._max_bytes}",
                hint="planes travel beside messages; limits.message_bytes raises the bound",
            )
        self.n_out += 1
        if not self._collecting:
            self._collecting = True
            self._n_out_before = self.n_out - 1
            self._enough = ENOUGH
            self._loop.call_soon(self.flush)
            if not self._in_company:
                # Nobody waits for the end of the tick who is alone in it, as the last one was in its own.
                self._write([codec.alone(sealed)], bulk)
                return
        outgoing = self._out_bulk if bulk else self._out
        if outgoing.n_bytes + n_bytes > self._batch_bytes or outgoing.n_sealed >= codec.MAX_RUN:
            self._put_all()
        outgoing.add(sealed)
        if outgoing.n_sealed >= self._enough:
            self._enough *= 2
            self._put_all()

    def flush(self) -> None:
        """Send now what this tick has put together."""
        self._collecting = False
        self._in_company = self.n_out - self._n_out_before > 1
        self._put_all()

    def look(self) -> None:
        """Find out whether the peer can still be reached."""
        if not self._gone:
            self._put([], bulk=False)

    def _put_all(self) -> None:
        if self._out.n_bytes:
            self._put(self._out.take(), bulk=False)
        if self._out_bulk.n_bytes:
            self._put(self._out_bulk.take(), bulk=True)

    def _put(self, envelopes: list[bytes], bulk: bool) -> None:  # noqa: FBT001
        if not self._gone:
            self._write([codec.join(envelopes)], bulk)

    # -- hearing ----------------------------------------------------------------------------------

    def hear_beside(self, batch: bytes, attached: Sequence[Any]) -> None:
        """Take a batch whose message has pixels beside it; they are at hand, in ``attached``, while it is heard."""
        self.attached = attached
        try:
            self.hear(batch)
        finally:
            self.attached = ()

    def hear(self, batch: bytes) -> None:
        """Take a batch from the peer; what cannot be read is an offence, and the rest is heard all the same."""
        self.last_heard = self._loop.time()
        try:
            envelopes = codec.split(batch)
        except BadMessage as error:
            self.offend("no batch", error)
            return
        self.take(envelopes)

    def take(self, envelopes: Sequence[Envelope]) -> None:
        """Take envelopes from the peer, each of them whatever the others are."""
        self.n_in += len(envelopes)
        for envelope in envelopes:
            kind = envelope.kind
            try:
                if kind == _RUN:
                    self.n_in += codec.run_length(envelope.body) - 1
                    self._deliver_run(self, envelope)
                elif kind in _ANSWERS:
                    self._settle(envelope)
                else:
                    self._deliver(self, envelope)
            except BadMessage as error:
                self.offend("no envelope", error)

    def _unroll(self, link: Link, run: Envelope) -> None:
        for envelope in codec.unroll(run):
            try:
                self._deliver(link, envelope)
            except BadMessage as error:
                self.offend("no envelope", error)

    def lost(self, why: str) -> None:
        """The peer is gone for good: every ask that waits fails now."""
        if self._gone:
            return
        self._gone = why or "gone"
        self._questions.close()
        self._questions.fail(self._peer_gone)
        callbacks, self.on_lost = self.on_lost, {}
        for callback in callbacks.values():
            try:
                callback(why)
            except Exception:
                # docs/decisions/0008: whatever one of them raises, the others hear it.
                log.exception("who hears that a peer is gone failed", peer=self.name, reason=why)

    def has_work_of(self, person: str) -> bool:
        """Whether the peer was asked for something in a person's name, and has not answered yet."""
        return bool(person) and self._questions.any_for(person)

    def fail_asks(self, error: Exception) -> None:
        """Let every waiting ask fail with this error; the link itself stays."""
        self._questions.fail(lambda question: error)

    def statistics(self) -> dict[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "in": self.n_in,
            "out": self.n_out,
            "refused_by_peer": self.n_refused,
            "asks_waiting": len(self._questions),
            "silent_s": self._loop.time() - self.last_heard,
        }

    def _expect(
        self, kind: int, target: str, message: Any, decoder: msgspec.msgpack.Decoder[Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        loop, questions = self._loop, self._questions
        future: asyncio.Future[Any] = loop.create_future()
        question = Question(future, decoder, loop.time() + timeout_s, type(message), target, message.acts_for)
        if self._gone:
            future.set_exception(self._peer_gone(question))
            return future
        number = questions.add(question)
        try:
            self._leave(codec.seal(kind, number, target, timeout_s, message, carried()), message, False)  # noqa: FBT003
        except BadMessage as error:
            questions.drop(number)
            future.set_exception(error)
        return future

    def _peer_gone(self, question: Question) -> PeerGone:
        return PeerGone(f"{self._questions.what(question)}: the peer is gone ({self._gone})")

    def _settle(self, envelope: Envelope) -> None:
        # Without a question the asker gave up meanwhile: a late answer has nobody to go to.
        if not self._questions.settle(envelope) and envelope.kind == _FAIL and envelope.id == 0:
            failure: Failure = codec.decode(envelope.body, codec.decoder(Failure))
            self.n_refused += 1
            what = f"{self.name} did not take what it was told: {failure.message}"
            self.offences.add("told", self.public or self.name, what)
