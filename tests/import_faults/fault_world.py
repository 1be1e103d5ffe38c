"""The disks around the import branch: a source that is written to, a data folder that fills, and their mounts."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path

from fault_source import FaultSource, sha1

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNS, _BIND, _DETACH = 0x20000, 4096, 2
_PRIVATE_ALL = (1 << 18) | (1 << 14)

DATA_BYTES = 24 << 20
SENTINEL = ".mounted"


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


class FaultWorld:
    """The source and the data folder of one schedule; the source is reached beside its mount too."""

    def __init__(self, base: Path, name: str, sizes: tuple[int, ...], chance: random.Random) -> None:
        self.chance = chance
        self.data = base / "data"
        self.scope = base / "scope"
        self._disk = base / "acquisition" / name
        self._ballast = self.data / "ballast"
        self.source = FaultSource(self._disk / "plate", self._disk / ".spare", sizes, chance)
        self.sources = {str(self.scope / "plate"): self.source}
        """The plates, by the path under which they are imported."""
        self.scope.mkdir(exist_ok=True)
        self.mounted = False
        mount_memory(self.data, DATA_BYTES)
        self.mount()

    def place_sentinel(self) -> None:
        """Have a file beside the plates that is there whenever they are."""
        (self._disk / SENTINEL).touch()

    def bring_second(self) -> None:
        """Have another plate appear, all at once."""
        sizes = tuple(self.chance.randrange(9_000, 40_000) for _ in range(2))
        made = FaultSource(self._disk / ".coming", self._disk / ".spare", sizes, self.chance)
        made.folder = made.folder.rename(self._disk / "second")
        self.sources[str(self.scope / "second")] = made

    def checksums(self) -> dict[tuple[str, str], str]:
        """What lies at each source, by source and file."""
        found = {}
        for source, plate in self.sources.items():
            there = plate.contents.keys() - plate.missing()
            found |= {(source, path): sha1(plate.contents[path]) for path in there}
        return found

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

    # -- what is kept of the source -------------------------------------------------------------------

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
        found = (one for one in folder.glob("*/files/**/*") if one.is_file() and not one.is_symlink())
        stored = sorted(one for one in found if one.stat().st_size)
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
