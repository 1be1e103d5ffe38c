"""The desk of logins: takes over the sessions in which people let the mesh act at OMERO."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, assert_never

from ...config import MeshError, get_logger
from ...messages.omero import HandInSession, PersonLoggedIn, SessionHeld, TakeBackSession
from ...plates.omero.address import Person, SessionKey
from ...plates.omero.identities import Identities
from ...plates.omero.secret import Secret
from ...supervisors import Actor
from ...transport import ActorUnknown, Principal
from ..errors import NotTheirs
from ..imports.intake import owner_of
from ..threads import Threads

log = get_logger(__name__)

Inbox = HandInSession | TakeBackSession

ROUND_S = 60.0
"""How often it is looked at what nobody has needed for a while."""


class NoOmero(MeshError, LookupError):
    """A session was handed in, and the mesh keeps its plates elsewhere."""


class LoginDesk(Actor[Inbox]):
    """Hands each session to those who act in it; it is kept in memory alone."""

    def __init__(self, identities: Identities | None, *, server: str = "", rest_s: float = 8 * 3600.0) -> None:
        """Hand over to ``identities``, None where there is no OMERO; sessions unused for ``rest_s`` may end."""
        self._identities = identities
        self._server = server
        self._rest_s = rest_s
        self._threads = Threads("logins", n_threads=4)
        self._n_handed_in = 0

    async def started(self) -> None:
        """Begin to go round."""
        if self._identities is not None:
            self.context.spawn(self._go_round(self._identities))

    async def ended(self) -> None:
        """Let the threads go."""
        await self._threads.finish()

    def statistics(self) -> Mapping[str, int | float | str]:
        """Counts for console and metrics."""
        return {"sessions_handed_in": self._n_handed_in}

    async def receive(self, message: Inbox) -> Any:
        """Handle one message."""
        match message:
            case HandInSession():
                return self.defer(self._take(message, self.context.principal))
            case TakeBackSession(user=user):
                person = self._person(user, self.context.principal)
                identities = self._at_omero()
                return self.defer(self._threads.run(lambda: identities.taken_back(person)))
            case _:
                assert_never(message)

    async def _take(self, message: HandInSession, asker: Principal) -> SessionHeld:
        """See that a session is the person's, and let it be used.

        Raises:
            NoOmero: there is none.
            NotTheirs: the asker may not speak for this person.
            OmeroError: the session is somebody else's or over, or the server cannot be asked.
        """
        identities = self._at_omero()
        person, key = self._person(message.user, asker), SessionKey(uuid=Secret(message.session))
        await self._threads.run(lambda: identities.logged_in(person, key))
        self._n_handed_in += 1
        # Between two lives it looks by itself.
        with suppress(ActorUnknown):
            self.context.find("scheduler").tell(PersonLoggedIn(user=person.user))
        log.info("a session was handed in", user=person.user, by=asker.name)
        return SessionHeld(user=person.user, server=self._server)

    def _at_omero(self) -> Identities:
        if self._identities is None:
            raise NoOmero(
                "this mesh keeps its plates in its local repository, and acts for nobody at OMERO",
                hint="[omero] host names a server, in the settings of a mesh with a data folder of its own",
            )
        return self._identities

    def _person(self, user: str, asker: Principal) -> Person:
        try:
            return Person(user=owner_of(user, asker))
        except NotTheirs as error:
            raise NotTheirs(
                f"{asker.name} ({asker.role}) may not hand in or take back the session of {user}",
                hint="log in with a key of your own, whose name is that of your user at OMERO",
            ) from error

    async def _go_round(self, identities: Identities) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            await self._threads.run(identities.close_idle)
            await self._threads.run(lambda: identities.rest_unused(self._rest_s))
