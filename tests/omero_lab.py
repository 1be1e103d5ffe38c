"""A stand-in server with people in it, or a real one with its own, and how they are known to it."""

from __future__ import annotations

from typing import Any, Protocol

from omero_real import RealServer

from hcs_mesh.plates.omero.address import OmeroAddress, Password
from hcs_mesh.plates.omero.secret import Secret

SETUP: dict[str, Any] = {
    "root_password": "the-root",
    "groups": [{"name": "lab", "permissions": "rw----"}, {"name": "other", "permissions": "rw----"}],
    "users": [
        {"name": "ada", "password": "pw-ada", "groups": ["lab"]},
        {"name": "grace", "password": "pw-grace", "groups": ["lab", "other"]},
        {"name": "minter", "password": "pw-minter", "groups": ["system"], "privileges": ["Sudo"]},
        {"name": "plain", "password": "pw-plain", "groups": ["lab"]},
        {"name": "mighty", "password": "pw-mighty", "groups": ["system"], "privileges": ["Sudo", "DeleteOwned"]},
    ],
}


class Server(Protocol):
    """Any server that can be spoken with; what else a stand-in can do takes a RunningServer."""

    @property
    def host(self) -> str:
        """Its name."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def certificate(self) -> Any:
        """What the server's certificate is checked with; None where it is not checked."""


def address_of(server: Server, *, connect_s: float = 60.0, call_s: float = 60.0) -> OmeroAddress:
    """The server's address, with its own certificate to check it by."""
    return OmeroAddress(
        host=server.host,
        port=server.port,
        verify=server.certificate is not None,
        ca_file=str(server.certificate or ""),
        connect_s=connect_s,
        call_s=call_s,
    )


def account(server: Server | None, user: str) -> tuple[str, str]:
    """The name and the password that one of the people has at a server."""
    if isinstance(server, RealServer):
        return server.people[user]
    return user, f"pw-{user}"


def login(user: str, server: Server | None = None) -> Password:
    """The right password of a user."""
    name, password = account(server, user)
    return Password(user=name, password=Secret(password))
