"""The people whom the stand-in knows in these tests, and how they come in."""

from __future__ import annotations

from typing import Any, NamedTuple

import omero
import omero.gateway
import omero.sys
from omero.gateway import BlitzGateway

from omero_server.running import RunningServer

CLIENTS: list[Any] = []
"""Those that the test at hand has opened."""
SETUP = {
    "groups": [
        {"name": "lab", "permissions": "rw----"},
        {"name": "readers", "permissions": "rwr---"},
        {"name": "annotators", "permissions": "rwra--"},
        {"name": "writers", "permissions": "rwrw--"},
        {"name": "elsewhere", "permissions": "rw----"},
    ],
    "users": [
        {"name": "ada", "password": "ada's", "groups": ["lab", "readers", "annotators", "writers"]},
        {"name": "ben", "password": "ben's", "groups": ["lab", "readers", "annotators", "writers"]},
        {"name": "lea", "password": "lea's", "groups": ["lab", "readers"], "leads": ["lab", "readers"]},
        {"name": "eve", "password": "eve's", "groups": ["elsewhere"]},
        {"name": "minter", "password": "minter's", "groups": ["system"], "privileges": ["Sudo"]},
    ],
}


class Login(NamedTuple):
    """Where a server is, and as whom one may come in."""

    host: str
    port: int
    user: str
    password: str

    def connect(self) -> BlitzGateway:
        """A connection of the gateway's, over TLS."""
        connection = BlitzGateway(self.user, self.password, host=self.host, port=self.port, secure=True)
        assert connection.connect(), connection.getLastError()
        return connection

    def client(self) -> Any:
        """A client without the gateway, without a session yet; closed with the test."""
        CLIENTS.append(omero.client(host=self.host, port=self.port))
        return CLIENTS[-1]


def login_of(server: RunningServer, user: str) -> Login:
    """How one of the people of SETUP logs in."""
    return Login(server.host, server.port, user, f"{user}'s")


def principal(user: str, group: str) -> Any:
    """For whom a session is to be made."""
    made = omero.sys.Principal()
    made.name, made.group, made.eventType = user, group, "User"
    return made
