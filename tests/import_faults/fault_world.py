"""The disks around the import branch: a source that is written to, a data folder that fills, and their mounts."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import tifffile

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNS, _BIND, _DETACH = 0x20000, 4096, 2
_PRIVATE_ALL = (1 << 18) | (1 << 14)

DATA_BYTES = 24 << 20
SIDE_PX = 64


def own_mounts() -> None:
    """Have mounts that nobody else sees, and that go with this process."""
    _check(_LIBC.unshare(_NEWNS), "unshare")
    _check(_LIBC.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE_ALL), None), "/")


def mount_memory(folder: Path, n_bytes: int) -> None:
    """Mount a file system of so many bytes."""
    folder.mkdir(exist_ok=True)
    _check(_LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), f"size={n_bytes}".encode()), folder)


def unmount(folder: Path) -> None:
    """Take a mount away, whoever uses it."""
    _check(_LIBC.umount2(os.fsencode(folder), _DETACH), folder)


def _check(result: int, what: object) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(what))


def _image() -> bytes:
    file = io.BytesIO()
    plane = np.arange(SIDE_PX * SIDE_PX, dtype=np.uint16).reshape(SIDE_PX, SIDE_PX)
    tifffile.imwrite(file, plane, metadata=None)
    return file.getvalue()


IMAGE = _image()


class FaultWorld:
    """The source and the data folder of one schedule; the source is reached beside its mount too."""

    def __init__(self, base: Path, name: str, sizes: tuple[int, ...], chance: random.Random) -> None:
        self.chance = chance
        self.data = base / "data"
        self.scope = base / "scope"
        self.plate = self.scope / "plate"
        self._disk = base / "acquisition" / name
        self.source = self._disk / "plate"
        self._spare = self._disk / "spare"
        self._ballast = self.data / "ballast"
        self.source.mkdir(parents=True)
        self.scope.mkdir(exist_ok=True)
        self.mounted = False
        self.contents: dict[str, bytes] = {}
        self.versions: dict[str, set[str]] = {}
        self._times: dict[str, int] = {}
        for n, size in enumerate(sizes):
            path = f"{'ABCDEF'[n]}01_w1.tif"
            (self.source / path).write_bytes(data := IMAGE + chance.randbytes(size - len(IMAGE)))
            self._noted(path, data)
        mount_memory(self.data, DATA_BYTES)
        self.mount()

    @property
    def n_bytes(self) -> int:
        """The size of the source."""
        return sum(map(len, self.contents.values()))

    def _noted(self, path: str, data: bytes) -> None:
        self.contents[path] = data
        self.versions.setdefault(path, set()).add(hashlib.sha1(data, usedforsecurity=False).hexdigest())
        self._times[path] = (self.source / path).stat().st_mtime_ns

    # -- the mount of the source --------------------------------------------------------------------

    def mount(self) -> None:
        """Have the source where its users look for it."""
        if not self.mounted:
            arguments = (os.fsencode(self._disk), os.fsencode(self.scope), None, ctypes.c_ulong(_BIND), None)
            _check(_LIBC.mount(*arguments), self.scope)
            self.mounted = True

    def unmount(self) -> None:
        """Have an empty folder in its place."""
        if self.mounted:
            unmount(self.scope)
            self.mounted = False

    # -- what somebody does to the source -------------------------------------------------------------

    def replace(self, chance: random.Random) -> None:
        """Put another file in the place of one."""
        path = chance.choice(sorted(self.contents))
        size = max(len(self.contents[path]) + chance.choice((0, 0, 17, -17)), len(IMAGE))
        self._spare.write_bytes(data := IMAGE + chance.randbytes(size - len(IMAGE)))
        if chance.random() < 0.5:
            os.utime(self._spare, ns=(self._times[path], self._times[path]))
        self._spare.replace(self.source / path)
        self._noted(path, data)

    def truncate(self, chance: random.Random) -> None:
        """Cut a file short, in the image or behind it."""
        path = chance.choice([path for path, data in sorted(self.contents.items()) if data] or sorted(self.contents))
        size = chance.randrange(max(1, len(self.contents[path])))
        os.truncate(self.source / path, size)
        self._noted(path, self.contents[path][:size])

    def overwrite(self, chance: random.Random) -> None:
        """Write into a file, and perhaps put its time back."""
        path = max(self.contents, key=lambda one: len(self.contents[one]))
        if chance.random() < 0.3:
            path = chance.choice(sorted(self.contents))
        data = bytearray(self.contents[path])
        before = self._times[path]
        descriptor = os.open(self.source / path, os.O_WRONLY)
        # At several places: who reads on between two of them has neither version.
        for _ in range(chance.randrange(1, 5)):
            offset = chance.randrange(len(data) + 1)
            new = chance.randbytes(chance.randrange(1, 5_000))[: max(len(data) - offset, 1)]
            data[offset : offset + len(new)] = new
            os.pwrite(descriptor, new, offset)
        os.close(descriptor)
        if chance.random() < 0.6:
            os.utime(self.source / path, ns=(before, before))
        self._noted(path, bytes(data))

    def changed(self, *, held: bool) -> list[str]:
        """What is not as the faults left it: the source is nobody else's to touch; ``held`` files have a link more."""
        there = {one.name: one for one in self.source.iterdir()}
        wrong = [f"{name} appeared in the source" for name in there.keys() - self.contents.keys()]
        for path, data in self.contents.items():
            if path not in there:
                wrong.append(f"{path} is gone from the source")
            elif there[path].read_bytes() != data:
                wrong.append(f"{path} has other bytes in the source")
            elif (seen := there[path].stat()).st_mtime_ns != self._times[path]:
                wrong.append(f"{path} has another time in the source")
            elif seen.st_nlink != 1 and not held:
                wrong.append(f"{path} has {seen.st_nlink} links, and nothing holds it any more")
        return wrong

    def held(self) -> list[str]:
        """What still lies in staging folders, as "import/file"."""
        staging = self._disk / ".hcs-mesh-held"
        return [
            f"{import_folder.name}/{file.relative_to(import_folder)}"
            for mine in (staging.iterdir() if staging.exists() else ())
            for import_folder in mine.iterdir()
            for file in import_folder.rglob("*")
        ]

    def held_folders(self) -> set[str]:
        """The imports that still have a staging folder."""
        staging = self._disk / ".hcs-mesh-held"
        homes = staging.iterdir() if staging.exists() else ()
        return {one.name for mine in homes for one in mine.iterdir() if one.is_dir()}

    # -- what befalls the repository's disk -----------------------------------------------------------

    def fill(self, chance: random.Random) -> None:
        """Take the room of the data folder's disk, or all but a little."""
        leave = chance.choice((0, 0, 4096, chance.randrange(1 << 21)))
        space = os.statvfs(self.data)
        n_bytes = max(0, space.f_bavail * space.f_frsize - leave)
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            os.posix_fallocate(descriptor, 0, max(1, n_bytes))
        os.close(descriptor)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def corrupt(self, chance: random.Random) -> tuple[str, str] | None:
        """Flip a bit of what is stored, as a disk does: no time tells; which import and file, if there is any."""
        folder = self.data / "repository" / "imports"
        stored = sorted(one for one in folder.glob("*/files/**/*") if one.is_file() and one.stat().st_size)
        if not stored:
            return None
        file = chance.choice(stored)
        seen = file.stat()
        descriptor = os.open(file, os.O_RDWR)
        offset = chance.randrange(seen.st_size)
        os.pwrite(descriptor, bytes([os.pread(descriptor, 1, offset)[0] ^ (1 << chance.randrange(8))]), offset)
        os.close(descriptor)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        parts = file.relative_to(folder).parts
        return parts[0], "/".join(parts[2:]).removesuffix(".part")

    def lose_power(self, chance: random.Random) -> None:
        """Take away what nobody had asked the disk to keep: of a file in transit any part may be there."""
        for file in sorted(self.data.glob("repository/imports/*/files/**/*.part")):
            size = file.stat().st_size
            begin, end = sorted((chance.randrange(size + 1), chance.randrange(size + 1)))
            match chance.choice(("kept", "cut", "zeros")):
                case "cut":
                    os.truncate(file, end)
                case "zeros":
                    descriptor = os.open(file, os.O_WRONLY)
                    os.pwrite(descriptor, bytes(end - begin), begin)
                    os.close(descriptor)

    def close(self) -> None:
        """Take the disks away."""
        self.unmount()
        unmount(self.data)
        # They are in memory, and thousands are to come.
        shutil.rmtree(self._disk)
