"""The whole server: its graph, its people, its sessions, and the services that clients reach."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import Ice

from omero_server import enumerations
from omero_server.adapter import MESSAGE_KB, Adapter
from omero_server.bioformats import BioFormats
from omero_server.call import Call
from omero_server.certificate import certificate
from omero_server.configuration import DEFAULTS
from omero_server.control import Control
from omero_server.dispatch import Servant, interface_name, skeleton
from omero_server.faults import Door
from omero_server.graph import Row
from omero_server.graph_requests import submit
from omero_server.import_process import ImportProcess
from omero_server.kept_rows import KeptRows
from omero_server.people import People, read_setup
from omero_server.router import Router
from omero_server.schema import schema
from omero_server.service_factory import ServiceFactory, Stateful
from omero_server.services import BEHIND, SERVICES
from omero_server.sessions import Session, Sessions
from omero_server.slices import operations
from omero_server.table_file import TableFile

REAP_EVERY_S = 1.0
IMPORT = ("ManagedRepository.import", "ManagedRepository.pixelData")
"""The import itself, which goes on behind the calls, passes the door under these names."""


class Server:
    """What one folder holds, answering on two ports of this computer."""

    def __init__(self, folder: Path, port: int = 0, control_port: int = 0) -> None:
        setup = read_setup(folder)
        self.folder = folder
        self.managed = folder / "ManagedRepository"
        for held in (self.managed, folder / "Pixels", folder / "Files"):
            held.mkdir(parents=True, exist_ok=True)
        self.config = DEFAULTS | setup.get("config", {})
        self.lists_imports: bool = setup.get("lists_imports", True)
        self.has_tables: bool = setup.get("has_tables", True)
        jar = setup.get("bioformats_jar")
        self.bioformats = BioFormats(None if jar is None else Path(jar))
        self.template: str = setup.get("managed_template", "%user%_%userId%/%year%-%month%/%day%/%time%")
        self.uuid = _uuid(folder)
        self.lock = threading.RLock()
        """Whoever reads or writes the graph holds it."""
        self.door = Door()
        self._kept = KeptRows(folder / "rows.sqlite", schema())
        self.graph = self._kept.load()
        enumerations.seed(self.graph)
        self.people = People(self.graph, setup)
        idle_s = float(setup.get("session_timeout_s", 600))
        self.sessions = Sessions(
            self.graph,
            idle_s=idle_s,
            lifetime_s=float(setup.get("session_lifetime_s", 0)),
            most_s=float(setup.get("max_session_timeout_s", 10 * idle_s)),
            now_s=time.monotonic,
            now_ms=self.now_ms,
            ended=self._ended,
        )
        self.clients: dict[str, ServiceFactory] = {}
        """What each client holds of its session, by the client's own uuid."""
        self.connections: dict[tuple[str, int], Any] = {}
        """Those that a session was created or joined by, by the client's end."""
        self.tables: dict[int, TableFile] = {}
        self.rendered: set[int] = set()
        """The pixels that have been given rendering settings since the server started."""
        """Those that were opened, by their file's id."""
        self.imports: list[tuple[ImportProcess, Any]] = []
        self.stateless = {getter: one for getter, one in SERVICES.items() if not issubclass(one, Stateful)}
        self.submit: Callable[[Call, Any], Any] = submit
        self.known_operations = frozenset(_known_operations())
        self.certificate = certificate(folder)
        self.adapter = Adapter(self.certificate, port, message_kb=int(setup.get("message_kb", MESSAGE_KB)))
        self.adapter.add_router(skeleton(Router(self, None)))  # type: ignore[arg-type]
        self.control = Control(self, control_port)
        self._closing = threading.Event()
        threading.Thread(target=self._reap, daemon=True).start()
        self.adapter.open()

    def close(self) -> None:
        self._closing.set()
        self.control.close()
        self.adapter.close()
        self.bioformats.close()
        with self.lock:
            self._kept.close()

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def enumeration(self, of: str, value: str) -> Row:
        """The row of an enumeration's value."""
        return enumerations.enumeration(self.graph, of, value)

    def drop_connections(self) -> None:
        """Close every connection that a client came in by."""
        dropped, self.connections = self.connections, {}
        for one in dropped.values():
            with contextlib.suppress(Ice.LocalException):
                one.close(True)

    def _ended(self, session: Session) -> None:
        for identity, servant in list(session.open.items()):
            self.adapter.remove(identity)
            servant.release()
        session.open.clear()
        self.clients = {client: one for client, one in self.clients.items() if one.session is not session}

    def _reap(self) -> None:
        while not self._closing.wait(REAP_EVERY_S):
            with self.lock:
                self.sessions.reap()


def _known_operations() -> list[str]:
    servants: list[type[Servant]] = [Router, ServiceFactory, *SERVICES.values(), *BEHIND]
    named = [f"{interface_name(one)}.{operation.name}" for one in servants for operation in operations(one.interface)]
    return [*named, *IMPORT]


def _uuid(folder: Path) -> str:
    path = folder / "uuid"
    if not path.exists():
        path.write_text(str(uuid.uuid4()))
    return path.read_text()
