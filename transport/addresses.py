"""Where an endpoint listens: a control and a data address that belong together."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from ..config.errors import MeshError

DATA_PORT_OFFSET = 1000
UNIX_PATH_LIMIT = 100
"""A Unix socket's path may hold 107 bytes on Linux and 103 on macOS; room for the file name is kept."""


class AddressError(MeshError, ValueError):
    """An address that cannot be listened on."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Two addresses of one party: ``control`` for asks and heartbeats, ``data`` for pixels and progress."""

    control: str
    data: str


def tcp_endpoint(host: str, port: int) -> Endpoint:
    """The endpoint at a base port: control there, data DATA_PORT_OFFSET above.

    Raises:
        AddressError: there is no room for the data port.
    """
    if not 0 < port <= 65535 - DATA_PORT_OFFSET:
        raise AddressError(
            f"port {port} leaves no room for the data channel at {port} + {DATA_PORT_OFFSET}",
            hint=f"choose a base port from 1 to {65535 - DATA_PORT_OFFSET}",
        )
    shown = f"[{host}]" if ":" in host else host
    return Endpoint(control=f"tcp://{shown}:{port}", data=f"tcp://{shown}:{port + DATA_PORT_OFFSET}")


def ipc_endpoint(folder: Path, name: str) -> Endpoint:
    """The endpoint of two Unix sockets in a folder."""
    return Endpoint(control=f"ipc://{folder / name}.control", data=f"ipc://{folder / name}.data")


def socket_folder(data: Path) -> Path:
    """A 0700 folder for the sockets of the mesh of one data folder; short enough for a Unix socket's path.

    Raises:
        AddressError: it belongs to somebody else.
    """
    folder = data / "run"
    if len(os.fsencode(folder)) > UNIX_PATH_LIMIT - 20:
        digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        owner = os.getuid() if hasattr(os, "getuid") else 0
        folder = base / f"hcs-mesh-{owner}-{digest}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise AddressError(f"{folder} belongs to another user", hint="choose another data folder, or remove it")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder
