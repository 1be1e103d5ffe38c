"""The few calls on files that a journal needs, on every platform."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol

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

Work = Callable[[Sequence[Any]], bool]
"""Does the jobs that have gathered, in order; False when there will be no more."""


class Hand(Protocol):
    """Who does a journal's writing, one thing after the other."""

    def put(self, job: Any) -> None:
        """Ask for one more job."""
        ...

    def join(self) -> None:
        """Return once the last job is done."""
        ...


class ThreadHand:
    """A thread that waits for the disk, so that the event loop need not."""

    def __init__(self, name: str, work: Work) -> None:
        """Start it."""
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._work = work
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self.put = self._jobs.put
        self.join = self._thread.join
        self._thread.start()

    def _run(self) -> None:
        running = True
        while running:
            jobs = [self._jobs.get()]
            try:
                while True:
                    jobs.append(self._jobs.get_nowait())
            except Empty:
                pass
            running = self._work(jobs)


class Disk:
    """Where a journal lies; what raises OSError here may do so on any disk."""

    def take(self, folder: Path) -> int:
        """Make the folder, take its lock and return the descriptor that holds it.

        Raises:
            JournalInUse: another journal holds it.
            NetworkFileSystem: it does not lie on a local disk.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        refuse_network_file_system(folder)
        return lock_folder(folder)

    def hand(self, name: str, work: Work) -> Hand:
        """Return a hand that does ``work`` beside the event loop."""
        return ThreadHand(name, work)

    def paths(self, folder: Path) -> list[Path]:
        """Return what lies in a folder."""
        return list(folder.iterdir())

    def read(self, path: Path) -> bytes:
        """Return a file's bytes."""
        return path.read_bytes()

    def open(self, path: Path, *, new: bool = False) -> int:
        """Return a descriptor for reading and writing; ``new`` makes the file, or empties it."""
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
        return os.open(path, flags | os.O_CREAT | os.O_TRUNC if new else flags, 0o600)

    def close(self, descriptor: int) -> None:
        """Let a file, or a folder's lock, go."""
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        """Return how long a file is."""
        return os.fstat(descriptor).st_size

    def allocate(self, descriptor: int, n_bytes: int) -> None:
        """Reserve room for a file's first ``n_bytes``, which read as zeros."""
        allocate(descriptor, n_bytes)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of ``data``; where that fails, part of it may have been written."""
        write_at(descriptor, data, offset)

    def truncate(self, descriptor: int, n_bytes: int) -> None:
        """Cut a file to its first ``n_bytes``."""
        os.ftruncate(descriptor, n_bytes)

    def sync_data(self, descriptor: int) -> None:
        """Return once the file's data is on the disk; where that fails, it is lost or unknown."""
        sync_data(descriptor)

    def sync(self, descriptor: int) -> None:
        """Return once the file's data and size are on the disk."""
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in a folder are on the disk."""
        sync_folder(folder)

    def forget_cached(self, descriptor: int) -> None:
        """Let the next reader see what the disk really holds."""
        forget_cached(descriptor)

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name, in place of what had it."""
        path.replace(to)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        path.unlink()


DISK = Disk()
"""The disk of this machine."""


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
