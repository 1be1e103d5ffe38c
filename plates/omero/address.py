"""Where an OMERO.server is and who one is there: what travels between processes, where a connection cannot (pure)."""

from __future__ import annotations

import msgspec

from ...config.omero_settings import OmeroSettings
from .secret import Secret

USUAL_PORT = 4064


class OmeroAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An OMERO.server, how its certificate is checked, and how long it may take."""

    host: str
    port: int = USUAL_PORT
    verify: bool = True
    """Whether the server must show a certificate that is signed by somebody known and made out to ``host``."""
    ca_file: str = ""
    """The certificates (PEM) that the server's may be signed with, or its own; empty means the system's."""
    connect_s: float = 30.0
    """How long connecting and logging in may take."""
    call_s: float = 60.0
    """How long one call may take."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address_of(settings: OmeroSettings) -> OmeroAddress:
    """The server that the settings name."""
    return OmeroAddress(
        host=settings.host,
        port=settings.port,
        verify=settings.verify_certificate,
        ca_file=settings.ca_file,
        connect_s=settings.connect_timeout_s,
        call_s=settings.call_timeout_s,
    )


LENT_S = 60.0
LET_GO_S = 120.0


class OmeroReading(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to read planes at a server, but for the sessions."""

    address: OmeroAddress
    managed_repository: str = ""
    """The absolute path at which the server's managed repository is mounted; empty means that it is not."""
    n_connections: int = 4
    """How many connections one person's session may hold in a process."""
    lent_s: float = LENT_S
    """How long a session is acted in without asking whether it still may be."""
    let_go_s: float = LET_GO_S
    """When nobody has asked again for so long, connections are closed and the key is forgotten."""


def reading_of(settings: OmeroSettings) -> OmeroReading | None:
    """How planes are read at the server that the settings name; None where they name none."""
    if not settings.host:
        return None
    return OmeroReading(
        address=address_of(settings),
        managed_repository=settings.managed_repository,
        n_connections=settings.connections_per_session,
    )


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whose name is acted in, and in which group (empty: the usual one): what a journal holds of an identity."""

    user: str
    group: str = ""


class Password(msgspec.Struct, frozen=True, kw_only=True):
    """A login by name and password."""

    user: str
    password: Secret


class SessionKey(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is there already; its uuid is all that it takes to be its user."""

    uuid: Secret


Credential = Password | SessionKey
