"""How a process of the mesh comes by a session: its threads ask the hub, over the link that only its owner can use."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable

from ...config.errors import MeshError
from ...messages.omero import OpenSession, SessionOpened
from ...plates.errors import PlaceAway, PlaceRefused
from ...plates.omero.address import Person, SessionKey
from ...plates.omero.errors import BROKEN, OmeroAwaitsLogin, OmeroBusy, OmeroError, OmeroFailed
from ...plates.omero.secret import Secret
from ...transport import Ref
from ...transport.errors import NotPermitted
from ...transport.failures import AskFailed
from .session_desk import SESSIONS

ASK_S = 120.0
"""The hub may have to find out that one session is over, and mint another, at a server that is slow."""

_AS_IF_HERE: dict[str, type[OmeroError]] = {
    kind.__name__: kind for kind in (OmeroAwaitsLogin, OmeroBusy, OmeroFailed, *BROKEN)
}


def borrower(find: Callable[[str], Ref], loop: asyncio.AbstractEventLoop) -> Callable[[Person], SessionKey]:
    """What asks for a person's session, from any thread but the loop's.

    Raises (when it is called):
        OmeroAwaitsLogin: nobody may act for the person before the next login.
        OmeroError: the server refuses or cannot be reached.
        PlaceAway: the hub cannot be reached.
        PlaceRefused: there are no sessions here, or none for this person.
    """

    async def ask(person: Person) -> SessionOpened:
        return await find(SESSIONS).ask(OpenSession(requester=person.user), timeout_s=ASK_S)

    def borrow(person: Person) -> SessionKey:
        try:
            lent = asyncio.run_coroutine_threadsafe(ask(person), loop).result()
        except concurrent.futures.CancelledError as error:
            raise PlaceAway("this process is stopping") from error
        except MeshError as error:
            raise _told(error) from error
        return SessionKey(uuid=Secret(lent.uuid))

    return borrow


def _told(error: MeshError) -> MeshError:
    """What a reader of planes says instead: as if it had asked the server itself."""
    if isinstance(error, NotPermitted):
        return PlaceRefused(str(error), hint=error.hint)
    if isinstance(error, AskFailed):
        kind = _AS_IF_HERE.get(error.failure.kind)
        if kind is not None:
            return kind(str(error), hint=error.hint)
        if not error.failure.retry:
            return PlaceRefused(str(error), hint=error.hint)
    # The hub's desk may be on its way up again.
    return PlaceAway(str(error), hint=error.hint)
