"""One process writes to a repository: a lock that the operating system drops when the process dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import RepositoryInUse, repository_errors

if sys.platform != "win32":
    import fcntl
else:
    import msvcrt


class WriterLock:
    """Held from its making to its closing, or to the death of the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RepositoryInUse: another process holds it.
            RepositoryNotWritable, RepositoryFailed: the file cannot be opened.
        """
        with repository_errors(path):
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _lock(self._descriptor)
        except (BlockingIOError, PermissionError) as error:
            self.close()
            raise RepositoryInUse(
                f"Another process writes to the repository {path.parent}.",
                hint="Ask the mesh that runs there ('hcs-mesh status'), stop it, or choose another folder with --data.",
            ) from error

    def close(self) -> None:
        """Let the lock go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
