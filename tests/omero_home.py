"""A mesh that keeps its plates in a stand-in OMERO.server, and people with keys to it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omero_lab import address_of, login

from hcs_mesh import BlockingClient
from hcs_mesh.plates.omero.connection import Connection
from omero_server.running import RunningServer

PATIENCE_S = 120.0


def settings_of(server: RunningServer, *, minter: Path | None = None, more: str = "") -> str:
    """What a mesh's settings say of a server; imports are certified although all of it is one disk."""
    return f"""
certify_same_disk = true

[omero]
host = "{server.host}"
port = {server.port}
ca_file = "{server.certificate}"
managed_repository = "{server.managed}"
connect_timeout_s = 20
{f'minter = "minter"{chr(10)}minter_secret_file = "{minter}"' if minter else ""}
{more}
"""


class Household:
    """Commands against such a mesh, each with somebody's key."""

    def __init__(self, mesh: Any, server: RunningServer, folder: Path) -> None:
        self.mesh = mesh
        self.server = server
        self.folder = folder
        self._opened: list[Connection] = []

    def key(self, name: str) -> Path:
        """The key of somebody, made when it is first asked for."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            assert self.mesh("keys", "new", name, "--role", "user", "--out", path).code == 0
        return path

    def command(self, name: str, *words: object) -> Any:
        """Run a command with somebody's key."""
        return self.mesh(*words, "--key", self.key(name))

    def session(self, name: str) -> str:
        """The key of a new session of somebody's at OMERO."""
        self._opened.append(Connection(address_of(self.server), login(name)))
        return self._opened[-1].key.uuid.reveal()

    def log_in(self, name: str) -> subprocess.CompletedProcess[str]:
        """Hand a session over by the command, which reads its key from standard input."""
        words = ["omero", "login", "--session", "--key", str(self.key(name)), "--json"]
        return subprocess.run(
            [sys.executable, "-P", "-m", "hcs_mesh", *words],
            env=self.mesh.environment,
            input=f"{self.session(name)}\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def hand_over(self, name: str, source: Path, *words: object) -> str:
        """Have something imported that is somebody's."""
        self.key(name)
        return str(self.mesh("import", source, "--for", name, *words).value["import"])

    def until(self, import_id: str, *states: str, reason: str = "") -> dict[str, Any]:
        """How an import stands once it is in one of these states, for this reason."""
        until_s = time.monotonic() + PATIENCE_S
        with BlockingClient.at(self.mesh.data) as client:
            for status in client.follow_import(import_id):
                if status.state in states and reason in status.reason:
                    break
                assert time.monotonic() < until_s, status
        found: dict[str, Any] = self.mesh("imports", import_id).value
        assert found["state"] in states, found
        return found

    def close(self) -> None:
        for connection in self._opened:
            connection.close()


@contextmanager
def household(
    mesh_up: Callable[..., Any], server: RunningServer, folder: Path, *, minter: Path | None = None, more: str = ""
) -> Iterator[Household]:
    """A mesh that is up, at a server that runs or will."""
    with mesh_up(more_settings=settings_of(server, minter=minter, more=more)) as mesh:
        home = Household(mesh, server, folder)
        try:
            yield home
        finally:
            home.close()
