"""Where a mesh under test keeps its plates: in its local repository, or in a stand-in OMERO.server as somebody's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from omero_home import household
from omero_imports import ask
from omero_lab import SETUP
from omero_plates import logged_in

from hcs_mesh.plates.local.certificate_shelf import load
from omero_server.running import RunningServer, running_server

FILES = "select one.clientPath, file.path, file.name from FilesetEntry one join one.originalFile file \
where one.fileset.id = :what"
IMAGES = "select image.name, pixels.sizeC, pixels.sizeZ, pixels.sizeT from Pixels pixels join pixels.image image \
where not exists (select sample.id from WellSample sample where sample.image.id = image.id)"


class PlateHome(Protocol):
    """One mesh, and what its repository holds, whatever kind of repository that is."""

    kind: str
    mesh: Any
    """Commands, each with the key of whoever owns the plates."""
    results: Path
    """The folder below which programs find the files of results."""

    def stored(self, told: dict[str, Any], source: Path) -> dict[str, Path]:
        """Where the repository keeps the files of an import, by their paths in its source."""


class LocalHome:
    """Plates in the data folder, as the mesh's owner's."""

    kind = "local"

    def __init__(self, mesh: Any) -> None:
        self.mesh = mesh
        self.results = mesh.data / "repository"

    def stored(self, told: dict[str, Any], source: Path) -> dict[str, Path]:
        folder = self.mesh.data / "repository" / "imports" / told["import"] / "files"
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


class OmeroHome:
    """Plates in OMERO, as ada's."""

    kind = "omero"

    def __init__(self, mesh: Any, server: RunningServer) -> None:
        self.mesh = mesh
        self.server = server
        self.results = mesh.data

    def stored(self, told: dict[str, Any], source: Path) -> dict[str, Path]:
        """What OMERO says of the filesets that the import's certificate names, without what the mesh has added."""
        certified = load(Path(told["certificate"])).certificate.repository
        found = {}
        with logged_in(self.server, "ada") as client:
            for fileset in re.findall(r"Fileset:(\d+)", certified):
                for announced, folder, name in ask(client, FILES, int(fileset)):
                    path = Path("/", announced).relative_to(source).as_posix()
                    found[path] = self.server.managed / folder.lstrip("/") / name
        return {path: kept for path, kept in found.items() if (source / path).exists() or not _tells(path)}

    def images(self) -> dict[str, tuple[int, int, int]]:
        """Images that lie on no plate: by their names how many channels, z planes and time points they have."""
        with logged_in(self.server, "ada") as client:
            return {name: tuple(sizes) for name, *sizes in ask(client, IMAGES)}


@contextmanager
def omero_home(mesh_up: Callable[..., Any], folder: Path, bioformats_jar: Path) -> Iterator[OmeroHome]:
    """A mesh at a server whose reader is Bio-Formats where the stand-in has none of its own; a minter acts for all."""
    minter = folder / "minter-secret"
    minter.touch(mode=0o600)
    minter.write_text("pw-minter\n")
    with (
        running_server(folder / "omero", setup=SETUP | {"bioformats_jar": str(bioformats_jar)}) as server,
        household(mesh_up, server, folder, minter=minter) as home,
    ):
        yield OmeroHome(home.mesh.asked_by("ada", home.key("ada")), server)


def _tells(path: str) -> bool:
    """Whether a file may be the one by which a mesh tells OMERO what plates there are."""
    return path.endswith(".companion.ome")
