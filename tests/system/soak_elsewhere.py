"""What the soak has of other hosts: somebody who dials in over TCP, and a node that has joined."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from waiting import eventually

from hcs_mesh import Client, Mesh
from hcs_mesh.layout import DataLayout
from hcs_mesh.transport import KeyRing, MeshCard, Principal, Role, load_or_create_pair

NODE = "soakb"
USER = "eva"
EXECUTOR = f"executor.cpu0@{NODE}"
ROLES: dict[str, Role] = {USER: "user", NODE: "node"}


class Elsewhere:
    """The card of a mesh that listens on TCP, and the keys of those who dial it: all that another host has."""

    def __init__(self, mesh: Mesh, folder: Path) -> None:
        """Allow the keys."""
        self._folder = folder
        self._node: asyncio.subprocess.Process | None = None
        layout = DataLayout(mesh.data)
        public = load_or_create_pair(layout.mesh_secret).public
        self._card = MeshCard(address=f"tcp://127.0.0.1:{mesh.settings.front.tcp_port}", public=public)
        ring = KeyRing(layout.allowed_keys)
        for name, role in ROLES.items():
            ring.allow(Principal(name=name, role=role), load_or_create_pair(self._key(name)).public)

    def client(self) -> Client:
        """Somebody who dials in."""
        return Client.to(self._card, key=self._key(USER))

    @contextlib.asynccontextmanager
    async def joined(self, mesh: Mesh) -> AsyncIterator[None]:
        """A node with an executor, in processes of its own, from its joining to its leaving."""
        card = self._folder / "mesh.toml"
        card.write_text(self._card.to_toml(), encoding="utf-8")
        words = ["up", "--data", self._folder / NODE, "--join", card, "--key", self._key(NODE)]
        device = {"HCS_MESH__DEVICES__CPU_SLOTS": "1", "HCS_MESH__DEVICES__GPU": '"off"'}
        with (self._folder / "node.log").open("wb") as log:
            self._node = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "hcs_mesh",
                *map(str, words),
                env={**os.environ, **device},
                stdout=log,
                stderr=log,
            )
        try:
            await eventually(lambda: EXECUTOR in {row.name for row in mesh.rows()}, 60.0, "the joining of the node")
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._node.terminate()
            await asyncio.wait_for(self._node.wait(), 60.0)

    def pids(self) -> set[int]:
        """The processes of the node."""
        if self._node is None or self._node.returncode is not None:
            return set()
        try:
            below = psutil.Process(self._node.pid).children(recursive=True)
        except psutil.Error:
            return set()
        return {self._node.pid, *(one.pid for one in below)}

    def _key(self, name: str) -> Path:
        return self._folder / f"{name}.secret"
