"""The asks of one link that wait for their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from . import codec
from .codec import Envelope, Kind
from .errors import AskTimedOut, BadMessage
from .failures import exception_of
from .messages import Failure

EXPIRY_TICK_S = 0.1
_FAIL = int(Kind.FAIL)


class Question(msgspec.Struct):
    """One ask: who waits for what until when."""

    future: asyncio.Future[Any]
    decoder: msgspec.msgpack.Decoder[Any]
    deadline: float
    kind: type
    target: str
    acts_for: str = ""


class Questions:
    """Keeps asks by number until they are answered, fail, or their time is over."""

    def __init__(self, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        self._peer = peer
        self._loop = loop
        self._asked: dict[int, Question] = {}
        self._last = 0
        self._expiry: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._asked)

    def add(self, question: Question) -> int:
        """Wait for the answer of a question; its number goes with it."""
        self._last = number = self._last + 1
        self._asked[number] = question
        if self._expiry is None:
            self._expiry = self._loop.call_later(EXPIRY_TICK_S, self._expire)
        return number

    def any_for(self, person: str) -> bool:
        """Whether somebody waits for what is done in a person's name."""
        return any(one.acts_for == person and not one.future.done() for one in self._asked.values())

    def drop(self, number: int) -> None:
        """It was not asked after all."""
        self._asked.pop(number, None)

    def settle(self, envelope: Envelope) -> bool:
        """Take an answer to whoever waits for it; False when nobody asked, or nobody does any more."""
        question = self._asked.pop(envelope.id, None)
        if question is None:
            return False
        future = question.future
        if future.done():
            return True
        try:
            if envelope.kind == _FAIL:
                future.set_exception(exception_of(codec.decode(envelope.body, codec.decoder(Failure))))
            else:
                future.set_result(codec.decode(envelope.body, question.decoder))
        except BadMessage as error:
            future.set_exception(error)
        return True

    def fail(self, why: Callable[[Question], Exception]) -> None:
        """Let everyone who waits learn that no answer comes."""
        asked, self._asked = self._asked, {}
        for question in asked.values():
            if not question.future.done():
                question.future.set_exception(why(question))

    def close(self) -> None:
        """Look at no deadline any more."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def what(self, question: Question) -> str:
        """A question in words."""
        return f"{question.kind.__name__} to {question.target} on {self._peer}"

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        for number, question in list(self._asked.items()):
            if question.future.done():
                del self._asked[number]
            elif question.deadline <= now:
                del self._asked[number]
                question.future.set_exception(
                    AskTimedOut(
                        f"{self.what(question)}: no answer in time",
                        hint="hcs-mesh ps shows whether the actor is up and how much it has waiting",
                    )
                )
        if self._asked:
            self._expiry = self._loop.call_later(EXPIRY_TICK_S, self._expire)
