"""Where links to a source may lie: on its own file system, outside of it, in a folder nobody else can enter."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..local.disk import sync_folder
from ..source_names import HELD_FOLDER
from .errors import StagingFailed


class Staging(NamedTuple):
    """The staging folder of this mesh for one source; none, and why not."""

    folder: Path | None
    reason: str = ""


def choose_staging(source: Path, *, data: Path, staging: Path | None = None, root: Path | None = None) -> Staging:
    """Make the staging folder for a source: the configured one, else one in its root, else one in ``data``.

    Meshes that share a root keep apart: each has a folder named after its data folder.
    """
    candidates = [staging] if staging else [root / HELD_FOLDER] if root else []
    candidates.append(data / HELD_FOLDER)
    reason = ""
    for candidate in candidates:
        folder = staging_of(data, candidate)
        why_not = _why_not(source, candidate, folder)
        if not why_not:
            return Staging(folder, reason)
        reason = reason or why_not
    return Staging(None, reason)


def staging_of(data: Path, above: Path) -> Path:
    """The folder below ``above`` that is this mesh's own: meshes that share a root keep apart."""
    return above / hashlib.sha1(os.fsencode(data.absolute()), usedforsecurity=False).hexdigest()[:12]


def _why_not(source: Path, candidate: Path, folder: Path) -> str:
    try:
        if candidate.resolve().is_relative_to(source.resolve()):
            # A scan of the source would find the links and take them for new files.
            return f"the staging folder {candidate} would lie inside the source"
        there = next(one for one in (candidate, *candidate.parents) if one.exists())
        if there.stat().st_dev != source.stat().st_dev:
            return f"{candidate} is on another file system than {source}"
        if candidate.name == HELD_FOLDER and candidate.is_symlink():
            return f"{candidate} is a link, which this mesh has not made"
        make_private(folder)
    except OSError as error:
        return f"{candidate} cannot be used: {error.strerror or error}"
    return ""


def make_private(folder: Path, *, durable: bool = True) -> None:
    """Make a folder that nobody else can enter, with those above it; ``durable`` says whether their names are synced.

    Raises:
        OSError: it cannot be made, is a link, or belongs to somebody else.
    """
    if not folder.parent.exists():
        make_private(folder.parent, durable=durable)
    try:
        folder.mkdir(mode=0o700)
        if durable:
            sync_folder(folder.parent)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(folder)) from None
        if sys.platform != "win32":
            if found.st_uid != os.geteuid():
                # Its owner could put other files into the links' place.
                raise PermissionError(errno.EPERM, "it belongs to another account", str(folder)) from None
            if stat.S_IMODE(found.st_mode) & 0o077:
                folder.chmod(0o700)


def sweep(staging: Path, alive_ids: Collection[str]) -> tuple[str, ...]:
    """Remove what was held for imports that are not alive, and name them.

    Raises:
        StagingFailed: the disk refuses.
    """
    try:
        orphans = sorted(entry.name for entry in os.scandir(staging) if entry.name not in alive_ids)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _failed(staging, error) from error
    for name in orphans:
        remove(staging / name)
    return tuple(orphans)


def remove(folder: Path) -> None:
    """Take a folder of links away; one that is gone already is no error.

    Raises:
        StagingFailed: the disk refuses.
    """
    try:
        shutil.rmtree(folder)
        sync_folder(folder.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failed(folder, error) from error


def _failed(folder: Path, error: OSError) -> StagingFailed:
    return StagingFailed(
        f"The staging folder {folder} cannot be cleared: {error.strerror}.",
        hint="It holds links only: remove it by hand once no import is running.",
    )
