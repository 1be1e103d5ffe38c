"""hcs-mesh: microscopes, OMERO, GPUs and people tied together by small supervised services.

What an embedder needs is here; it is loaded when it is first used, so that a command that asks one
question does not pay for what answers all of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocking_client import BlockingClient
    from .client import Client
    from .commands import Commands
    from .config import MeshError, Settings, load_settings
    from .joined_node import JoinedNode
    from .mesh import Mesh
    from .supervisors import Actor, Deferred
    from .transport import Event, Ref, Request

_ROOMS = {
    "Actor": ".supervisors",
    "BlockingClient": ".blocking_client",
    "Client": ".client",
    "Commands": ".commands",
    "Deferred": ".supervisors",
    "Event": ".transport",
    "JoinedNode": ".joined_node",
    "Mesh": ".mesh",
    "MeshError": ".config",
    "Ref": ".transport",
    "Request": ".transport",
    "Settings": ".config",
    "load_settings": ".config",
}

__all__ = [
    "Actor",
    "BlockingClient",
    "Client",
    "Commands",
    "Deferred",
    "Event",
    "JoinedNode",
    "Mesh",
    "MeshError",
    "Ref",
    "Request",
    "Settings",
    "load_settings",
]


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(room, __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
