"""The desk of sessions: lends the hub's to the mesh's own processes, of each person while they have work of theirs."""

from __future__ import annotations

from typing import Any, assert_never

from ...config import get_logger
from ...messages.omero import OpenSession, SessionOpened
from ...plates.omero.address import Person
from ...plates.omero.identities import Identities
from ...plates.omero.person import await_login
from ...plates.omero.whose_session import AwaitLogin
from ...plates.plane_readers import plane_counts
from ...supervisors import Actor
from ...transport import INNER
from ...transport.errors import NotPermitted
from ..threads import Threads

log = get_logger(__name__)

SESSIONS = "omero.sessions"

Inbox = OpenSession


class SessionDesk(Actor[Inbox]):
    """Answers with a session that the server has just said is alive, minted where the person's own is over."""

    def __init__(self, identities: Identities) -> None:
        """Lend the sessions of ``identities``, which stay their owner's."""
        self._identities = identities
        self._threads = Threads("omero sessions")
        self._n_lent = self._n_awaited = self._n_refused = 0

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case OpenSession(requester=requester):
                # Held by the message's audience already; said here as well, for it is a key that goes out.
                if self.context.principal is not INNER or not requester:
                    raise NotPermitted("sessions at OMERO are lent to the mesh's own processes, for a person")
                child = self.context.caller
                # A process that computes for one person, whatever befalls it, is to be able to act for no other.
                if child is not None and not child.has_work_of(requester):
                    self._n_refused += 1
                    log.warning("a session was refused", process=child.name, person=requester)
                    raise NotPermitted(
                        f"{child.name} asks for a session of {requester} at OMERO and has no work of {requester}'s",
                        hint="Processes are lent sessions for the wells that they are at, and for nothing else.",
                    )
                return self.defer_once(requester, self._lend)
            case _:
                assert_never(message)

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    def statistics(self) -> dict[str, int | float | str]:
        """How often a session was lent, how often a person's login was missing, and how often the asker's right.

        Beside them, where the planes came from that viewers were shown: they are read in this process.
        """
        return {"lent": self._n_lent, "awaited": self._n_awaited, "refused": self._n_refused, **plane_counts()}

    async def _lend(self, requester: str) -> SessionOpened:
        person = Person(user=requester)
        found = await self._threads.run(lambda: self._identities.session_of(person))
        if isinstance(found, AwaitLogin):
            self._n_awaited += 1
            raise await_login(person, found)
        self._n_lent += 1
        return SessionOpened(uuid=found.uuid.reveal())
