"""A plate at its microscope: its files, who changes them, and what they have been."""

from __future__ import annotations

import hashlib
import io
import os
import random
from pathlib import Path

import numpy as np
import tifffile

SIDE_PX = 64


def _image() -> bytes:
    file = io.BytesIO()
    plane = np.arange(SIDE_PX * SIDE_PX, dtype=np.uint16).reshape(SIDE_PX, SIDE_PX)
    tifffile.imwrite(file, plane, metadata=None)
    return file.getvalue()


IMAGE = _image()


def sha1(data: bytes) -> str:
    """The checksum that an import has of these bytes."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


class FaultSource:
    """One plate: what the faults made of each file, and every whole version that it ever had."""

    def __init__(self, folder: Path, spare: Path, sizes: tuple[int, ...], chance: random.Random) -> None:
        """Make its files in ``folder``; ``spare`` is a place beside it on the same disk."""
        self.folder = folder
        self._spare = spare
        self.contents: dict[str, bytes] = {}
        self.versions: dict[str, set[str]] = {}
        self.n_changes = 0
        """How often a name or a size became another one, which whoever watches may take note of."""
        self.changes: list[str] = []
        """The files that were changed, in their order."""
        self._times: dict[str, int] = {}
        folder.mkdir(parents=True)
        for n, size in enumerate(sizes):
            path = f"{'ABCDEF'[n]}01_w1.tif"
            (folder / path).write_bytes(data := IMAGE + chance.randbytes(size - len(IMAGE)))
            self._noted(path, data)
        self.changes.clear()

    @property
    def n_bytes(self) -> int:
        """The size of all files."""
        return sum(map(len, self.contents.values()))

    def missing(self) -> set[str]:
        """The files that are not there."""
        return {path for path in self.contents if not (self.folder / path).exists()}

    def _there(self) -> list[str]:
        return sorted(self.contents.keys() - self.missing())

    def _noted(self, path: str, data: bytes) -> None:
        self.n_changes += len(data) != len(self.contents.get(path, data))
        self.contents[path] = data
        self.versions.setdefault(path, set()).add(sha1(data))
        self._times[path] = (self.folder / path).stat().st_mtime_ns
        self.changes.append(path)

    # -- what somebody does to it: False where there is nothing any more to which it could be done ----------

    def replace(self, chance: random.Random) -> bool:
        """Put another file in the place of one."""
        if not (there := self._there()):
            return False
        path = chance.choice(there)
        size = max(len(self.contents[path]) + chance.choice((0, 0, 17, -17)), len(IMAGE))
        self._spare.write_bytes(data := IMAGE + chance.randbytes(size - len(IMAGE)))
        if chance.random() < 0.5:
            os.utime(self._spare, ns=(self._times[path], self._times[path]))
        self._spare.replace(self.folder / path)
        self._noted(path, data)
        return True

    def truncate(self, chance: random.Random) -> bool:
        """Cut a file short, in the image or behind it."""
        if not (there := self._there()):
            return False
        path = chance.choice([path for path in there if self.contents[path]] or there)
        size = chance.randrange(max(1, len(self.contents[path])))
        os.truncate(self.folder / path, size)
        self._noted(path, self.contents[path][:size])
        return True

    def overwrite(self, chance: random.Random) -> bool:
        """Write into a file, and perhaps put its time back."""
        if not (there := self._there()):
            return False
        path = max(there, key=lambda one: len(self.contents[one]))
        if chance.random() < 0.3:
            path = chance.choice(there)
        data = bytearray(self.contents[path])
        before = self._times[path]
        descriptor = os.open(self.folder / path, os.O_WRONLY)
        # At several places: who reads on between two of them has neither version.
        for _ in range(chance.randrange(1, 5)):
            offset = chance.randrange(len(data) + 1)
            new = chance.randbytes(chance.randrange(1, 5_000))[: max(len(data) - offset, 1)]
            data[offset : offset + len(new)] = new
            os.pwrite(descriptor, new, offset)
        os.close(descriptor)
        if chance.random() < 0.6:
            os.utime(self.folder / path, ns=(before, before))
        self._noted(path, bytes(data))
        return True

    def append(self, chance: random.Random) -> bool:
        """Write behind the end of a file, as who has only paused."""
        if not (there := self._there()):
            return False
        path, more = chance.choice(there), chance.randbytes(chance.randrange(1, 2_000))
        descriptor = os.open(self.folder / path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, more)
        os.close(descriptor)
        self._noted(path, self.contents[path] + more)
        return True

    def touch(self, chance: random.Random) -> bool:
        """Give everything another time and another mode, and leave every byte as it is."""
        for path in (there := self._there()):
            os.utime(self.folder / path)
            (self.folder / path).chmod(chance.choice((0o600, 0o640, 0o755)))
            self._times[path] = (self.folder / path).stat().st_mtime_ns
        os.utime(self.folder)
        return bool(there)

    # -- what is to be seen of it -----------------------------------------------------------------------------

    def changed(self, *, held: bool, may_be_gone: set[str]) -> list[str]:
        """What is not as the faults left it: the source is nobody else's to touch; ``held`` files have a link more.

        Only what has one of the checksums in ``may_be_gone`` may have been deleted.
        """
        there = {one.name: one for one in self.folder.iterdir()} if self.folder.exists() else {}
        wrong = [f"{name} appeared in the source" for name in there.keys() - self.contents.keys()]
        for path, data in self.contents.items():
            if path not in there:
                if sha1(data) not in may_be_gone:
                    wrong.append(f"{path} is gone from the source")
            elif there[path].read_bytes() != data:
                wrong.append(f"{path} has other bytes in the source")
            elif (seen := there[path].stat()).st_mtime_ns != self._times[path]:
                wrong.append(f"{path} has another time in the source")
            elif seen.st_nlink != 1 and not held:
                wrong.append(f"{path} has {seen.st_nlink} links, and nothing holds it any more")
        return wrong
