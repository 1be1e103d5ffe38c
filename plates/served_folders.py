"""The folders that a workstation serves: a path that somebody elsewhere names leads into one of them, or nowhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..config.errors import MeshError
from .access import check_readable
from .errors import SourceNotFound, unreadable
from .permissions import within
from .reach import Reach
from .repository import SourceFile


class NotServed(MeshError, PermissionError):
    """A path does not lead into a folder that is served."""


class ServedFolder(msgspec.Struct, frozen=True, kw_only=True):
    """One folder that is served, and the name by which people may call it."""

    name: str
    path: str


def served_folder(given: str) -> ServedFolder:
    """What ``FOLDER`` or ``NAME=FOLDER`` means.

    Raises:
        NotServed: there is no such folder, or it has no name.
    """
    name, equals, folder = given.partition("=")
    if not equals or "/" in name or "\\" in name:
        name, folder = "", given
    path = Path(folder).absolute()
    if not path.is_dir():
        raise NotServed(f"{folder} is no folder that could be served", hint="give a folder of this workstation")
    name = name or path.name
    if not name:
        raise NotServed(f"{folder} has no name", hint=f"give it one: --serve NAME={folder}")
    return ServedFolder(name=name, path=str(path))


class ServedFolders:
    """Finds what paths lead to, links and all, and refuses what lies outside of the folders."""

    def __init__(self, folders: Sequence[ServedFolder], *, own: Path | None = None) -> None:
        """Serve these folders where they lead now, and nothing of the folder that is the agent's ``own``.

        Raises:
            NotServed: there is none, or two have one name.
        """
        names = [folder.name for folder in folders]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise NotServed(
                f"two folders are called {twice[0]}" if twice else "no folder is served",
                hint="give each a name of its own: --serve NAME=FOLDER",
            )
        self.folders = tuple(folders)
        # Once: a disk that hangs later would keep every path waiting, whichever folder it leads into.
        self._inside = {one.name: os.path.realpath(one.path) for one in folders}
        self._own = "" if own is None else os.path.realpath(own)

    def resolve(self, named: str) -> Path:
        """Where a path leads: an absolute one of this host, or the name of a folder and what is below it.

        Raises:
            NotServed: it does not lead into a folder that is served; whether there is anything is not said.
            SourceNotFound, SourceUnreadable: there is nothing there, or nothing that can be looked at.
        """
        real = Path(os.path.realpath(self.path_of(named)))
        if not self.serves(real):
            is_own = self.holding(real) is not None
            raise self._refusal(named, "it is the agent's own folder" if is_own else "it leads elsewhere")
        try:
            real.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceNotFound(
                f"there is nothing at {named}", hint="give the path of a folder or image file"
            ) from error
        except (OSError, ValueError) as error:
            raise unreadable(
                f"{named} cannot be looked at: {getattr(error, 'strerror', error)}",
                error,
                hint="make it readable for the account that the agent runs under",
            ) from error
        return real

    def path_of(self, named: str) -> Path:
        """What a path means on this host, by its letters alone: no disk is asked.

        Raises:
            NotServed: it climbs, or begins with no folder's name.
        """
        parts = named.replace("\\", "/").split("/")
        if "\0" in named or ".." in parts:
            raise self._refusal(named, "it climbs")
        path = Path(named)
        if path.is_absolute():
            return path
        first, *rest = [part for part in parts if part not in ("", ".")] or [""]
        folder = next((one for one in self.folders if one.name == first), None)
        if folder is None:
            raise self._refusal(named, "it begins with no folder's name")
        return Path(folder.path, *rest)

    def named_in(self, path: str) -> str:
        """The innermost folder that a path on this host names something in, by its letters alone; empty for none."""
        found = [(way, one.path) for one in self.folders for way in (one.path, self._inside[one.name])]
        return max(((len(way), folder) for way, folder in found if within(path, way)), default=(0, ""))[1]

    def serves(self, real: Path) -> bool:
        """Whether a path without links lies in a folder that is served, and not in the agent's own."""
        if self._own and within(str(real), self._own):
            return False
        return self.holding(real) is not None

    def holding(self, real: Path) -> ServedFolder | None:
        """The innermost folder that a path without links lies in, be it the agent's own or not."""
        found = [one for one in self.folders if within(str(real), self._inside[one.name])]
        return max(found, key=lambda one: len(self._inside[one.name]), default=None)

    @property
    def reach(self) -> Reach:
        """What may be opened for who asks from elsewhere."""
        return Reach(inside=tuple(self._inside.values()), closed=(self._own,) if self._own else ())

    def check_files(self, root: Path, files: Sequence[SourceFile]) -> None:
        """Promise that no link among the files leads out of the folders.

        Raises:
            PathNotAllowed: one does; the first ones are named.
            SourceNotFound, SourceUnreadable: one is gone or cannot be looked at.
        """
        check_readable(root, files, self.reach)

    def _refusal(self, named: str, why: str) -> NotServed:
        names = ", ".join(f"{one.name} ({one.path})" for one in self.folders)
        return NotServed(f"{named!r} is not served by this workstation: {why}", hint=f"it serves {names}")
