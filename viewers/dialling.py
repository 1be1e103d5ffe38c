"""How a viewer reaches the mesh of a data folder on this host."""

from __future__ import annotations

from pathlib import Path

import zmq

from ..transport import Dialer, ServerKey, load_pair
from ..transport.link import Deliver
from ..transport.whereabouts import find_mesh, owner_secret

Context = zmq.Context[zmq.Socket[bytes]]


def dial(context: Context, data: Path, deliver: Deliver, *, name: str, key: Path | None = None) -> Dialer:
    """Dial the mesh that is up on a data folder.

    Raises:
        NodeMissing: no mesh is up there.
        KeyFileError: the key cannot be read.
    """
    found = find_mesh(data)
    pair = load_pair(key if key is not None else owner_secret(data))
    server = ServerKey(public=found.public_key)
    return Dialer(context, found.endpoints[0], deliver, name=name, key=pair, server=server)
