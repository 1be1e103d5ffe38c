"""What a mesh keeps its plates in: the local repository, or the OMERO.server that the settings name."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .actors.imports.ending import Prover
from .actors.imports.prover import LocalProver, OmeroProver
from .config import Settings
from .layout import DataLayout
from .plates.local import LocalRepository
from .plates.local.errors import repository_errors
from .plates.plate_source import PlateSource
from .plates.repository import ImportStore, ResultStore
from .whose_numbers import LOCAL, Numbers, claim

if TYPE_CHECKING:
    from .plates.omero.identities import Identities

PRIVATE, OPEN_TO_OTHERS = 0o700, 0o077

AtTheEnd = Callable[[Callable[[], None]], object]


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where imports go, and so the plates that are numbered from 1."""

    source: PlateSource
    imports: ImportStore
    results: ResultStore
    prover: Prover
    local: LocalRepository
    """Numbers plates that are read elsewhere and keeps their results; there in either case."""
    identities: Identities | None = None
    """In whose name the mesh acts at OMERO; None without one."""
    server: str = ""
    """The address of that."""

    leave_off: Callable[[], None] = lambda: None
    """Has threads end that wait for a server to finish something; called before the actors are stopped."""

    @property
    def where(self) -> str:
        """The backend as people are told of it."""
        return f"{self.source.kind} at {self.server}" if self.server else self.source.kind

    @property
    def stores(self) -> tuple[ResultStore, ...]:
        """Everything that results may go to, what lies here first."""
        return (self.local,) if self.results is self.local else (self.local, self.results)


def open_home(settings: Settings, layout: DataLayout, at_the_end: AtTheEnd) -> Home:
    """Open what the settings name; what is to be closed is handed to ``at_the_end``. It blocks, and asks no server.

    Raises:
        ConfigError: the data folder belongs to another home.
        OmeroMissing: a server is named, and its client is not installed.
        MeshError: the disk refuses.
    """
    local = LocalRepository(
        layout.data, transfer_threads=settings.imports.transfer_threads, checksum=settings.imports.checksum
    )
    at_the_end(local.close)
    if not settings.omero.host:
        claim(layout, LOCAL, local)
        prover = LocalProver(local, layout.data, layout.keys, settings.imports)
        return Home(source=local, imports=local, results=local, prover=prover, local=local)
    claim(layout, Numbers(kind="omero", server=f"{settings.omero.host}:{settings.omero.port}"), local)
    return _at_omero(settings, layout, local, at_the_end)


def _close_to_others(layout: DataLayout) -> None:
    """Keep from other accounts of this host what is derived from plates that people see each for themselves."""
    for folder in (layout.omero_results, layout.logs, layout.certificates):
        with repository_errors(folder):
            folder.mkdir(mode=PRIVATE, exist_ok=True)
            # One that an earlier version made, or the usual mask, may be open to everybody.
            if folder.stat().st_mode & OPEN_TO_OTHERS:
                folder.chmod(PRIVATE)


def _at_omero(settings: Settings, layout: DataLayout, local: LocalRepository, at_the_end: AtTheEnd) -> Home:
    # Imported where it is wanted; the client's library loads with the first connection.
    from .plates.omero.address import address_of
    from .plates.omero.import_store import OmeroImportStore
    from .plates.omero.imports import OmeroImports
    from .plates.omero.library import must_be_installed
    from .plates.omero.opening import open_identities
    from .plates.omero.origin import ORIGIN, ORIGIN_OF_JOBS, origin_of
    from .plates.omero.result_store import OmeroResultStore
    from .plates.omero.source import OmeroSource

    must_be_installed()
    _close_to_others(layout)
    omero = settings.omero
    managed = Path(omero.managed_repository) if omero.managed_repository else None
    opened = ExitStack()
    identities = opened.enter_context(open_identities(omero))
    at_the_end(opened.close)
    source = OmeroSource(identities)
    imports = OmeroImportStore(
        OmeroImports(
            identities,
            origin=origin_of(layout.data, ORIGIN, journal=layout.journal("imports")),
            managed=managed,
            checksum=settings.imports.checksum,
            n_threads=settings.imports.transfer_threads,
        ),
        source,
    )
    at_the_end(imports.close)
    address = address_of(omero)
    results = OmeroResultStore(
        identities,
        layout.omero_results,
        origin=origin_of(layout.data, ORIGIN_OF_JOBS, journal=layout.journal("jobs")),
        versions=(("hcs-mesh", importlib.metadata.version("hcs-mesh")),),
    )
    prover = OmeroProver(
        imports.for_import, layout.data, layout.keys, settings.imports, address=address, managed=managed
    )
    return Home(
        source=source,
        imports=imports,
        results=results,
        prover=prover,
        local=local,
        identities=identities,
        server=str(address),
        leave_off=imports.leave_off,
    )
