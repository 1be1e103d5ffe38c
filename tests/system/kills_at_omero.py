"""A stand-in OMERO.server that dies with the mesh, and what it holds when all is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from mesh_that_dies import Server
from omero_imports import ask
from omero_lab import SETUP, address_of, login
from omero_plates import logged_in

from hcs_mesh.config import OmeroSettings
from hcs_mesh.layout import DataLayout
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.origin import ORIGIN_OF_JOBS, origin_of
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.results import OmeroResults
from hcs_mesh.transport import KeyRing, Principal, new_pair, save_pair
from omero_server.running import RunningServer, running_server

FILES = "select file.path, file.name from FilesetEntry one join one.originalFile file where one.fileset.id = :what"
RECORDS = "select a.name from MapAnnotation a where a.ns like :what and a.description is not null"


class OmeroForKills:
    """The server of one session, and the person whom everything there belongs to."""

    person = "ada"

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.file = folder / "server.json"
        self.key = folder / "ada.secret"
        minter = folder / "minter-secret"
        minter.touch(mode=0o600)
        minter.write_text("pw-minter\n")
        self._settings = OmeroSettings(
            host=server.host,
            port=server.port,
            ca_file=str(server.certificate),
            managed_repository=str(server.managed),
            minter="minter",
            minter_secret_file=str(minter),
        )
        self._write()

    def let_in(self, data: Path) -> None:
        """Give the person a key to the mesh on a data folder."""
        pair = new_pair()
        save_pair(self.key, pair)
        KeyRing(DataLayout(data).allowed_keys).allow(Principal(name=self.person, role="user"), pair.public)

    def start_again(self) -> None:
        """Serve again after a death; those who kill are told whom."""
        self.server.wait_until_dead()
        self.server.start()
        self._write()

    def _write(self) -> None:
        new = self.file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(Server(self.server.pid, self._settings)))
        new.replace(self.file)

    # -- what the test reads ----------------------------------------------------------------------

    def ask(self, hql: str, what: str | int = "") -> list[Any]:
        """The rows of a query, as the person sees them."""
        with logged_in(self.server, self.person) as client:
            return ask(client, hql, what)

    def filesets(self) -> list[dict[str, Path]]:
        """Of every fileset the stored files by their names."""
        return [
            {name: self.server.managed / folder.lstrip("/") / name for folder, name in self.ask(FILES, fileset)}
            for (fileset,) in self.ask("select one.id from Fileset one")
        ]

    def records(self) -> list[str]:
        """The keys of all finished wells."""
        return [name for (name,) in self.ask(RECORDS, "hcs-mesh/result")]

    @contextmanager
    def results(self, data: Path, folder: Path) -> Iterator[OmeroResults]:
        """Results of a mesh's jobs, with nothing of them on this host yet."""
        pool = ConnectionPool(lambda: Connection(address_of(self.server), login(self.person)))
        try:
            yield OmeroResults(pool, folder, origin=origin_of(data, ORIGIN_OF_JOBS))
        finally:
            pool.close()


@contextmanager
def omero_for_kills(folder: Path) -> Iterator[OmeroForKills]:
    """A server on a folder, alive again soon whenever it is killed."""
    with running_server(folder / "omero", setup=SETUP) as server:
        yield OmeroForKills(server, folder)
