"""The few calls on files that a journal needs, on every platform."""

import errno
import os
import sys
from pathlib import Path

from .errors import JournalInUse, NetworkFileSystem

# fmt: off
NETWORK_FILE_SYSTEMS = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "gpfs", "beegfs", "pvfs2",
    "orangefs", "ncpfs", "davfs", "coda", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.s3fs",
    "fuse.rclone", "fuse.gcsfuse", "fuse.davfs2", "fuse.juicefs", "fuse.smbnetfs", "fuse.curlftpfs", "fuse.mfs",
    "fuse.goofys", "fuse.blobfuse2", "fuse.vmhgfs-fuse",
))
# fmt: on
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def file_system_of(path: str, mountinfo: str) -> tuple[str, str]:
    """Return mount point and type of the file system that holds an absolute path, from /proc/self/mountinfo's text."""
    best = ("", "")
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        if not separator:
            continue
        mount_point = left.split(" ")[4].encode().decode("unicode_escape")  # blanks are written \040
        inside = mount_point == "/" or path == mount_point or path.startswith(mount_point + "/")
        # Later lines are mounted over earlier ones, hence >=.
        if inside and len(mount_point) >= len(best[0]):
            best = (mount_point, right.split(" ")[0])
    return best


def refuse_network_file_system(folder: Path) -> None:
    """Check that a folder lies on a local file system.

    Raises:
        NetworkFileSystem: it does not.
    """
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return
    mount_point, kind = file_system_of(str(folder.resolve()), mounts.read_text())
    if kind in NETWORK_FILE_SYSTEMS:
        raise NetworkFileSystem(
            f"the journal folder {folder} lies on a network file system ({kind} at {mount_point})",
            hint="Name a data folder on a local disk (--data DIR or HCS_MESH_DATA).",
        )


def lock_folder(folder: Path) -> int:
    """Take the folder's lock and return the descriptor that holds it; the lock ends with the process.

    Raises:
        JournalInUse: another journal holds it.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _lock(descriptor)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() if hasattr(os, "pread") else ""
        os.close(descriptor)
        raise JournalInUse(
            f"the journal {folder} is in use by process {owner or 'unknown'}",
            hint="One process writes a journal: stop that one first.",
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``.

    Raises:
        OSError: the system refused; part of it may have been written.
    """
    if sys.platform == "win32":
        os.lseek(descriptor, offset, os.SEEK_SET)
        n_written = os.write(descriptor, data)
    else:
        n_written = os.pwrite(descriptor, data, offset)
    if n_written < len(data):
        write_at(descriptor, data[n_written:], offset + n_written)


def sync_data(descriptor: int) -> None:
    """Return once the file's data is on the disk.

    Raises:
        OSError: the disk failed; whatever was unsynced is lost or unknown.
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone leaves it in the drive's cache there
    elif sys.platform == "win32":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder are on the disk.

    Raises:
        OSError: the disk failed.
    """
    if sys.platform == "win32":
        return  # folders cannot be opened there; NTFS journals its names
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allocate(descriptor: int, n_bytes: int) -> None:
    """Reserve room for a file's first ``n_bytes``, which read as zeros.

    Raises:
        OSError: there is not enough room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
    else:
        os.ftruncate(descriptor, n_bytes)


def forget_cached(descriptor: int) -> None:
    """Drop a file's cached pages, so that the next reader sees what the disk really holds."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte apart, so that the owner's id stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
