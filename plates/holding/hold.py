"""Taking hold of a source: each file by the best means that its disk and this account allow."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

import msgspec

from ..errors import NotAFile, NotForReader
from ..judged_folders import JudgedFolders
from ..local.disk import sync_files, sync_folder
from ..local.errors import SourceChanged, source_error
from ..local.names import checked_id, checked_path
from ..reach import EVERYTHING, Reach
from ..repository import SourceFile
from .errors import StagingNotOurs
from .guarantees import CLONING, STAGED, Guarantee, HeldFile, Hold, clone_path
from .own_name import is_of_another, is_own
from .private_folder import OpenFolder
from .second_names import changed_since, give_name, held_as
from .sharing import UNSUPPORTED, share_extents
from .staging import Links, make_private, open_links, remove, remove_held
from .windows import platform_denier

# Errors that say something of one file, and nothing of the next.
_OF_ONE_FILE = frozenset({errno.EPERM, errno.EACCES, errno.EMLINK})


def hold(
    files: Sequence[SourceFile],
    source: Path,
    staging: Path | None,
    import_id: str,
    *,
    why: str = "",
    reach: Reach = EVERYTHING,
) -> Hold:
    """Guard a source as well as can be: its files are there afterwards as they were when they had settled.

    Asked again, as after a crash, it finds the links that it made, also of files whose names have gone since.
    ``staging`` is the folder that ``choose_staging`` made, and ``why`` its reason for none. What is held is opened
    within ``reach`` first, for what is linked is read whoever may read it.

    Raises:
        SourceChanged: a file is not what had settled.
        SourceMissing, SourceUnreadable, SourceFailed: a file is gone, or cannot be looked at, or lies beyond the reach.
        BadName: a path or the id is none.
    """
    checked_id(import_id)
    with ExitStack() as stack:
        place: Links | None = None
        if staging is not None and platform_denier() is None:
            try:
                place = stack.enter_context(open_links(staging, import_id))
            except OSError as error:
                why = why or f"{staging} cannot be used: {error.strerror}"
        holder = _Holder(source, place, import_id, why, reach)
        held = tuple(holder.take(file) for file in files)
        found = Hold(import_id=import_id, source=str(source), files=held, reason=holder.reason)
        if place is None:
            return found
        holder.make_durable(held, place.home)
        if not any(file.guarantee in STAGED for file in held):
            return found
        return msgspec.structs.replace(found, staging=str(place.folder.path), staging_inode=place.folder.inode)


def release(held: Hold, *, data: Path | None = None) -> None:
    """Take the links and handles of a hold away; the files stay what they are where the source still names them.

    ``data`` is the data folder of the mesh; without it the caller knows that the links are no other mesh's.

    Raises:
        StagingNotOurs: something else lies where the links were made, or they were made under another name than this
            mesh's, as before its data folder was copied; it is left alone.
        StagingFailed: the disk refuses.
    """
    denier = platform_denier()
    if denier is not None:
        denier.release(held.import_id)
    if not held.staging:
        return
    folder = Path(held.staging)
    if data is None or is_own(folder.parent, data):
        remove(folder, held.staging_inode)
    elif is_of_another(folder.parent, data):
        raise StagingNotOurs(
            f"The links in {folder} stay: {data} was copied since they were made, and the original may read them.",
            hint="Remove them by hand once the original is no longer at work.",
        )
    else:
        links = {
            held.path_of(file).removeprefix(f"{held.staging}/"): file.inode
            for file in held.files
            if file.guarantee in STAGED
        }
        remove_held(folder, held.staging_inode, links)


class _Holder:
    """Takes one file after another, and stops trying what this disk has refused for all of them."""

    def __init__(self, source: Path, place: Links | None, import_id: str, reason: str, reach: Reach) -> None:
        # Strings, not paths: this is done for each of many thousand small files.
        self._source = str(source)
        # Of the open folder: by now its own name may lead to where nothing is to be written or removed.
        self._folder = place.folder.at if place else ""
        self._told = str(place.folder.path) if place else ""
        self._inside = os.path.realpath(source)
        self._import_id = import_id
        self._reach = reach
        self._judging = JudgedFolders(reach)
        self._denier = platform_denier()
        self._reflinks = self._links = place is not None
        # Nothing of an earlier call is looked for, file by file, where there was none.
        self._again = place is not None and not place.is_new
        self._made = {self._folder}
        self.reason = reason

    def take(self, file: SourceFile) -> HeldFile:
        checked_path(file.path)
        name = f"{self._source}/{file.path}"
        if self._denier is not None:
            file = self._judged(file, name)
            try:
                self._denier.deny(self._import_id, Path(name))
                return self._seen(file, name, "deny-delete")
            except OSError as error:
                self._explain(error, "handles that deny deletion")
        staged = f"{self._folder}/{file.path}"
        if self._again and (found := self._found(file, staged)):
            return found
        file = self._judged(file, name)
        if self._links or self._reflinks:
            try:
                self._make_folder(file.path)
            except OSError as error:
                self._reflinks = self._links = False
                self._explain(error, "links")
        if self._reflinks and (clone := self._reflink(file, name, staged)):
            return clone
        if self._links and (link := self._link(file, name, staged)):
            return link
        return self._seen(file, name, "watched only")

    def make_durable(self, held: Iterable[HeldFile], home: OpenFolder) -> None:
        """Have the links on the disk: of a name that is taken away afterwards, one is left after a power cut too."""
        staged = [file for file in held if file.guarantee in STAGED]
        try:
            if any(file.guarantee == "reflink" for file in staged):
                sync_files(Path(self._folder), (f"{self._folder}/{file.path}" for file in staged))
            if staged:
                # Links are names alone: their folders are enough, and the acquisition's own bytes are left in peace.
                for folder in sorted(self._folders()):
                    sync_folder(Path(folder))
                home.sync()
        except OSError as error:
            raise source_error(error, self._told) from error

    def _folders(self) -> set[str]:
        """Every folder of this import's that has a name in it which this hold has given."""
        found = {self._folder}
        for made in self._made:
            folder = made
            while folder not in found:
                found.add(folder)
                folder = os.path.dirname(folder)  # noqa: PTH120
        return found

    def _judged(self, file: SourceFile, name: str) -> SourceFile:
        """The file as it is known once it was opened for whom it is held."""
        if not self._reach.is_bounded:
            return file
        try:
            descriptor, seen = self._judging.open_and_look(name)
            os.close(descriptor)
        except OSError as error:
            raise source_error(error, name) from error
        self._check(file, name, seen)
        # What is linked next is this very file, or none.
        return msgspec.structs.replace(file, inode=seen.st_ino, device=seen.st_dev)

    def _found(self, file: SourceFile, staged: str) -> HeldFile | None:
        """The clone or link that an earlier call made of the settled file; what else lies there is removed."""
        ways: tuple[tuple[str, Guarantee], ...] = ((clone_path(staged, file.inode), "reflink"), (staged, "hard link"))
        for path, guarantee in ways:
            try:
                seen = os.lstat(path)
                if (
                    stat.S_ISREG(seen.st_mode)
                    and (seen.st_size, seen.st_mtime_ns) == (file.size, file.mtime_ns)
                    and (guarantee == "reflink" or seen.st_ino == file.inode)
                ):
                    self._made.add(os.path.dirname(staged))  # noqa: PTH120
                    return held_as(file, seen, guarantee)
                os.unlink(path)  # noqa: PTH108
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise source_error(error, path.replace(self._folder, self._told, 1)) from error
        return None

    def _reflink(self, file: SourceFile, name: str, staged: str) -> HeldFile | None:
        cloning = staged + CLONING
        try:
            descriptor, before = self._judging.open_and_look(name)
            with FileIO(descriptor, "rb") as original:
                with open(cloning, "wb", buffering=0) as clone:  # noqa: PTH123
                    share_extents(original.fileno(), clone.fileno())
                    os.utime(clone.fileno(), ns=(before.st_mtime_ns, before.st_mtime_ns))
                after = os.fstat(original.fileno())
            self._check(file, name, before)
            if (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != (
                before.st_size,
                before.st_mtime_ns,
                before.st_ctime_ns,
            ):
                raise changed_since(name)
            # Only what was cloned of the settled file gets the name that a later call believes.
            cloned = clone_path(staged, before.st_ino)
            os.rename(cloning, cloned)  # noqa: PTH104
            return held_as(file, os.lstat(cloned), "reflink", original=before)
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotAFile | NotForReader):
                raise source_error(error, name) from error
            if error.errno in UNSUPPORTED or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                self._reflinks = False
            # A link is the next best: that there are no reflinks is worth a word only where neither can be had.
            return None
        finally:
            # What was renamed is not there; what was not would be swept away with the hold.
            with suppress(OSError):
                os.unlink(cloning)  # noqa: PTH108

    def _link(self, file: SourceFile, name: str, staged: str) -> HeldFile | None:
        try:
            seen = give_name(name, staged)
            if stat.S_ISLNK(seen.st_mode):
                # linkat names the link, and what it leads to is meant.
                real = os.path.realpath(name)
                if not real.startswith(self._inside + os.sep):
                    return None
                seen = give_name(real, staged)
        except FileNotFoundError as error:
            raise source_error(error, name) from error
        except OSError as error:
            self._links = error.errno in _OF_ONE_FILE
            self._explain(error, "hard links")
            return None
        try:
            self._check(file, name, seen)
        except SourceChanged:
            # One that a disk keeps is removed by the next call, or swept away with the hold.
            with suppress(OSError):
                os.unlink(staged)  # noqa: PTH108
            raise
        return held_as(file, seen, "hard link")

    def _seen(self, file: SourceFile, name: str, guarantee: Guarantee) -> HeldFile:
        try:
            seen = os.stat(name)  # noqa: PTH116
        except OSError as error:
            raise source_error(error, name) from error
        self._check(file, name, seen)
        return held_as(file, seen, guarantee)

    def _check(self, file: SourceFile, name: str, seen: os.stat_result) -> None:
        if (
            not stat.S_ISREG(seen.st_mode)
            or seen.st_size != file.size
            or file.mtime_ns not in (0, seen.st_mtime_ns)
            or file.inode not in (0, seen.st_ino)
            or file.device not in (0, seen.st_dev)
        ):
            raise changed_since(name)

    def _make_folder(self, path: str) -> None:
        folder = f"{self._folder}/{path}".rpartition("/")[0]
        if folder not in self._made:
            # Not synced one by one: an OME-Zarr has ten thousand folders, and all of them are before the record.
            make_private(Path(folder), durable=False)
            self._made.add(folder)

    def _explain(self, error: OSError, means: str) -> None:
        if self.reason:
            return
        self.reason = f"{means} are refused: {error.strerror}"
        if error.errno == errno.EPERM:
            self.reason += (
                " (the account that the mesh runs under neither owns these files nor may write to them,"
                " see fs.protected_hardlinks)"
            )
