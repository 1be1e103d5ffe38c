"""References by name: to an actor of this node, of a child process or of the parent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..config.errors import MeshError
from ..config.tracing import carried, followed
from ..transport import codec
from ..transport.errors import ActorUnknown, BadMessage
from ..transport.link import Link
from ..transport.messages import Event, Message, Request
from ..transport.refs import ASK_TIMEOUT_S
from .cell import Cell
from .letters import Letter, letter_of

R = TypeVar("R")


class NamedRef:
    """An actor by name, looked up at every message: it may live here, in a child process or at the parent."""

    __slots__ = ("_cells", "_link_to", "_loop", "_unknown", "name")

    def __init__(
        self,
        name: str,
        cells: Mapping[str, Cell],
        link_to: Callable[[str], Link | None],
        unknown: Callable[[str], ActorUnknown],
    ) -> None:
        self.name = name
        self._cells = cells
        self._link_to = link_to
        self._unknown = unknown
        self._loop = asyncio.get_running_loop()

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request; the future is its answer."""
        # Not by a KeyError, which is dear: an ask to another process would wait for it.
        cell = self._cells.get(self.name)
        if cell is not None:
            return cell.ask(request, timeout_s)
        link = self._link_to(self.name)
        return self._nowhere() if link is None else link.ask(self.name, request, timeout_s=timeout_s)

    def tell(self, event: Event) -> None:
        """Send an event and go on."""
        cell = self._cells.get(self.name)
        if cell is not None:
            cell.post(letter_of(event, None, 0.0, trace=carried()) if followed() else Letter(event))
            return
        link = self._link_to(self.name)
        if link is None:
            raise self._unknown(self.name)
        link.tell(self.name, event)

    def send(self, event: Event, *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[None]:
        """Send an event; the future is done once the actor's mailbox has taken it."""
        cell = self._cells.get(self.name)
        if cell is None:
            link = self._link_to(self.name)
            return self._nowhere() if link is None else link.send(self.name, event, timeout_s=timeout_s)
        future: asyncio.Future[None] = self._loop.create_future()
        cell.post(letter_of(event, future, self._loop.time() + timeout_s, trace=carried()))
        return future

    def _nowhere(self) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        future.set_exception(self._unknown(self.name))
        return future


class WireRef(NamedRef):
    """The same, and what stays in this process is encoded and decoded as if it did not."""

    __slots__ = ()

    def ask(self, request: Request[R], *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[R]:
        """Send a request; the future is its answer."""
        cell = self._cells.get(self.name)
        if cell is None:
            return super().ask(request, timeout_s=timeout_s)
        loop = self._loop
        future: asyncio.Future[R] = loop.create_future()
        try:
            answer = _WireAnswer(future, type(request))
            cell.post(letter_of(_travelled(request, cell), answer, loop.time() + timeout_s, trace=carried()))
        except MeshError as error:
            future.set_exception(error)
        return future

    def tell(self, event: Event) -> None:
        """Send an event and go on."""
        cell = self._cells.get(self.name)
        if cell is None:
            super().tell(event)
        else:
            cell.post(letter_of(_travelled(event, cell), None, 0.0, trace=carried()))

    def send(self, event: Event, *, timeout_s: float = ASK_TIMEOUT_S) -> asyncio.Future[None]:
        """Send an event; the future is done once the actor's mailbox has taken it."""
        cell = self._cells.get(self.name)
        if cell is not None:
            try:
                _travelled(event, cell)
            except BadMessage as error:
                future: asyncio.Future[None] = self._loop.create_future()
                future.set_exception(error)
                return future
        return super().send(event, timeout_s=timeout_s)


class _WireAnswer:
    """An answer that is encoded where it is given and decoded where it was asked for."""

    __slots__ = ("_future", "_request")

    def __init__(self, future: asyncio.Future[Any], request: type[Message]) -> None:
        self._future = future
        self._request = request

    def done(self) -> bool:
        return self._future.done()

    def set_result(self, result: Any, /) -> None:
        encoded = codec.encode(result)
        try:
            self._future.set_result(codec.decode(encoded, codec.reply_decoder(self._request)))
        except BadMessage as error:
            self._future.set_exception(error)

    def set_exception(self, error: BaseException, /) -> None:
        self._future.set_exception(error)


def _travelled(message: Message, cell: Cell) -> Message:
    decoded: Message = codec.decode(codec.encode(message), cell.decoder)
    return decoded
