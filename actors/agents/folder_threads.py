"""The threads of an agent, a few for each folder that it serves: one whose disk hangs keeps none that others need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ...plates.served_folders import ServedFolders
from ..imports.looks import AT_ONCE, SourceLooks
from ..threads import Threads

T = TypeVar("T")


class FolderThreads:
    """Has blocking work done in the folders, so much at a time in each."""

    def __init__(self, folders: ServedFolders, silent_s: float) -> None:
        """Hold a folder for silent whose disk does not answer for ``silent_s``."""
        self._folders = folders
        self._looks = SourceLooks(silent_s, mount_of=folders.named_in)
        self._readers: dict[str, Threads] = {}

    async def look(self, path: str, work: Callable[[], T], *, group: str = "", reads: bool = False) -> T:
        """Call ``work`` in the folder that a path leads into; in a ``group`` it is never left behind.

        What ``reads`` whole files keeps no look waiting.

        Raises:
            NotServed: the path leads nowhere.
            SourceSilent: the folder's disk does not answer.
        """
        return await self._looks.run(str(self._folders.path_of(path)), work, group=group, reads=reads)

    async def read(self, root: str, work: Callable[[], T]) -> T:
        """Call ``work`` with a file below a root that is open; it is never left behind, nor told to be silent.

        Another read would find the file where this one is. So its threads can be kept: to make one for each chunk takes
        longer than to hand the chunk over.
        """
        folder = self._folders.named_in(root)
        if folder not in self._readers:
            self._readers[folder] = Threads("serve", n_threads=AT_ONCE)
        return await self._readers[folder].run(work)

    async def close(self) -> None:
        """Wait for all but the looks."""
        await self._looks.close()
        await asyncio.gather(*(readers.finish() for readers in self._readers.values()))
