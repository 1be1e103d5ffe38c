"""Imports into an OMERO.server through the calls that the import proxy makes, in its order."""

import asyncio
import atexit
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from omero_lab import Server, account, address_of, login
from omero_plates import logged_in
from waiting import eventually

from hcs_mesh.plates.import_outline import ImportOutline, OutlinedFileset
from hcs_mesh.plates.labels import Target
from hcs_mesh.plates.local import FolderReader
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.connection import Connection, close_quietly
from hcs_mesh.plates.omero.errors import BROKEN, OmeroUploadLost
from hcs_mesh.plates.omero.identities import Identities
from hcs_mesh.plates.omero.import_into import OmeroImport
from hcs_mesh.plates.omero.imports import OmeroImports
from hcs_mesh.plates.omero.minter import Minter
from hcs_mesh.plates.planners import Plan
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.repository import NO_TARGET, ImportStanding, SourceFile, StoredFile, StoredFileset
from omero_server.running import RunningServer

METAXPRESS = "metaxpress-htd-9987/9987_Plate_3420"
"""A real plate of three files, below the measured data; its .HTD counts no z step, over which Bio-Formats fails."""
OME_TIFF = "ome-tiff-companion/multifile.companion.ome"
"""Real images on no plate, in six files."""


@cache
def importable(source: Path) -> Path:
    """A copy of a real plate whose .HTD counts one z step where it counted none, as OMERO's own reader takes it."""
    above = tempfile.mkdtemp(prefix="hcs-mesh-plates-")
    atexit.register(shutil.rmtree, above, ignore_errors=True)
    copy = shutil.copytree(source, Path(above, source.name))
    for htd in copy.rglob("*.HTD"):
        seen = htd.stat()
        htd.write_bytes(htd.read_bytes().replace(b'"ZSteps", 0', b'"ZSteps", 1'))
        os.utime(htd, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    return copy


def source_files(found: Plan) -> tuple[SourceFile, ...]:
    """Every file of a plan as it looks now."""
    files = []
    for path in dict.fromkeys(file.path for fileset in found.filesets for file in fileset.files):
        seen = (Path(found.root) / path).stat()
        files.append(SourceFile(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino))
    return tuple(files)


class ServerAt(NamedTuple):
    """A server that another process has started."""

    host: str
    port: int
    certificate: Path


class Import:
    """One import: what the proxy knows of it, and its calls."""

    def __init__(
        self, imports: OmeroImports, import_id: str, found: Plan, *, owner: str = "ada", group: str = ""
    ) -> None:
        self.import_id = import_id
        self.plan = found
        self._imports = imports
        self.root = Path(self.plan.root)
        self.files = source_files(self.plan)
        filesets = tuple(
            OutlinedFileset(
                planner=one.planner if one.plates else "",
                files=tuple(file.path for file in one.files),
                plates=one.plates,
                misleads=one.misleads,
            )
            for one in self.plan.filesets
        )
        self.outline = ImportOutline(
            import_id=import_id, owner=owner, group=group, root=self.plan.root, filesets=filesets
        )
        self.at = OmeroImport(imports, self.outline)
        self.stored: dict[str, StoredFile] = {}

    def again(self) -> "Import":
        """The same import, as it is taken up in another life: with what the journal has of it."""
        one = Import(self._imports, self.import_id, self.plan, owner=self.outline.owner, group=self.outline.group)
        one.stored = dict(self.stored)
        return one

    def reconcile(self) -> ImportStanding:
        return self.at.reconcile(self.import_id)

    def transfer(self, **options: Any) -> tuple[StoredFile, ...]:
        def keep(files: tuple[StoredFile, ...]) -> None:
            self.stored |= {file.path: file for file in files}

        return self.at.transfer(
            self.import_id,
            options.pop("source", FolderReader(self.root)),
            self.files,
            known=tuple(self.stored.values()),
            on_files=keep,
            **options,
        )

    def adopt(self) -> tuple[StoredFile, ...]:
        def keep(files: tuple[StoredFile, ...]) -> None:
            self.stored |= {file.path: file for file in files}

        return self.at.adopt(self.import_id, self.root, self.files, known=tuple(self.stored.values()), on_files=keep)

    def verify(self) -> None:
        self.at.verify(self.import_id, tuple(self.stored[file.path] for file in self.files))

    def filesets(self) -> tuple[StoredFileset, ...]:
        return tuple(
            StoredFileset(
                planner=one.planner, files=tuple(self.stored[file.path] for file in one.files), plates=one.plates
            )
            for one in self.plan.filesets
        )

    def register(self, target: Target = NO_TARGET, name: str = "") -> tuple[int, ...]:
        return self.at.register(
            self.import_id,
            self.filesets(),
            name=name,
            source=str(self.root),
            owner=self.outline.owner,
            target=target,
        )

    def discard(self) -> None:
        self.at.discard(self.import_id)

    def driven(self, journal: Path | None = None, n_tries: int = 300) -> tuple[int, ...]:
        """Go on as the proxy does: a phase again while what failed may pass, and back to the upload if it is lost."""
        phase = "transfer"
        if journal is not None and journal.exists():
            phase, stored = msgspec.json.decode(journal.read_bytes(), type=tuple[str, tuple[StoredFile, ...]])
            self.stored = {file.path: file for file in stored}
        for _ in range(n_tries):
            if journal is not None:
                journal.write_bytes(msgspec.json.encode((phase, tuple(self.stored.values()))))
            try:
                match phase:
                    case "transfer":
                        self.transfer()
                        phase = "verify"
                    case "verify":
                        self.verify()
                        phase = "register"
                    case _:
                        return self.register()
            except OmeroUploadLost:
                phase = "transfer"
            except BROKEN as error:
                print(f"{phase}: {error}", file=sys.stderr)
                time.sleep(0.2)
        raise AssertionError(f"no end after {n_tries} tries")

    def whole(self, **options: Any) -> tuple[int, ...]:
        self.transfer()
        self.verify()
        return self.register(**options)

    def bytes_here(self) -> dict[str, bytes]:
        return {file.path: (self.root / file.path).read_bytes() for file in self.files}

    def bytes_at(self, server: RunningServer) -> dict[str, bytes]:
        """What lies in the server's folder of the import, by the path in the source."""
        with logged_in(server, self.outline.owner) as client:
            rows = ask(client, FILES, str(self.root).strip("/") + "/%")
        assert len(rows) == len(self.files), "not one fileset, or not all of its files"
        cut = len(str(self.root).strip("/")) + 1
        return {said[cut:]: (server.managed / path / name).read_bytes() for said, path, name in rows}


FILES = """select fse.clientPath, orig.path, orig.name from FilesetEntry fse join fse.originalFile orig
 where fse.clientPath like :what"""


def ask(client: Any, hql: str, what: str | int = "") -> list[Any]:
    """The rows of a query, asked without any code of ours."""
    from omero.rtypes import unwrap
    from omero.sys import ParametersI

    parameters = ParametersI()
    if isinstance(what, int):
        parameters.addLong("what", what)
    elif what:
        parameters.addString("what", what)
    rows: list[Any] = unwrap(client.getSession().getQueryService().projection(hql, parameters, {"omero.group": "-1"}))
    return rows


def forge_mark(client: Any, fileset_id: int, key: str) -> None:
    """Say of a fileset, in a client's own name, that it is an import's."""
    from omero import model
    from omero.rtypes import rstring

    mark = model.MapAnnotationI()
    mark.setNs(rstring("hcs-mesh/import"))
    mark.setMapValue([model.NamedValue("mark", key), model.NamedValue("fileset", "0")])
    link = model.FilesetAnnotationLinkI()
    link.setParent(model.FilesetI(fileset_id, False))
    link.setChild(mark)
    client.getSession().getUpdateService().saveObject(link)


def edit_mark(client: Any, key: str, pairs: Sequence[tuple[str, str]]) -> int:
    """Have an import's mark say something else, as its owner may; the fileset that bears it."""
    from omero import model

    [[number, fileset_id]] = ask(
        client,
        "select a.id, l.parent.id from FilesetAnnotationLink l join l.child a where a.id in "
        "(select m.id from MapAnnotation m join m.mapValue kv where kv.value = :what)",
        key,
    )
    session = client.getSession()
    mark = session.getQueryService().get("MapAnnotation", number)
    mark.setMapValue([model.NamedValue(*pair) for pair in pairs])
    session.getUpdateService().saveObject(mark)
    return int(fileset_id)


def counted(server: RunningServer, operation: str) -> int:
    """How many bytes went through an operation since the counts were last forgotten."""
    return int(server.control.tell("counts")["bytes"].get(operation, 0))


def wait_held(server: RunningServer, operation: str, *, n_calls: int = 1) -> None:
    """Return once so many calls wait at an operation that was told to hold them."""

    def somebody_waits() -> bool:
        return int(server.control.tell("held")["held"][operation]) >= n_calls

    asyncio.run(eventually(somebody_waits, 60.0, f"a call of {operation}"))


def wait_called(server: RunningServer, operation: str) -> None:
    """Return once an operation was called since the counts were last forgotten."""
    asyncio.run(eventually(lambda: server.control.counts().get(operation, 0), 60.0, f"a call of {operation}"))


def n_of(server: RunningServer, kind: str, user: str = "ada") -> int:
    """How many objects of a kind a user has."""
    with logged_in(server, user) as client:
        return int(ask(client, f"select count(one.id) from {kind} one")[0][0])


class Importing:
    """What imports into one server, as long as one process lives."""

    def __init__(self, identities: Identities, imports: OmeroImports) -> None:
        self.identities = identities
        self.imports = imports

    def of(
        self,
        import_id: str,
        source: Path,
        *,
        owner: str = "ada",
        group: str = "",
        name: str = "",
        pattern: str | None = None,
    ) -> Import:
        found = plan(source, name=name or None, pattern=pattern)
        return Import(self.imports, import_id, found, owner=owner, group=group)

    def empty(self, import_id: str) -> Import:
        """An import of which nothing is settled."""
        return Import(self.imports, import_id, Plan())


@contextmanager
def importing(
    server: Server,
    *,
    users: tuple[str, ...] = ("ada",),
    minter: Path | None = None,
    origin: str = "this-mesh",
    n_connections: int = 4,
    **options: Any,
) -> Iterator[Importing]:
    """Everything that a mesh holds to import: people who have logged in, or a minter's secret, and their imports."""
    address = address_of(server)
    identities = Identities(
        address,
        minter=Minter(address, "minter", minter) if minter is not None else None,
        n_connections=n_connections,
        clock=options.get("clock", time.monotonic),
    )
    own = [Connection(address, login(user, server)) for user in users]
    for user, connection in zip(users, own, strict=True):
        identities.logged_in(Person(user=account(server, user)[0]), connection.key)
    imports = OmeroImports(identities, origin=origin, **options)
    try:
        yield Importing(identities, imports)
    finally:
        imports.close()
        identities.close()
        for connection in own:
            close_quietly(connection)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The minter's, readable by its owner alone."""
    path = tmp_path / "minter-secret"
    path.write_text("pw-minter\n")
    path.chmod(0o600)
    return path


if __name__ == "__main__":
    # A process to be killed: it imports what it is told, and knows of an earlier life by its journal alone.
    host, port, certificate, minter_secret, import_id, source, journal, patience_s = sys.argv[1:]
    at = ServerAt(host, int(port), Path(certificate))
    with importing(at, users=(), minter=Path(minter_secret), patience_s=float(patience_s)) as desk:  # type: ignore[arg-type]
        print(desk.of(import_id, Path(source)).driven(Path(journal)), flush=True)
