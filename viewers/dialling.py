"""How a viewer reaches its mesh: by the data folder on this host, or by a card on another."""

from __future__ import annotations

from pathlib import Path

import zmq

from ..config import load_settings
from ..transport import Dialer, Link, MeshCard, NoCard, ServerKey, load_pair
from ..transport.deliveries import Deliver
from ..transport.whereabouts import find_mesh, owner_secret

Context = zmq.Context[zmq.Socket[bytes]]


def dial(
    context: Context,
    mesh: Path | MeshCard,
    deliver: Deliver[Link],
    *,
    name: str,
    key: Path | None = None,
) -> Dialer:
    """Dial the mesh that is up on a data folder, or the one of a card, within the bounds of this host's settings.

    Raises:
        ConfigError: a setting is wrong.
        NodeMissing: no mesh is up on the data folder.
        KeyFileError: the key cannot be read.
        NoCard: a mesh elsewhere is dialled without a key.
    """
    settings = load_settings().settings
    if isinstance(mesh, MeshCard):
        if key is None:
            raise NoCard(f"{mesh.address} is dialled with a key of your own", hint="--key FILE")
        endpoint, pair, server = mesh.endpoint, load_pair(key), ServerKey(public=mesh.public)
    else:
        found = find_mesh(mesh)
        endpoint, server = found.endpoints[0], ServerKey(public=found.public_key)
        pair = load_pair(key if key is not None else owner_secret(mesh))
    return Dialer(
        context,
        endpoint,
        deliver,
        name=name,
        key=pair,
        server=server,
        max_message_bytes=settings.limits.message_bytes,
        max_frame_bytes=settings.limits.frame_bytes,
        silence_s=settings.front.silence_s,
    )
