"""Planning: what lies at a path, as filesets and plates, before a byte of it is copied."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import msgspec

from .bioformats import container_planner
from .errors import NothingToImport, PatternError, PlanError, SourceNotFound, UnreadableImage, unreadable
from .exclusion import how_to_leave_out
from .extra_metadata import with_metadata
from .folder import EXCLUDED, LINK_OUT, LINK_TO_FOLDER, TOO_DEEP, UNDER_WAY, DiskFolder
from .model import Plate
from .planners.cellvoyager import plan_cellvoyager
from .planners.folder import is_ome_xml, is_tiff
from .planners.imagexpress import plan_imagexpress
from .planners.metaxpress import plan_metaxpress
from .planners.ome_tiff import plan_ome_tiff, refuse_ome_xml, set_of
from .planners.ome_zarr import plan_ome_zarr
from .planners.operetta import plan_operetta
from .planners.pattern import pattern_planner
from .planners.plain_fileset import companions, is_container, plan_as_files
from .planners.plain_tiff import plan_plain_tiff
from .planners.plan import Plan
from .planners.recognition import Planner, recognise
from .reach import EVERYTHING, Reach
from .source_names import IN_TRANSIT
from .tiff_failures import COPY_AGAIN

ENTRY_POINTS = "hcs_mesh.planners"

# Layouts with a metadata file of their own come before those that names or headers alone give away.
BUILT_IN: tuple[Planner, ...] = (
    plan_ome_zarr,
    plan_operetta,
    plan_cellvoyager,
    plan_metaxpress,
    plan_imagexpress,
    plan_ome_tiff,
)


def planners() -> tuple[Planner, ...]:
    """The planners in the order in which they are asked: a facility's own first, then the built-in ones.

    Raises:
        PlanError: an installed planner cannot be loaded.
    """
    return (*_installed(), *BUILT_IN)


class _Wish(NamedTuple):
    """How the user wants a source to be understood, and what of it may be opened for him."""

    pattern: str | None
    as_files: bool
    reach: Reach

    def recognise(self, folder: DiskFolder) -> Plan:
        """Plan a folder so."""
        if self.as_files:
            return plan_as_files(folder)
        if self.pattern is not None:
            return recognise(folder, (pattern_planner(self.pattern),))
        return recognise(folder, planners(), otherwise=container_planner(folder.root, self.reach))


def plan(
    path: Path,
    *,
    pattern: str | None = None,
    name: str | None = None,
    depth: int = 0,
    exclude: Sequence[str] = (),
    as_files: bool = False,
    only: Collection[str] = (),
    reach: Reach = EVERYTHING,
) -> Plan:
    """Which filesets and plates lie at a path; ``name`` is what a single plate will be called.

    With a pattern no other layout is looked for, and ``as_files`` none at all: every file is stored, and no plate is
    made of them. Where nothing else was found, microscopes' own files (czi, lif, nd2...) are filesets too. ``depth``
    says how many levels of folders are looked into, 1 for the path alone and 0 for all; ``exclude`` are glob patterns
    on relative paths, see :class:`Exclusion`; ``only`` names the files right in a folder that are looked at. What
    is beyond ``reach`` is not opened. The source is only read.

    Raises:
        SourceNotFound: there is nothing at the path.
        SourceUnreadable: something there cannot be read.
        BadSourceName: a file or folder there has a name that is not text.
        PatternError: the pattern is not well formed or matches nothing, or excludes what cannot be.
        NothingToImport: there is no image of a known layout.
        DuplicatePlane: two files are the same plane.
        NothingYet: there is none so far, and metadata says that there will be.
        MetadataError: a vendor's metadata file is damaged.
        NotYetComplete: one is not closed, as while it is written or copied.
        UnreadableImage: the path is a single file and no image can be read from it.
    """
    root, found = _recognised(path, _Wish(pattern, as_files, reach), depth, exclude, only)
    return msgspec.structs.replace(found, root=str(root), filesets=_renamed(found, name).filesets)


def _recognised(
    path: Path, wish: _Wish, depth: int, exclude: Sequence[str], only: Collection[str]
) -> tuple[Path, Plan]:
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        folder = DiskFolder(path, only=set(only) or None, depth=depth, exclude=exclude, reach=wish.reach)
        try:
            found = with_metadata(folder, wish.recognise(folder))
        except (NothingToImport, PatternError) as error:
            _blame_left_out(folder, error)
            raise
        except PlanError as error:
            _say_how_to_leave_out(folder, error)
            raise
        return folder.root, msgspec.structs.replace(found, left_out=(*found.left_out, *folder.left_out))
    if not stat.S_ISREG(mode):
        raise NothingToImport(
            f"{path} is neither a folder nor a regular file",
            hint="Give a TIFF file, a .companion.ome, or the folder of a plate.",
        )
    # A link that the user names is meant; its set lies beside the file it leads to.
    path = path.resolve()
    return path.parent, _one_file(path, wish, exclude)


def _blame_left_out(folder: DiskFolder, error: PlanError) -> None:
    """Say so where nothing fits because what would was linked, or was not to be looked at."""
    unseen = [one for one in folder.left_out if one.reason in (EXCLUDED, TOO_DEEP)]
    if unseen:
        n = len(unseen)
        raise type(error)(
            f"{f'{error}; ' if folder.files else ''}{n} of what lies in {folder.name} {'were' if n > 1 else 'was'} not "
            f"looked at, for example {unseen[0].path}: {unseen[0].reason}",
            hint=f"Look deeper with --depth {unseen[0].path.count('/') + 2}, or 0 for all that is below."
            if unseen[0].reason == TOO_DEEP
            else "Exclude less: one --exclude leaves it out.",
        ) from error
    links = [one for one in folder.left_out if one.reason in (LINK_OUT, LINK_TO_FOLDER)]
    if links:
        n = len(links)
        which = f"{n} link{'s' if n > 1 else ''} in {folder.name} {'were' if n > 1 else 'was'} not followed"
        raise type(error)(
            f"{f'{error}; ' if folder.files else ''}{which}, for example {links[0].path}, {links[0].reason}",
            hint="Put the files in place of the links ('cp -rL FOLDER COPY' makes such a folder), or import the folder "
            "that the links lead to.",
        ) from error


def _say_how_to_leave_out(folder: DiskFolder, error: PlanError) -> None:
    """One damaged file keeps a whole folder from being planned: say how the rest of it is imported."""
    culprit = error.culprit
    if any(path != culprit and not path.startswith(f"{culprit}/") for path in folder.files) and culprit not in (
        "",
        ".",
    ):
        error.hint = f"{error.hint} {how_to_leave_out(culprit)}".lstrip()


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        # ValueError: no path holds a null byte.
        raise SourceNotFound(
            f"there is nothing at {path}", hint="Check the path; it is one of the mesh's own host."
        ) from error
    except OSError as error:
        raise unreadable(
            f"{path} cannot be read: {error.strerror or error}",
            error,
            hint="Let the account that runs the mesh read it.",
        ) from error


def _one_file(path: Path, wish: _Wish, exclude: Sequence[str]) -> Plan:
    reach = wish.reach
    if path.name.endswith(IN_TRANSIT):
        raise NothingToImport(f"{path} is {UNDER_WAY}", hint="Rename it once it is complete, and import it then.")
    folder = DiskFolder(path.parent, only={path.name}, reach=reach)
    if wish.pattern is not None or wish.as_files:
        return wish.recognise(folder)
    if not (is_tiff(path.name) or path.name.lower().endswith(".companion.ome")):
        if _is_tiff_inside(folder, path.name):
            return plan_plain_tiff(folder)
        if is_container(path.name):
            together = DiskFolder(path.parent, only={path.name, *companions(path.name)}, reach=reach)
            return recognise(together, (), otherwise=container_planner(together.root, reach))
        if is_ome_xml(path.name):
            raise refuse_ome_xml(DiskFolder(path.parent, depth=1, exclude=exclude, reach=reach), path.name)
        raise NothingToImport(
            f"{path} is not a TIFF file",
            hint="Give a TIFF file, a .companion.ome, or the folder of a plate; --as-files stores any file as it is.",
        )
    # Headers of the set alone are read, however many files lie beside it.
    members = set_of(DiskFolder(path.parent, depth=1, exclude=exclude, reach=reach), path.name)
    found = plan_ome_tiff(DiskFolder(path.parent, only=members, reach=reach))
    if found.filesets:
        return recognise(DiskFolder(path.parent, only=members, reach=reach), (plan_ome_tiff,))
    alone = plan_plain_tiff(folder)
    if not any(plate.n_images for plate in alone.plates):
        raise UnreadableImage(f"{path.name} cannot be read as an image: none of its planes can", hint=COPY_AGAIN)
    return alone


def _is_tiff_inside(folder: DiskFolder, path: str) -> bool:
    try:
        with folder.stream(path) as stream:
            return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except OSError:
        return False


def _renamed(found: Plan, name: str | None) -> Plan:
    if not name:
        return found
    alone = len(found.plates) == 1

    def rename(plate: Plate) -> Plate:
        return msgspec.structs.replace(plate, name=name if alone else f"{name} {plate.name}")

    return msgspec.structs.replace(
        found,
        filesets=tuple(
            msgspec.structs.replace(fileset, plates=tuple(rename(plate) for plate in fileset.plates))
            for fileset in found.filesets
        ),
    )


def _installed() -> Iterator[Planner]:
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            planner = entry.load()
            if not callable(planner):
                raise TypeError(f"it is no function, but {type(planner).__name__}")
        except (ImportError, AttributeError, TypeError) as error:
            raise PlanError(
                f"the planner '{entry.name}' ({entry.value}) cannot be loaded: {error}",
                hint="Repair or uninstall the package that brings it.",
            ) from error
        yield planner
