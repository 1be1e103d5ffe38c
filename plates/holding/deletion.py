"""Deleting a source: only files that are still what was held, and only below the folder that was imported."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from ...config.errors import MeshError
from ..access import DeletionRight
from ..certificate import Device
from ..devices import device_of
from ..errors import SourceNotFound, SourceUnreadable
from ..permissions import within
from ..reach import EVERYTHING, Reach
from .guarantees import HeldFile

_NAMED = 3
_NO_SUCH_CALL = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


class SourceStays(MeshError, OSError):
    """A source that was to be deleted and is not, or not whole; what stays is named."""


def delete_source(
    source: Path,
    root: Path,
    files: Sequence[HeldFile],
    reach: Reach = EVERYTHING,
    *,
    device: Device | None = None,
) -> int:
    """Delete ``files`` below ``root`` and their folders in ``source`` that are empty then; return how many were there.

    A file is still what was stored if it has the size, time, inode and ctime that it was held with: whoever writes to
    it can put its time back, and not its ctime. Where one of them is not known, it stays.

    Only what the account of a ``reach`` could delete itself is deleted, where one counts, and only in its folders;
    these themselves stay, and so does every folder that held none of the files.

    A file that is gone already is no matter, so that the call can be repeated after a crash; but where all of them are,
    and the disk is not there that the source lay on, its ``device``, none was deleted. Folders are held open
    while their files are looked at and deleted: a link laid in their place leads nowhere.

    Raises:
        SourceStays: a file is not what was stored any more, a link leads out of the root, or the disk refuses or is
            not there; nothing else, whatever a dying disk says.
    """
    try:
        return _delete(source, root, files, reach, device)
    except SourceStays:
        raise
    except (OSError, SourceNotFound, SourceUnreadable) as error:
        raise SourceStays(
            f"the disk does not say whether all of it is gone: {error}",
            hint="What was imported is in the repository; look at the disk, and delete by hand what is left.",
        ) from error


def _delete(source: Path, root: Path, files: Sequence[HeldFile], reach: Reach, device: Device | None) -> int:
    inside = os.path.realpath(root)
    right = DeletionRight(reach.account)
    by_folder: dict[str, list[HeldFile]] = {}
    for file in files:
        by_folder.setdefault(file.path.rpartition("/")[0], []).append(file)
    stays: list[str] = []
    n_deleted = 0
    for folder, held in by_folder.items():
        deleted, left = _delete_in(inside, folder, held, reach, right)
        n_deleted += deleted
        stays += left
    if stays:
        more = f" and {len(stays) - _NAMED} more" if len(stays) > _NAMED else ""
        raise SourceStays(
            f"{len(stays)} of {len(files)} files were not deleted: {'; '.join(stays[:_NAMED])}{more}",
            hint="What was imported is in the repository; look at these files and delete them by hand.",
        )
    if not n_deleted and files and device is not None and not _is_mounted(root, device):
        raise SourceStays(
            f"the disk is not there that it lay on, {device.volume or device.file_system} at {device.mount_point}",
            hint="What was imported is in the repository; once the disk is back, delete these files by hand.",
        )
    _remove_empty_folders(source, {os.path.join(inside, folder) for folder in by_folder}, reach, right)  # noqa: PTH118
    return n_deleted


def _is_mounted(root: Path, device: Device) -> bool:
    """Whether a root lies, or lay, on its device: by its mount, since a restart of the host changes numbers."""
    if not device.mount_point:
        return True
    there = next(one for one in (root, *root.parents) if one.exists())
    return device_of(there).mount_point == device.mount_point


def _delete_in(
    inside: str, folder: str, files: Sequence[HeldFile], reach: Reach, right: DeletionRight
) -> tuple[int, list[str]]:
    """Delete the files of one folder; returns how many were there, and why others stay."""
    try:
        opened = os.open(Path(inside, folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0, []
    except OSError as error:
        return 0, [f"{file.path} ({error.strerror})" for file in files]
    n_deleted, stays = 0, []
    try:
        real = os.path.realpath(Path(inside, folder))
        outside = real != inside and not real.startswith(inside + os.sep)
        if outside or not os.path.samestat(os.fstat(opened), os.lstat(real)):
            return 0, [f"{file.path} (a link leads out of the source)" for file in files]
        if reach.refuses_path(real):
            return 0, [f"{file.path} (the mesh deletes nothing in {real})" for file in files]
        for file in files:
            name = file.path.rpartition("/")[2]
            try:
                seen = os.stat(name, dir_fd=opened, follow_symlinks=False)
                if not _is_what_was_stored(file, seen):
                    stays.append(f"{file.path} (changed since it was stored)")
                    continue
                why = right.refusal(real, seen.st_uid)
                if why:
                    stays.append(f"{file.path} ({why})")
                    continue
                os.unlink(name, dir_fd=opened)
                n_deleted += 1
            except FileNotFoundError:
                continue
            except OSError as error:
                stays.append(f"{file.path} ({error.strerror})")
        _sync(opened, real)
    finally:
        os.close(opened)
    return n_deleted, stays


def _sync(opened: int, folder: str) -> None:
    try:
        os.fsync(opened)
    except OSError as error:
        # Some file systems of others have no such call for folders, and there is nothing more to be done there.
        if error.errno not in _NO_SUCH_CALL:
            raise OSError(error.errno, error.strerror, folder) from error


def _is_what_was_stored(file: HeldFile, seen: os.stat_result) -> bool:
    known = (file.size, file.mtime_ns, file.origin, file.origin_ctime_ns)
    return all(known[1:]) and known == (seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_ctime_ns)


def _remove_empty_folders(source: Path, emptied: set[str], reach: Reach, right: DeletionRight) -> None:
    """Take away the folders that held what was deleted, up to the source itself, where nothing is left in them."""
    try:
        if not source.is_dir() or source.is_symlink():
            return
    except OSError:
        # Its files are gone, and that is what counts.
        return
    top = os.path.realpath(source)
    for folder in tuple(emptied):
        above = os.path.dirname(os.path.normpath(folder))  # noqa: PTH120
        while within(above, top) and above not in emptied:
            emptied.add(above)
            above = os.path.dirname(above)  # noqa: PTH120
    for folder in sorted({os.path.normpath(one) for one in emptied}, key=len, reverse=True):
        at = os.path.realpath(folder)
        if not within(at, top) or at in (*reach.inside, *reach.closed):
            continue
        try:
            if not right.refusal(os.path.dirname(at), os.lstat(at).st_uid):  # noqa: PTH120
                Path(at).rmdir()
        except (OSError, SourceNotFound, SourceUnreadable):
            # Something that was not imported lies in it, and stays.
            continue
