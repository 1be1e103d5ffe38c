"""Where a mesh keeps what: the folders below its data folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .transport import socket_folder


class DataLayout(msgspec.Struct, frozen=True):
    """The folders of one data folder."""

    data: Path

    @property
    def keys(self) -> Path:
        """The mesh's key and those that are allowed in."""
        return self.data / "keys"

    @property
    def allowed_keys(self) -> Path:
        """One file for each key that may come in."""
        return self.keys / "allowed"

    @property
    def mesh_secret(self) -> Path:
        """The mesh's own key."""
        return self.keys / "mesh.secret"

    @property
    def structure(self) -> Path:
        """What plates elsewhere held when they were last asked."""
        return self.data / "structure"

    @property
    def omero_results(self) -> Path:
        """Where wells gather that are written to OMERO, and those that were used last are kept."""
        return self.data / "omero-results"

    @property
    def certificates(self) -> Path:
        """One safe-to-delete certificate for each import that has one."""
        return self.data / "certificates"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.data / "logs"

    def journal(self, name: str) -> Path:
        """The journal of one actor."""
        return self.data / "journal" / name

    @property
    def sockets(self) -> Path:
        """The Unix sockets, in a folder that only the owner can enter."""
        return socket_folder(self.data)
