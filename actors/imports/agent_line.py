"""The line to one agent: asks it over whichever link it has just now, and gives its failures their kind again."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

from ...config import MeshError
from ...messages.workstations import Workstation
from ...plates import errors as plate_errors
from ...plates.holding import errors as holding_errors
from ...plates.holding.deletion import SourceStays
from ...plates.local import errors as local_errors
from ...plates.served_folders import NotServed
from ...transport import AskFailed, PeerGone, Request
from ..errors import NotAllowed, OutOfHours, SourceSilent
from .serving_agents import FOLDERS, ServingAgent

R = TypeVar("R")

LOOK_S = 0.25
PATIENCE_S = 10.0
"""How long a file that is being read waits for its workstation, before its import makes room for others."""

_SOURCES: tuple[type[MeshError], ...] = (
    local_errors.SourceChanged,
    local_errors.SourceMissing,
    local_errors.SourceFailed,
    local_errors.SourceUnreadable,
    plate_errors.SourceNotFound,
    plate_errors.SourceFailing,
    plate_errors.BadSourceName,
    plate_errors.BadSourceTime,
    plate_errors.PlanError,
    plate_errors.NotYetComplete,
    plate_errors.NothingYet,
    plate_errors.StillOpen,
    plate_errors.NotBegun,
    holding_errors.NotHeld,
    SourceStays,
    NotAllowed,
    NotServed,
    SourceSilent,
    OutOfHours,
)
_KINDS = {kind.__name__: kind for kind in _SOURCES}
"""What an agent says of its source, by name: it means the same here."""


def same_kind(error: AskFailed) -> MeshError:
    """The error that the agent had, where it is one that says something of the source."""
    kind = _KINDS.get(error.failure.kind)
    return error if kind is None else kind(error.failure.message, hint=error.failure.hint)


class AgentLine:
    """Asks one agent, from the loop or from a thread."""

    def __init__(
        self, agent: ServingAgent, loop: asyncio.AbstractEventLoop, workstation: Workstation | None = None
    ) -> None:
        """Ask ``agent`` as long as it is ``workstation``: another one that has its name by now is not asked."""
        self.agent = agent
        self._loop = loop
        self._workstation = workstation or Workstation()

    @property
    def is_there(self) -> bool:
        """Whether it can be asked now."""
        return self.agent.is_there(self._workstation)

    async def reached(self) -> None:
        """Return as soon as it can be asked."""
        await self.agent.reached(self._workstation)

    async def ask(self, request: Request[R], *, timeout_s: float) -> R:
        """Ask once.

        Raises:
            AgentAway: it cannot be reached, or went away before it answered.
            MeshError: what it answered, or that it did not in time.
        """
        link = self.agent.link
        if link is None or not self.is_there:
            raise self.agent.away()
        try:
            return await link.ask(FOLDERS, request, timeout_s=timeout_s)
        except PeerGone as error:
            raise self.agent.away() from error
        except AskFailed as error:
            raise same_kind(error) from error

    def begin(self, request: Request[R], *, timeout_s: float) -> concurrent.futures.Future[R]:
        """Ask from a thread, which goes on meanwhile."""
        return asyncio.run_coroutine_threadsafe(self.ask(request, timeout_s=timeout_s), self._loop)

    def wait(self, asked: concurrent.futures.Future[R], cancelled: Callable[[], bool]) -> R:
        """Wait for an answer in a thread, until ``cancelled`` says so.

        Raises:
            TransferCancelled: it was not waited for to the end.
            MeshError: the failure that was answered.
        """
        while True:
            try:
                return asked.result(timeout=LOOK_S)
            except TimeoutError as error:
                if asked.done():
                    raise
                if cancelled():
                    asked.cancel()
                    raise local_errors.TransferCancelled("The transfer was cancelled while it waited.") from error

    def wait_until_there(self, cancelled: Callable[[], bool]) -> None:
        """Wait in a thread until the agent can be asked again.

        Raises:
            AgentAway: it has not come for ``PATIENCE_S``.
            TransferCancelled: it was not waited for to the end.
        """

        async def there() -> Any:
            try:
                return await asyncio.wait_for(self.reached(), PATIENCE_S)
            except TimeoutError:
                raise self.agent.away() from None

        self.wait(asyncio.run_coroutine_threadsafe(there(), self._loop), cancelled)

    def tell_closed(self, message: Any) -> None:
        """Tell the agent something that it may as well miss."""

        def tell() -> None:
            link = self.agent.link
            if link is not None and self.is_there:
                link.tell(FOLDERS, message)

        self._loop.call_soon_threadsafe(tell)
