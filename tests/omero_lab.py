"""A stand-in server with people in it, and how they are known to it."""

from typing import Any

from hcs_mesh.plates.omero.address import OmeroAddress, Password
from hcs_mesh.plates.omero.secret import Secret
from omero_server.running import RunningServer

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


def address_of(server: RunningServer, *, connect_s: float = 60.0, call_s: float = 60.0) -> OmeroAddress:
    """The server's address, with its own certificate to check it by."""
    return OmeroAddress(
        host=server.host,
        port=server.port,
        ca_file=str(server.certificate),
        connect_s=connect_s,
        call_s=call_s,
    )


def login(user: str) -> Password:
    """The right password of a user."""
    return Password(user=user, password=Secret(f"pw-{user}"))
