"""The arguments of a viewer's process that say which mesh it shows."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..transport import MeshCard, find_card


def add_mesh_arguments(parser: argparse.ArgumentParser) -> None:
    """Take --data, or --mesh with --mesh-key, and --key."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="the mesh's data folder")
    where.add_argument("--mesh", help="a mesh elsewhere: its card, or tcp://HOST:PORT with --mesh-key")
    parser.add_argument("--mesh-key", default="", help="the public key of the mesh at --mesh, or a file that holds it")
    parser.add_argument("--key", type=Path, help="a viewer's key; by default the owner's")


def given_mesh(given: argparse.Namespace) -> Path | MeshCard:
    """The data folder or the card that was given.

    Raises:
        NoCard, AddressError, KeyFileError: it cannot be told where the mesh is or whose key must answer.
    """
    if given.data is not None:
        return Path(given.data)
    return find_card(given.mesh, given.mesh_key)
