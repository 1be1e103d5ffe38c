"""The light administrator who opens sessions for people who are away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...config.secret_file import read_secret
from .address import Credential, OmeroAddress, Password, Person, SessionKey
from .connection import Connection, end_quietly
from .errors import OmeroCallRefused, OmeroMinterUnfit, OmeroNotPermitted, OmeroSecretUnusable
from .secret import Secret

SUDO = "Sudo"
_USER = "select person.id from Experimenter person where person.omeName = :name"


class Minter:
    """Opens sessions for people; its secret is read each time, and kept by nobody."""

    def __init__(
        self,
        address: OmeroAddress,
        name: str,
        secret_file: Path,
        *,
        idle_s: float = 600.0,
        open_connection: Callable[[OmeroAddress, Credential], Connection] = Connection,
    ) -> None:
        """Mint sessions that the server ends once they were idle for ``idle_s``."""
        self._address = address
        self._name = name
        self._secret_file = secret_file
        self._idle_s = idle_s
        self._open = open_connection

    def mint(self, person: Person) -> SessionKey:
        """Open a session for a person.

        Raises:
            OmeroSecretUnusable: the secret's file cannot be used.
            OmeroMinterUnfit: the minter has not the Sudo privilege, or more than that.
            OmeroNotPermitted: it may not act for this person, who may be an administrator, or unknown to the server.
            OmeroError: the server refuses or cannot be reached.
        """
        connection = self._open(self._address, Password(user=self._name, password=minter_secret(self._secret_file)))
        try:
            self._check_fitness(connection)
            return self._opened(connection, person)
        finally:
            end_quietly(connection)

    def _check_fitness(self, connection: Connection) -> None:
        context = connection.event_context()
        rights = sorted(context.adminPrivileges or ())
        if context.isAdmin and rights == [SUDO]:
            return
        has = ", ".join(rights) if rights else "none"
        raise OmeroMinterUnfit(
            f"{self._name} cannot be the minter: its rights as an administrator are {has}, and must be {SUDO} alone.",
            hint="Make it a light administrator with the Sudo privilege and no other.",
        )

    def _opened(self, connection: Connection, person: Person) -> SessionKey:
        principal = connection.library.omero.sys.Principal(name=person.user, group=person.group, eventType="User")
        try:
            with connection.calling():
                session = connection.service("SessionService").createSessionWithTimeouts(
                    principal, 0, int(1000 * self._idle_s)
                )
                return SessionKey(uuid=Secret(session.getUuid().getValue()))
        except OmeroCallRefused:
            # Of a name that it does not know a server says that the call is a wrong one, in words of its own.
            if connection.rows(_USER, name=person.user):
                raise
        raise OmeroNotPermitted(
            f"OMERO at {self._address} knows no user {person.user}.",
            hint="Names at OMERO are those of the mesh's keys: hcs-mesh keys new NAME.",
        )


def minter_secret(path: Path) -> Secret:
    """The minter's password.

    Raises:
        OmeroSecretUnusable: its file cannot be read, is empty or no text, or others can read it.
    """
    return Secret(read_secret(path, of="omero.minter_secret_file", error=OmeroSecretUnusable))
