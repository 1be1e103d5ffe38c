"""Sessions that are opened for people who are away: never an administrator's, and ended when nobody needs them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from .address import OmeroAddress, Person, SessionKey
from .connection import Connection, close_quietly, end_quietly
from .errors import OmeroError, OmeroNotPermitted
from .joining import OpenConnection, connected_as

_LOOKED_AT = 2
"""Who holds a session in which nothing is done: its maker, and the connection that looks."""
_LOOKS_FOR_S, _LOOKS_EVERY_S = 5.0, 0.2
"""So long it is looked at again: the connections of a pool that was given up are closed beside this."""


class Mints(Protocol):
    """Opens a session for somebody who is away."""

    def mint(self, person: Person) -> SessionKey:
        """Return the key of a new session of this person."""


def open_minted(
    person: Person, minter: Mints, address: OmeroAddress, open_connection: OpenConnection = Connection
) -> SessionKey:
    """The key of a new session of a person, that may do a person's own work and no more.

    Raises:
        OmeroNotPermitted: it would be an administrator's, or the minter may not act for this person.
        OmeroError: what the minter is refused with, or the server cannot be reached.
    """
    key = minter.mint(person)
    connection = connected_as(person, address, key, open_connection)
    try:
        is_administrator = bool(connection.event_context().isAdmin)
    except BaseException:
        # Nobody will ever have its key.
        end_quietly(connection)
        raise
    if is_administrator:
        end_quietly(connection)
        raise OmeroNotPermitted(
            f"{person.user} is an administrator of OMERO {address}, in whose name nobody else may act.",
            hint="Log in, or have the work done under a name of less rights.",
        )
    close_quietly(connection)
    return key


def ending_minted(
    keys: Sequence[SessionKey], address: OmeroAddress, open_connection: OpenConnection = Connection
) -> threading.Thread:
    """A thread that ends sessions; one that cannot be told, or in which something goes on, ends when it is idle."""

    def end() -> None:
        for key in keys:
            try:
                connection = open_connection(address, key)
            except OmeroError as error:
                logging.getLogger(__name__).debug("ending a minted session at OMERO: %s", error)
            else:
                _end_unused(connection)

    thread = threading.Thread(target=end, name="omero-ending", daemon=True)
    thread.start()
    return thread


def _end_unused(connection: Connection) -> None:
    """End a session unless an upload, or an executor, holds it as well."""
    until_s = time.monotonic() + _LOOKS_FOR_S
    try:
        while (is_used := connection.n_references() > _LOOKED_AT) and time.monotonic() < until_s:
            time.sleep(_LOOKS_EVERY_S)
    except OmeroError:
        is_used = True
    if is_used:
        close_quietly(connection)
    else:
        end_quietly(connection)
