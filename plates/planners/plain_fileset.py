"""Files that are stored byte for byte and that no planner here reads (pure)."""

from __future__ import annotations

from ..errors import NothingToImport
from .folder import Folder, split, stem
from .plan import Fileset, Plan, planned_files

STORED_ONLY = "stored byte for byte; no reader here knows it"
"""What is told of a fileset without plates."""

# One file holds everything, or names what lies beside it. Not here: TIFF under other names, and HDF5, which holds
# anything.
_CONTAINERS = frozenset(
    "c01 czi dcimg dv ics ims lif lof mrxs nd2 oib oif oir poir r3d sld sldy vsi xlef zvi".split()  # noqa: SIM905
)


def plan_as_files(folder: Folder) -> Plan:
    """Every file of the folder as one fileset without plates.

    Raises:
        NothingToImport: there is no file.
    """
    if not folder.files:
        raise NothingToImport(f"{folder.name} is empty: there is nothing to import", hint="Has the copy begun?")
    return Plan(filesets=(plain_fileset(folder, "", tuple(folder.files)),))


def plan_containers(folder: Folder) -> Plan:
    """A fileset without plates for each known microscope container, with what belongs to it."""
    filesets: list[Fileset] = []
    claimed: set[str] = set()
    for path in containers(folder):
        files = [file for file in with_companions(folder, path) if file not in claimed]
        claimed.update(files)
        filesets.append(plain_fileset(folder, split(path)[0], files))
    return Plan(filesets=tuple(filesets))


def plain_fileset(folder: Folder, root: str, files: tuple[str, ...] | list[str]) -> Fileset:
    """These files as one fileset that says that nothing here reads it."""
    return Fileset(planner="files", root=root, files=planned_files(folder, files), plates=(), notes=(STORED_ONLY,))


def containers(folder: Folder) -> tuple[str, ...]:
    """Every file of the folder that is a microscope's container by its name, and belongs to no other one."""
    found = [path for path in folder.files if is_container(path)]
    inside = {file for path in found for file in with_companions(folder, path) if file != path}
    return tuple(path for path in found if path not in inside)


def is_container(path: str) -> bool:
    """Whether the name is that of a microscope's container: czi, lif, nd2 and the like."""
    name, _, suffix = split(path)[1].rpartition(".")
    return bool(name) and suffix.lower() in _CONTAINERS


def companions(path: str) -> tuple[str, ...]:
    """Files and folders that belong to a container by their names, whether they are there or not."""
    above, name = split(path)
    prefix = f"{above}/" if above else ""
    match name.rpartition(".")[2].lower():
        case "vsi":
            return (f"{prefix}_{stem(name)}_",)
        case "oif":
            return (f"{path}.files",)
        case "mrxs":
            return (prefix + stem(name),)
        case "sldy":
            return (f"{prefix}{stem(name)}.dir",)
        case "ics":
            return (f"{prefix}{stem(name)}.ids",)
        case _:
            return ()


def with_companions(folder: Folder, path: str) -> list[str]:
    """A container and every file of the folder that belongs to it."""
    beside = companions(path)
    found = [path]
    if beside:
        below = tuple(f"{name}/" for name in beside)
        found += [file for file in folder.files if file in beside or file.startswith(below)]
    return found
