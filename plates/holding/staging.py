"""Where links to a source may lie: on its own file system, outside of it, in a folder nobody else can enter."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from ..local.disk import sync_folder
from ..source_names import HELD_FOLDER
from .errors import StagingFailed, StagingNotOurs
from .guarantees import Swept
from .own_name import is_own, staging_of
from .private_folder import NotPrivate, OpenFolder, opened

MARK = ".hcs-mesh-links"
"""A file in each staging folder that a mesh has made."""


class Staging(NamedTuple):
    """The staging folder of this mesh for one source; none, and why not."""

    folder: Path | None
    reason: str = ""


def choose_staging(source: Path, *, data: Path, staging: Path | None = None, root: Path | None = None) -> Staging:
    """Make the staging folder for a source: the configured one, else one in its root, else one in ``data``.

    Meshes that share a root keep apart: each has a folder by a name that no other data folder has.
    """
    candidates = [staging] if staging else [root / HELD_FOLDER] if root else []
    candidates.append(data / HELD_FOLDER)
    reason = ""
    for candidate in candidates:
        try:
            why_not = _why_not(source, candidate)
            if not why_not:
                folder = staging_of(data, candidate)
                _make_home(data, folder)
                return Staging(folder, reason)
        except OSError as error:
            why_not = f"{candidate} cannot be used: {error.strerror or error}"
        reason = reason or why_not
    return Staging(None, reason)


def _why_not(source: Path, candidate: Path) -> str:
    # Not ``resolve``: of a link that leads in a circle it says so with an error of its own.
    if Path(os.path.realpath(candidate)).is_relative_to(os.path.realpath(source)):
        # A scan of the source would find the links and take them for new files.
        return f"the staging folder {candidate} would lie inside the source"
    there = next(one for one in (candidate, *candidate.parents) if one.exists())
    if there.stat().st_dev != source.stat().st_dev:
        return f"{candidate} is on another file system than {source}"
    if candidate.name == HELD_FOLDER and candidate.is_symlink():
        return f"{candidate} is a link, which this mesh has not made"
    return ""


def _make_home(data: Path, folder: Path) -> None:
    """Make the folder of a mesh with its mark, by which it is known when it is swept."""
    above = folder.parent
    base = above.parent if above.name == HELD_FOLDER else above
    if not base.exists():
        make_private(base)
    with opened(base) as at:
        if base == above:
            at.make(folder.name)
        else:
            at.make(HELD_FOLDER)
            with at.entered(HELD_FOLDER) as shared:
                shared.make(folder.name)
    with open_home(folder) as home:
        names = home.names()
        if MARK in names:
            return
        if names:
            raise NotPrivate(errno.EPERM, f"something lies in {folder} and it has no mark of a mesh ({MARK})")
        # Another import of this mesh may have been as quick, and its mark is as good.
        with suppress(FileExistsError):
            whose = f"the mesh of {data.absolute()} on {socket.gethostname()}"
            home.write(MARK, os.fsencode(f"Links to sources that {whose} imports.\n"))


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


@contextmanager
def open_home(folder: Path) -> Iterator[OpenFolder]:
    """Open the folder in which a mesh has its holds, which nobody else can enter, nor the one above that meshes share.

    Raises:
        NotPrivate: one of them is not this account's alone.
        OSError: it is not there, or cannot be opened.
    """
    above = folder.parent
    with ExitStack() as stack:
        if above.name == HELD_FOLDER:
            base = stack.enter_context(opened(above.parent))
            base = stack.enter_context(base.entered(HELD_FOLDER))
        else:
            base = stack.enter_context(opened(above))
        yield stack.enter_context(base.entered(folder.name))


def check_home(folder: Path) -> None:
    """Promise that what has the name of a mesh's folder is one that nobody else can enter.

    Raises:
        StagingNotOurs: it is not.
        StagingFailed: it is gone, or the disk refuses.
    """
    try:
        with _telling(folder), open_home(folder):
            return
    except FileNotFoundError as error:
        raise _gone(folder) from error


class Links(NamedTuple):
    """The open folder of an import's links, the one in which it has its name, and whether it was made just now."""

    home: OpenFolder
    folder: OpenFolder
    is_new: bool


@contextmanager
def open_links(staging: Path, import_id: str) -> Iterator[Links]:
    """Open the folder for an import's links, made where it was not there; its name is not synced.

    Raises:
        NotPrivate: it, or one above, is not this account's alone.
        OSError: it can be neither made nor opened.
    """
    with open_home(staging) as home:
        is_new = home.make(import_id, durable=False)
        with home.entered(import_id) as folder:
            yield Links(home, folder, is_new)


@contextmanager
def open_held(folder: Path, inode: int) -> Iterator[OpenFolder]:
    """Open the very folder that was made for an import, to take names in it away.

    Raises:
        StagingNotOurs: something else has its name by now.
        StagingFailed: it is gone, or the disk refuses.
    """
    with ExitStack() as stack:
        try:
            with _telling(folder):
                home = stack.enter_context(open_home(folder.parent))
                held = stack.enter_context(home.entered(folder.name))
                _check_made(folder, held.inode, inode)
        except FileNotFoundError as error:
            raise _gone(folder) from error
        yield held


def _none_is(name: str) -> AbstractContextManager[bool]:
    return nullcontext(False)  # noqa: FBT003


def sweep(
    staging: Path,
    over_ids: Collection[str],
    *,
    data: Path | None = None,
    spared: Callable[[str], AbstractContextManager[bool]] = _none_is,
) -> Swept:
    """Remove what was held for imports that are over, and name them; what is held for any other stays, and is named.

    One that nobody knows is not over: it may be of a journal that was lost, and its links the only copy.

    Whether one is ``spared`` all the same is asked when its turn has come, and it stays so until it is removed: on a
    slow disk that is long after the list was made. ``data`` is the data folder of the mesh; without it the caller
    knows that the folder is its own.

    Raises:
        StagingNotOurs: something else lies there than the folder that this mesh has made and marked, or what an
            earlier version has made, for this mesh or for another; what would have been removed is named.
        StagingFailed: the disk refuses.
    """
    try:
        with _telling(staging), open_home(staging) as home:
            names = home.names()
            found = [name for name in names if name != MARK]
            orphans = [name for name in found if name in over_ids]
            if orphans and MARK not in names:
                raise NotPrivate(errno.EPERM, f"it has no mark of a mesh ({MARK})", str(staging))
            if orphans and data is not None and not is_own(staging, data):
                raise StagingNotOurs(
                    f"In {staging} links stay of {', '.join(orphans)}: an earlier version has made it, and a mesh on "
                    "another host may have imports of these numbers there.",
                    hint="Remove them by hand once they are no other mesh's.",
                )
            gone: list[str] = []
            for name in orphans:
                with spared(name) as is_spared:
                    if not is_spared:
                        # Released meanwhile, it is gone already.
                        with suppress(FileNotFoundError):
                            home.remove(name)
                            gone.append(name)
            return Swept(tuple(gone), tuple(name for name in found if name not in orphans))
    except FileNotFoundError:
        return Swept()


def remove(folder: Path, inode: int) -> None:
    """Take the folder of links away that was made for an import; one that is gone already is no error.

    Raises:
        StagingNotOurs: something else has its name by now.
        StagingFailed: the disk refuses.
    """
    try:
        with _telling(folder), open_home(folder.parent) as home:
            _check_made(folder, home.status(folder.name).st_ino, inode)
            home.remove(folder.name)
    except FileNotFoundError:
        return


def remove_held(folder: Path, inode: int, held: Mapping[str, int]) -> None:
    """Take those links away that were made for an import, by name and inode; another mesh may have its own there.

    Raises:
        StagingNotOurs: something else has the folder's name by now, or lies in it beside these links.
        StagingFailed: the disk refuses.
    """
    try:
        with _telling(folder), open_home(folder.parent) as home:
            with home.entered(folder.name) as links:
                _check_made(folder, links.inode, inode)
                for path, made in held.items():
                    # An earlier call may have come as far as this.
                    with suppress(FileNotFoundError):
                        if links.status(path).st_ino == made:
                            links.unlink(path)
                links.remove_empty()
            try:
                home.remove_if_empty(folder.name)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                raise NotPrivate(
                    errno.EPERM, "other links lie there than were made for the import", str(folder)
                ) from error
    except FileNotFoundError:
        return


def _check_made(folder: Path, found: int, made: int) -> None:
    # Not by the device: its number is another one after a restart of the host.
    if found != made:
        raise NotPrivate(errno.EPERM, "it is not the folder that was made for the import", str(folder))


def _gone(folder: Path) -> StagingFailed:
    return StagingFailed(
        f"The staging folder {folder} is gone.", hint="Somebody has moved or removed it: import the source again."
    )


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except NotPrivate as error:
        raise StagingNotOurs(
            f"The staging folder {folder} is left alone: {error.filename}: {error.strerror}.",
            hint="Somebody has put something in its place; nothing was removed there. Look at it by hand.",
        ) from error
    except (FileNotFoundError, StagingFailed):
        raise
    except OSError as error:
        raise StagingFailed(
            f"The staging folder {folder} cannot be cleared: {error.strerror}.",
            hint=f"It may hold the only copy of files: 'find {folder} -type f -links 1' lists them.",
        ) from error
