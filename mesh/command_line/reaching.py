"""Which mesh a command speaks to: the one on a data folder of this host, or one elsewhere."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from ..client import Client
from ..config import data_folder, load_settings
from ..transport import MeshCard, find_card
from .errors import CommandFailed

HERE_ONLY = frozenset({"up", "down", "demo", "doctor", "config", "journal", "keys", "verify", "web"})
"""Commands about this host: they have no meaning for a mesh elsewhere."""


class Elsewhere(NamedTuple):
    """A mesh on another host, and the key to dial it with."""

    card: MeshCard
    key: Path


_elsewhere: ContextVar[Elsewhere | None] = ContextVar("elsewhere", default=None)


def choose(mesh: str, public: str, key: Path | None, command: str) -> None:
    """Let this run of the command line speak to the mesh at an address or of a card.

    Raises:
        CommandFailed: no key was given, or the command is about this host.
        NoCard, AddressError, KeyFileError: it cannot be told where the mesh is or whose key must answer.
    """
    if not mesh:
        _elsewhere.set(None)
        return
    if command in HERE_ONLY:
        raise CommandFailed(
            f"'{command}' is about this host, and --mesh names {mesh}",
            hint=f"leave --mesh (or HCS_MESH_ADDRESS) out, or run hcs-mesh {command} on the mesh's own host",
        )
    if key is None:
        raise CommandFailed(
            f"a mesh elsewhere ({mesh}) is dialled with a key of your own",
            hint="--key FILE; hcs-mesh keys new NAME makes one, and the mesh's administrator allows its public half",
        )
    _elsewhere.set(Elsewhere(find_card(mesh, public), key))


def elsewhere() -> Elsewhere | None:
    """The mesh on another host that this command speaks to, if it does."""
    return _elsewhere.get()


def client_of(data: Path | None, key: Path | None) -> Client:
    """The client of the mesh that is meant.

    Raises:
        NodeMissing: no mesh is up on the data folder.
        ConfigError, KeyFileError: a setting is wrong, or the key cannot be read.
    """
    settings = load_settings(data=data).settings
    n_bytes = settings.limits.message_bytes
    there = elsewhere()
    if there is not None:
        return Client.to(there.card, key=key or there.key, max_message_bytes=n_bytes)
    return Client.at(data_folder(settings), key=key, max_message_bytes=n_bytes)
