"""The folder of a host's rings: private to its user, and swept of what dead owners left."""

import errno
import mmap
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from .errors import RingError

SUFFIX = ".planes"
HUGE_PAGE_BYTES = 2 << 20
MADV_COLLAPSE = 25  # of Linux 6.1; the standard library does not name it
N_ATTEMPTS = 8
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG})


def default_folder() -> Path:
    """Return where rings lie unless told otherwise: in memory where the system offers that."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder below it is checked to be ours alone
    base = memory if memory.is_dir() else Path(tempfile.gettempdir())
    return base / f"hcs-mesh-{os.getuid() if sys.platform != 'win32' else 'user'}"


def private_folder(folder: Path) -> Path:
    """Make the folder if need be, and return it once it is known to be ours alone.

    Raises:
        RingError: it belongs to somebody else, or is no folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RingError(f"cannot use {folder} for planes: {error}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise RingError(f"{folder} is not a folder", hint="Remove it, or name another folder for the planes.")
    if sys.platform != "win32" and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise RingError(
            f"{folder} can be written by others (owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o})",
            hint="Remove it, or name another folder for the planes.",
        )
    return folder


def create_locked(folder: Path) -> tuple[Path, int]:
    """Make a new ring file that is locked from its first moment on; returns path and descriptor.

    Raises:
        OSError: the file cannot be made.
    """
    with _folder_lock(folder):
        path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        _try_lock(descriptor)
    return path, descriptor


def sweep(folder: Path) -> list[str]:
    """Remove ring files whose owners are dead (their locks are gone); returns their names."""
    removed = []
    with _folder_lock(folder):
        for path in folder.glob(f"*{SUFFIX}"):
            # Another mesh may tidy the same folder: what it removed first is removed.
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    dead = _try_lock(descriptor)
                finally:
                    os.close(descriptor)
                if dead:
                    path.unlink()
                    removed.append(path.name)
    return removed


def allocate(descriptor: int, n_bytes: int, folder: Path) -> None:
    """Take all of a file's room now: a sparse file on a full memory disk is a SIGBUS later.

    Raises:
        RingError: there is not enough room.
    """
    try:
        if sys.platform == "win32":
            os.ftruncate(descriptor, n_bytes)
            return
        room = os.statvfs(folder)
        if room.f_blocks and room.f_bavail * room.f_frsize < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, n_bytes)
        else:
            os.ftruncate(descriptor, n_bytes)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = os.statvfs(folder)
        raise RingError(
            f"a ring of {n_bytes / 2**20:.0f} MiB does not fit {folder}: "
            f"{free.f_bavail * free.f_frsize / 2**20:.0f} MiB are free",
            hint="Lower the ring's slot_bytes or n_slots, or give the memory disk more room "
            "(mount -o remount,size=... /dev/shm; docker run --shm-size=...).",
        ) from error


def map_file(descriptor: int, n_bytes: int, *, writable: bool) -> mmap.mmap:
    """Map a whole file, its page table filled at once so that no copy pays for page faults.

    In huge pages where Linux has them to give: a copy into them is 5 to 10 % faster, and as fast as one to the heap.
    """
    if sys.platform == "win32":
        return mmap.mmap(descriptor, n_bytes, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    if sys.platform != "linux" or n_bytes < HUGE_PAGE_BYTES:
        return mmap.mmap(descriptor, n_bytes, flags, protection)
    with _huge_page_border(descriptor, n_bytes, protection):
        if not writable:
            # The owner's huge pages are in the file, and are mapped as such.
            return mmap.mmap(descriptor, n_bytes, flags, protection)
        # Empty at first: small pages would be filled, and then copied.
        memory = mmap.mmap(descriptor, n_bytes, mmap.MAP_SHARED, protection)
        try:
            # Asked for by name, since a memory disk gives none by itself.
            memory.madvise(MADV_COLLAPSE)
        except OSError:
            # An older kernel, another file system, or a memory all in small pieces: it works without.
            memory.close()
            return mmap.mmap(descriptor, n_bytes, flags, protection)
        return memory


@contextmanager
def _huge_page_border(descriptor: int, n_bytes: int, protection: int) -> Iterator[None]:
    """See to it that the next mapping begins at the border of a huge page: an address cannot be asked for here.

    Mappings are laid below each other, so one of what stands over the border moves the next one onto it. Where
    another thread takes the place, the file is mapped as it comes, which is slower and no less right.
    """
    with ExitStack() as fillers:
        for _ in range(N_ATTEMPTS):
            with mmap.mmap(descriptor, n_bytes, mmap.MAP_SHARED, protection) as trial:
                over = np.frombuffer(trial, np.uint8, 1).ctypes.data % HUGE_PAGE_BYTES
            if not over:
                break
            fillers.enter_context(mmap.mmap(-1, over))
        yield


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Keep others from sweeping a file between its making and its locking."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False  # an open file cannot be removed there anyway
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
