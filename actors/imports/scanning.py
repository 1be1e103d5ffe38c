"""Looking at a source: names, sizes and times, as they are now."""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Sequence
from pathlib import Path

from ...plates.errors import SourceNotFound, SourceUnreadable, unreadable
from ...plates.planners import Plan
from ...plates.planners.plain_fileset import companions
from ...plates.repository import SourceFile
from ...plates.source_names import HELD_FOLDER, check_source_name, check_source_time
from ..errors import NoSuchSource
from .readiness import Scan


def check_source(source: str) -> None:
    """Look whether there is something at a path that somebody gave.

    Raises:
        NoSuchSource: there is nothing, or it is no path at all.
        SourceUnreadable: it may not be looked at.
        SourceFailing: it cannot be looked at now.
    """
    hint = "give the path of a folder or image file on this host"
    try:
        Path(source).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoSuchSource(f"there is nothing at {source}", hint=hint) from error
    except PermissionError as error:
        raise SourceUnreadable(
            f"{source} may not be looked at by the account that the mesh runs under",
            hint="give that account the right to enter the folders above it and to read it",
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise NoSuchSource(f"there is nothing at {source[:80]}...: the path is too long", hint=hint) from error
        raise unreadable(
            f"{source} cannot be looked at: {error.strerror}", error, hint="check the path, its disk and its links"
        ) from error
    except ValueError as error:
        # A zero byte, or what the file system's encoding cannot say.
        raise NoSuchSource(f"{source!r} is no path: {error}", hint=hint) from error


def scan_source(source: Path, only: Sequence[str] = (), *, exclude: Container[str] = (), depth: int = 0) -> Scan:
    """Look at every file of a source, or at what right in it ``only`` names; folders' links are not followed.

    What ``exclude`` holds is not looked at, nor are links to held sources, nor what lies deeper than ``depth`` levels
    of a folder, which is the first of them; 0 means all. A container is looked at with what belongs to it by its name.

    Raises:
        SourceNotFound: there is nothing there.
        SourceUnreadable: a folder or file may not be looked at.
        SourceFailing: one cannot be looked at now.
        BadSourceName: a name in it is not text, or lies too deep.
        BadSourceTime: a file in it has a time that none has.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: dict[str, tuple[int, int, int]] = {}
    look = _Look()

    def walk(top: Path, n_top: int, levels: int = 0) -> None:
        for folder, folders, names in os.walk(top, onerror=refuse):
            # Strings, not paths: an OME-Zarr has a hundred thousand small files, and is looked at again and again.
            above = folder if folder.endswith(os.sep) else f"{folder}{os.sep}"
            # Before the walk goes on: it is as deep in its own calls as in the folders.
            check_source_name(above[n_top:])
            # What is left out is not entered: it may be what cannot be read.
            if 0 < levels <= above[n_top:].count(os.sep) + 1:
                folders.clear()
            folders[:] = sorted(one for one in folders if one != HELD_FOLDER and (above + one)[n_top:] not in exclude)
            for name in names:
                path = above + name
                relative = path[n_top:]
                check_source_name(relative)
                if relative not in exclude:
                    found[relative] = look.seen_or_dangling(path)

    try:
        is_folder = source.is_dir()
        root = source if is_folder else source.parent
        n_top = len(str(root).rstrip(os.sep)) + 1
        if is_folder and not only:
            walk(source, n_top, depth)
        else:
            named = [Path(name).name for name in only] if is_folder else [source.name, *_beside(source)]
            for name in named:
                # What belongs to a file may be a folder, whose files grow without a change to it.
                if not (root / name).is_symlink() and (root / name).is_dir():
                    walk(root / name, n_top)
                else:
                    found[name] = look.seen(root / name)
    except OSError as error:
        raise look_error(error, error.filename) from error
    return Scan(found, tuple(look.came_ns))


def _beside(source: Path) -> list[str]:
    """What belongs to a container by its name and is there; of a link, what belongs to where it leads is not here."""
    return [] if source.is_symlink() else [name for name in companions(source.name) if (source.parent / name).exists()]


def look_error(error: OSError, path: Path | str) -> SourceNotFound | SourceUnreadable:
    """Say what a failed look at a source means: that it is gone, that it may not be, or that it cannot be now."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return SourceNotFound(f"{path} is not there (any more)", hint="put it back and retry the import, or cancel it")
    return unreadable(
        f"{path} cannot be looked at: {error.strerror}",
        error,
        hint="make it readable for the account that the mesh runs under, then retry the import",
    )


def manifest(plan: Plan) -> tuple[SourceFile, ...]:
    """Every file of a plan as it looks now, each once.

    Raises:
        SourceNotFound: one of them has gone.
        SourceUnreadable, SourceFailing: one may not be looked at, or cannot be now.
        BadSourceTime: one has a time that none has.
    """
    paths = dict.fromkeys(file.path for fileset in plan.filesets for file in fileset.files)
    files: list[SourceFile] = []
    for path in paths:
        try:
            seen = os.stat(os.path.join(plan.root, path))  # noqa: PTH116, PTH118 - see scan_source
        except OSError as error:
            raise look_error(error, path) from error
        check_source_time(path, seen.st_mtime_ns)
        files.append(
            SourceFile(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev)
        )
    return tuple(files)


class _Look:
    """Looks at files one by one, and keeps their ctimes."""

    def __init__(self) -> None:
        self.came_ns: list[int] = []

    def seen_or_dangling(self, path: str) -> tuple[int, int, int]:
        try:
            return self.seen(path)
        except FileNotFoundError:
            # A link to nowhere is left out, and does not say that a file of the source has gone.
            if Path(path).is_symlink():
                return 0, 0, 0
            raise

    def seen(self, path: Path | str) -> tuple[int, int, int]:
        status = os.stat(path)  # noqa: PTH116 - see scan_source
        check_source_time(str(path), status.st_mtime_ns)
        self.came_ns.append(status.st_ctime_ns)
        return status.st_size, status.st_mtime_ns, status.st_ino
