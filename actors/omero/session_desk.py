"""The desk of sessions: lends the hub's sessions of people to the mesh's own processes, and to nobody else."""

from __future__ import annotations

from typing import Any, assert_never

from ...messages.omero import OpenSession, SessionOpened
from ...plates.omero.address import Person
from ...plates.omero.identities import Identities
from ...plates.omero.person import await_login
from ...plates.omero.whose_session import AwaitLogin
from ...supervisors import Actor
from ...transport import INNER
from ...transport.errors import NotPermitted
from ..threads import Threads

SESSIONS = "omero.sessions"

Inbox = OpenSession


class SessionDesk(Actor[Inbox]):
    """Answers with a session that the server has just said is alive, minted where the person's own is over."""

    def __init__(self, identities: Identities) -> None:
        """Lend the sessions of ``identities``, which stay their owner's."""
        self._identities = identities
        self._threads = Threads("omero sessions")
        self._n_lent = self._n_awaited = 0

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case OpenSession(requester=requester):
                # Held by the message's audience already; said here as well, for it is a key that goes out.
                if self.context.principal is not INNER or not requester:
                    raise NotPermitted("sessions at OMERO are lent to the mesh's own processes, for a person")
                return self.defer_once(requester, self._lend)
            case _:
                assert_never(message)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    def statistics(self) -> dict[str, int | float | str]:
        """How often a session was lent, and how often a person's login was missing."""
        return {"lent": self._n_lent, "awaited": self._n_awaited}

    async def _lend(self, requester: str) -> SessionOpened:
        person = Person(user=requester)
        found = await self._threads.run(lambda: self._identities.session_of(person))
        if isinstance(found, AwaitLogin):
            self._n_awaited += 1
            raise await_login(person, found)
        self._n_lent += 1
        return SessionOpened(uuid=found.uuid.reveal())
