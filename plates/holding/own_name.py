"""Which folders of links are this mesh's own: by a name that no other data folder has, on whatever host."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..local.disk import sync_file, sync_folder
from ..source_names import HELD_FOLDER
from .errors import StagingFailed

RECORD = "held-as/name"
"""The file of a data folder that has the random part of its name, alone in a folder."""

_RANDOM = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[0-9a-f]{16}-[0-9]+")


def staging_of(data: Path, above: Path) -> Path:
    """The folder below ``above`` that is this mesh's own; its name is made where the data folder has none yet.

    Raises:
        StagingFailed: the name can be neither made nor read.
    """
    return above / _made_name(data)


def homes_of(data: Path, above: Iterable[Path]) -> tuple[Path, ...]:
    """The folders below these in which the mesh of a data folder may hold sources, whether they are there or not.

    Its own come first, then those that an earlier version has made for it, or for a mesh of another host.

    Raises:
        StagingFailed: the name of its own cannot be read.
    """
    places = tuple(above)
    return tuple(one / name for name in (own_name(data), _earlier_name(data)) if name for one in places)


def is_own(home: Path, data: Path) -> bool:
    """Whether a folder is certainly this mesh's alone: by its name, or because it lies in the data folder.

    Raises:
        StagingFailed: the mesh's name cannot be read.
    """
    return home.parent == data.absolute() / HELD_FOLDER or home.name == own_name(data)


def is_of_the_original(home: Path, data: Path) -> bool:
    """Whether a folder was made for the data folder that this one was copied from, which may be at work as well.

    Raises:
        StagingFailed: the mesh's name cannot be read.
    """
    random, dash, _ = own_name(data).partition("-")
    return bool(random) and home.name.startswith(random + dash) and not is_own(home, data)


def is_of_another(home: Path, data: Path) -> bool:
    """Whether a folder was made under another name than the mesh's: for the original, or by a mesh of another host.

    What an earlier version has made has no such name.

    Raises:
        StagingFailed: the mesh's name cannot be read.
    """
    return bool(_NAME.fullmatch(home.name)) and not is_own(home, data)


def own_name(data: Path) -> str:
    """The name under which the mesh of a data folder holds sources; empty where it has none yet.

    The inode of the record is a part of it. So a copy of the data folder, which may be at work beside the one that it
    was copied from and whose journal has the same imports, goes by another.

    Raises:
        StagingFailed: it cannot be read, or is not what was written.
    """
    path = data / RECORD
    try:
        with path.open("rb") as file:
            inode, made = os.fstat(file.fileno()).st_ino, file.read(64).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StagingFailed(f"{path} cannot be read: {error.strerror}.") from error
    if not _RANDOM.fullmatch(made):
        raise StagingFailed(
            f"{path} is not what the mesh has written.",
            hint=f"Restore it from a copy. Where there is none move {path.parent} away: a new one is made, and what is "
            "held under the former name stays until somebody removes it.",
        )
    return f"{made}-{inode}"


def _made_name(data: Path) -> str:
    """The name under which the mesh of a data folder holds sources, made where it has none, and on the disk.

    Raises:
        StagingFailed: it can be neither made nor read.
    """
    try:
        if not own_name(data):
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(data / RECORD)
        # By each: what another thread, or process, has made just now may not be on the disk yet.
        sync_folder(data)
    except StagingFailed:
        raise
    except OSError as error:
        raise StagingFailed(f"{data / RECORD} cannot be written: {error.strerror}.") from error
    return own_name(data)


def _earlier_name(data: Path) -> str:
    """What an earlier version called the folder: by the path of the data folder, which other hosts may have too."""
    return hashlib.sha1(os.fsencode(data.absolute()), usedforsecurity=False).hexdigest()[:12]


def _make(path: Path) -> None:
    folder = path.parent
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        made = new / path.name
        made.write_bytes(f"{secrets.token_hex(8)}\n".encode())
        sync_file(made)
        sync_folder(new)
        # A folder in which something lies is replaced by no other: what somebody else has made just now counts. A link
        # would do the same for a file, but not every disk has links.
        new.rename(folder)
    except OSError:
        if not path.exists():
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
