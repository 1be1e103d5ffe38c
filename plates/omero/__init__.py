"""Plates in an OMERO.server: connections, whose name they act in, structure, pixels, and what is written there.

A name is loaded when it is first used, and omero-py when a connection is first opened.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .address import OmeroAddress, Password, Person, SessionKey, address_of
    from .annotations import OmeroAnnotations
    from .identities import Identities
    from .import_into import OmeroImport
    from .imports import OmeroImports
    from .instance import OmeroInstance
    from .opening import open_identities
    from .pixels import OmeroPixels
    from .plane_counts import PixelStatistics
    from .plates import OmeroPlates
    from .pool import ConnectionPool
    from .result_keys import Provenance
    from .results import OmeroResults
    from .secret import Secret
    from .structure import OmeroPlate, Place
    from .whose_session import AwaitLogin

_ROOMS = {
    "AwaitLogin": ".whose_session",
    "ConnectionPool": ".pool",
    "Identities": ".identities",
    "OmeroAddress": ".address",
    "OmeroInstance": ".instance",
    "OmeroAnnotations": ".annotations",
    "OmeroImport": ".import_into",
    "OmeroImports": ".imports",
    "OmeroPixels": ".pixels",
    "OmeroPlate": ".structure",
    "OmeroPlates": ".plates",
    "OmeroResults": ".results",
    "Password": ".address",
    "Person": ".address",
    "PixelStatistics": ".plane_counts",
    "Place": ".structure",
    "Provenance": ".result_keys",
    "Secret": ".secret",
    "SessionKey": ".address",
    "address_of": ".address",
    "open_identities": ".opening",
}

__all__ = [
    "AwaitLogin",
    "ConnectionPool",
    "Identities",
    "OmeroAddress",
    "OmeroAnnotations",
    "OmeroImport",
    "OmeroImports",
    "OmeroInstance",
    "OmeroPixels",
    "OmeroPlate",
    "OmeroPlates",
    "OmeroResults",
    "Password",
    "Person",
    "PixelStatistics",
    "Place",
    "Provenance",
    "Secret",
    "SessionKey",
    "address_of",
    "open_identities",
]


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(room, __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
