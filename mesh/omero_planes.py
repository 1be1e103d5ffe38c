"""Planes of plates in OMERO where they are read: in the hub, which has people's sessions, and in what asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .actors.omero.borrowing import borrower
from .actors.omero.session_desk import SESSIONS, SessionDesk
from .plates.omero.address import OmeroReading
from .plates.omero.identities import Identities
from .plates.omero.lent_sessions import LentSessions
from .plates.omero.planes import planes_of_this_process
from .supervisors import Node
from .supervisors.child import Child


def omero_planes(
    reading: OmeroReading,
    identities: Identities,
    node: Node,
    enter: Callable[[AbstractContextManager[None]], object],
) -> Child:
    """Read planes in this process as ``identities``, until what ``enter`` enters is left.

    The child that is returned lends their sessions to the executors.

    Raises:
        PlaceRefused: another mesh of this process reads at the same server.
    """
    enter(planes_of_this_process().at(reading.address, identities, managed=_managed(reading)))
    # Executors that are up before it find a mailbox.
    node.open_mailbox(SESSIONS, SessionDesk)
    return node.actor(SESSIONS, lambda: SessionDesk(identities), kind=SessionDesk)


@contextmanager
def lent_planes(reading: OmeroReading, node: Node) -> Iterator[None]:
    """Read planes in a child process, in sessions that its hub lends."""
    sessions = LentSessions(
        reading.address,
        borrower(node.find, node.loop),
        n_connections=reading.n_connections,
        lent_s=reading.lent_s,
        let_go_s=reading.let_go_s,
    )
    try:
        with planes_of_this_process().at(reading.address, sessions, managed=_managed(reading)):
            yield
    finally:
        sessions.close()


def _managed(reading: OmeroReading) -> Path | None:
    return Path(reading.managed_repository) if reading.managed_repository else None
