"""One conversation with one peer: asks waiting for answers, and what is said within a tick put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from . import codec
from .codec import Envelope, Kind
from .errors import AskTimedOut, BadMessage, PeerGone
from .failures import exception_of
from .messages import INNER, Event, Failure, Principal, Request
from .refs import ASK_TIMEOUT_S

R = TypeVar("R")

EXPIRY_TICK_S = 0.1


class Deliver(Protocol):
    """Who takes an envelope that came over a link: asks, tells and what concerns the node itself."""

    def __call__(self, link: Link, envelope: Envelope) -> None:
        """Take it, without waiting."""
        ...


class _Pending(NamedTuple):
    future: asyncio.Future[Any]
    decoder: msgspec.msgpack.Decoder[Any]
    deadline: float
    what: str


class Link:
    """What this process says to one peer and hears from it."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[bytes], bool], bool],
        deliver: Deliver,
        *,
        principal: Principal = INNER,
    ) -> None:
        """Speak through ``write(frames, bulk)``, which returns False when the peer cannot be reached."""
        self.name = name
        self.principal = principal
        self.pid = 0
        self.on_lost: list[Callable[[str], None]] = []
        self._write = write
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._asks: dict[int, _Pending] = {}
        self._last_id = 0
        self._out: list[bytes] = []
        self._out_bulk: list[bytes] = []
        self._flushing = False
        self._expiry: asyncio.TimerHandle | None = None
        self._gone = ""
        self.n_in = 0
        self.n_out = 0
        self.last_heard = self._loop.time()

    @property
    def gone(self) -> str:
        """Why the peer is gone; empty while it is there."""
        return self._gone

    def ask(self, target: str, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request to an actor of the peer's node."""
        future: asyncio.Future[R] = self._loop.create_future()
        what = f"{type(request).__name__} to {target} on {self.name}"
        if self._gone:
            future.set_exception(PeerGone(f"{what}: the peer is gone ({self._gone})"))
            return future
        self._last_id = id = self._last_id + 1
        self._asks[id] = _Pending(future, codec.reply_decoder(type(request)), self._loop.time() + timeout_s, what)
        self.say(Kind.ASK, id, target, timeout_s, request)
        if self._expiry is None:
            self._expiry = self._loop.call_later(EXPIRY_TICK_S, self._expire)
        return future

    def tell(self, target: str, event: Event) -> None:
        """Send an event to an actor of the peer's node; nothing is said when the peer is gone."""
        self.say(Kind.TELL, 0, target, 0.0, event, bulk=event.bulk)

    def reply(self, id: int, answer: Any) -> None:
        """Answer the peer's ask."""
        self.say(Kind.REPLY, id, "", 0.0, answer)

    def fail(self, id: int, failure: Failure) -> None:
        """Answer the peer's ask with a failure."""
        self.say(Kind.FAIL, id, "", 0.0, failure)

    def say(
        self, kind: Kind, id: int = 0, target: str = "", ttl_s: float = 0.0, body: Any = None, *, bulk: bool = False
    ) -> None:
        """Put an envelope into this tick's batch."""
        if self._gone:
            return
        sealed = codec.seal(kind, id, target, ttl_s, body)
        (self._out_bulk if bulk else self._out).append(sealed)
        self.n_out += 1
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def hear(self, batch: bytes) -> None:
        """Take a batch from the peer.

        Raises:
            BadMessage: the bytes are no batch, or an answer is not of the asked type.
        """
        self.last_heard = self._loop.time()
        for envelope in codec.split(batch):
            self.n_in += 1
            if envelope.kind == Kind.REPLY or envelope.kind == Kind.FAIL:
                self._settle(envelope)
            else:
                self._deliver(self, envelope)

    def lost(self, why: str) -> None:
        """The peer is gone for good: every ask that waits fails now."""
        if self._gone:
            return
        self._gone = why or "gone"
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        waiting, self._asks = self._asks, {}
        for pending in waiting.values():
            if not pending.future.done():
                pending.future.set_exception(PeerGone(f"{pending.what}: the peer is gone ({why})"))
        for callback in self.on_lost:
            callback(why)

    def fail_asks(self, error: Exception) -> None:
        """Let every waiting ask fail with this error; the link itself stays."""
        waiting, self._asks = self._asks, {}
        for pending in waiting.values():
            if not pending.future.done():
                pending.future.set_exception(error)

    def statistics(self) -> dict[str, int | float | str]:
        """Counts for console and metrics."""
        return {
            "in": self.n_in,
            "out": self.n_out,
            "asks_waiting": len(self._asks),
            "silent_s": self._loop.time() - self.last_heard,
        }

    def _settle(self, envelope: Envelope) -> None:
        pending = self._asks.pop(envelope.id, None)
        if pending is None or pending.future.done():
            # The asker gave up meanwhile: a late answer has nobody to go to.
            return
        if envelope.kind == Kind.FAIL:
            failure: Failure = codec.decode(envelope.body, codec.decoder(Failure))
            pending.future.set_exception(exception_of(failure))
            return
        try:
            pending.future.set_result(codec.decode(envelope.body, pending.decoder))
        except BadMessage as error:
            pending.future.set_exception(error)

    def flush(self) -> None:
        """Send now what this tick has put together."""
        self._flushing = False
        for bulk, waiting in ((False, self._out), (True, self._out_bulk)):
            for start in range(0, len(waiting), codec.BATCH_LIMIT):
                self._write([codec.join(waiting[start : start + codec.BATCH_LIMIT])], bulk)
            waiting.clear()

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        for id, pending in list(self._asks.items()):
            if pending.future.done():
                del self._asks[id]
            elif pending.deadline <= now:
                del self._asks[id]
                pending.future.set_exception(
                    AskTimedOut(
                        f"{pending.what}: no answer in time",
                        hint="hcs-mesh ps shows whether the actor is up and how much it has waiting",
                    )
                )
        if self._asks:
            self._expiry = self._loop.call_later(EXPIRY_TICK_S, self._expire)


class PeerRef:
    """An actor that lives behind a link."""

    __slots__ = ("_link", "name")

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.name = name

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request to the actor."""
        return self._link.ask(self.name, request, timeout_s=timeout_s)

    def tell(self, event: Event) -> None:
        """Send an event to the actor."""
        self._link.tell(self.name, event)
