"""Looking at a source: names, sizes and times, as they are now."""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Sequence
from pathlib import Path

from ...plates.errors import SourceNotFound, SourceUnreadable
from ...plates.planners import Plan
from ...plates.repository import SourceFile
from ...plates.source_names import HELD_FOLDER, check_source_name
from ..errors import NoSuchSource
from .readiness import Scan


def check_source(source: str) -> None:
    """Look whether there is something at a path that somebody gave.

    Raises:
        NoSuchSource: there is nothing, or it is no path at all.
        SourceUnreadable: it may not be looked at.
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
        raise SourceUnreadable(
            f"{source} cannot be looked at: {error.strerror}", hint="check the path, its disk and its links"
        ) from error
    except ValueError as error:
        # A zero byte, or what the file system's encoding cannot say.
        raise NoSuchSource(f"{source!r} is no path: {error}", hint=hint) from error


def scan_source(source: Path, only: Sequence[str] = (), *, exclude: Container[str] = ()) -> Scan:
    """Look at every file of a source, or at those right in it that ``only`` names; folders' links are not followed.

    What ``exclude`` holds is not looked at, nor are links to held sources.

    Raises:
        SourceNotFound: there is nothing there.
        SourceUnreadable: a folder or file cannot be looked at.
        BadSourceName: a name in it is not text.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: dict[str, tuple[int, int, int]] = {}
    try:
        if not source.is_dir():
            found[source.name] = _seen(source)
            return Scan(found)
        if only:
            return Scan({Path(name).name: _seen(source / Path(name).name) for name in only})
        n_top = len(str(source).rstrip(os.sep)) + 1
        for folder, folders, names in os.walk(source, onerror=refuse):
            # Strings, not paths: an OME-Zarr has a hundred thousand small files, and is looked at again and again.
            above = folder if folder.endswith(os.sep) else f"{folder}{os.sep}"
            # What is left out is not entered: it may be what cannot be read.
            folders[:] = sorted(one for one in folders if one != HELD_FOLDER and (above + one)[n_top:] not in exclude)
            for name in names:
                path = above + name
                relative = path[n_top:]
                check_source_name(relative)
                if relative not in exclude:
                    found[relative] = _seen_or_dangling(path)
    except FileNotFoundError as error:
        raise SourceNotFound(
            f"{error.filename} is not there (any more)", hint="put it back and retry the import, or cancel it"
        ) from error
    except OSError as error:
        raise SourceUnreadable(
            f"{error.filename} cannot be looked at: {error.strerror}",
            hint="make it readable for the account that the mesh runs under, then retry the import",
        ) from error
    return Scan(found)


def manifest(plan: Plan) -> tuple[SourceFile, ...]:
    """Every file of a plan as it looks now, each once.

    Raises:
        SourceNotFound: one of them has gone.
    """
    paths = dict.fromkeys(file.path for fileset in plan.filesets for file in fileset.files)
    files: list[SourceFile] = []
    for path in paths:
        try:
            seen = os.stat(os.path.join(plan.root, path))  # noqa: PTH116, PTH118 - see scan_source
        except OSError as error:
            raise SourceNotFound(f"{path} went away while it was looked at: {error.strerror}") from error
        files.append(
            SourceFile(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev)
        )
    return tuple(files)


def _seen_or_dangling(path: str) -> tuple[int, int, int]:
    try:
        return _seen(path)
    except FileNotFoundError:
        # A link to nowhere is left out, and does not say that a file of the source has gone.
        if Path(path).is_symlink():
            return 0, 0, 0
        raise


def _seen(path: Path | str) -> tuple[int, int, int]:
    status = os.stat(path)  # noqa: PTH116 - see scan_source
    return status.st_size, status.st_mtime_ns, status.st_ino
