"""What a folder lies on: its mount, its volume and the disks beneath, as Linux tells them."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .certificate import Device

_MOUNTS = Path("/proc/self/mountinfo")
_BY_UUID = Path("/dev/disk/by-uuid")
_BLOCK_NUMBERS = Path("/sys/dev/block")
_OF_THIS_HOST = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""File systems that answer, or fail."""
_MAX_LINKS = 40
_SERIALS = ("wwid", "device/wwid", "serial", "device/serial")


class Mount(NamedTuple):
    """One line of mountinfo: the device's number as "major:minor", and what is mounted where."""

    number: str
    mount_point: str
    file_system: str
    source: str
    options: str = ""


def device_of(path: Path) -> Device:
    """Say what a folder lies on; other systems than Linux tell its number and host only.

    Raises:
        OSError: there is no such folder.
    """
    # Not ``resolve``, which has an error of its own for links that lead in a circle.
    path = Path(os.path.realpath(path))
    number = path.stat().st_dev
    host = socket.gethostname()
    mount = find_mount(path, number, _read(_MOUNTS))
    if mount is None:
        return Device(host=host, number=number)
    block = f"{os.major(number)}:{os.minor(number)}"
    found = _disks_of_layers(mount) if mount.file_system == "overlay" else _disks(_block_folder(block, mount.source))
    disks = tuple(sorted({_name_of_disk(disk) for disk in found}))
    return Device(
        host=host,
        number=number,
        mount_point=mount.mount_point,
        file_system=mount.file_system,
        volume=_volume(mount),
        disks=disks,
    )


def file_system_of(folder: str, number: int) -> str:
    """What kind of file system a folder lies on, whose device has this number; empty where the system does not say."""
    mount = find_mount(Path(os.path.realpath(folder)), number, _read(_MOUNTS))
    return mount.file_system if mount is not None else ""


def find_mount(path: Path, number: int, text: str) -> Mount | None:
    """The mount that a path lies in: the last one of its device, else the nearest folder above it."""
    block = f"{os.major(number)}:{os.minor(number)}"
    mounts = [mount for mount in _parse(text) if path.is_relative_to(mount.mount_point)]
    same = [mount for mount in mounts if mount.number == block]
    # A btrfs volume has numbers of its own that no line of mountinfo shows.
    return max(same or mounts, key=lambda mount: len(mount.mount_point), default=None)


def mount_above(path: str) -> str:
    """The mount that a path leads to, found without asking any disk that may not answer; the path where none is told.

    Links are followed on this host's own disks alone.
    """
    try:
        kinds = {mount.mount_point: mount.file_system for mount in _parse(_read(_MOUNTS))}
        for _ in range(_MAX_LINKS):
            at, mount, target = "/", "/", ""
            parts = [part for part in os.path.normpath(path).split("/") if part]
            for n, part in enumerate(parts):
                at = os.path.join(at, part)  # noqa: PTH118
                if at in kinds:
                    mount = at
                elif kinds.get(mount) in _OF_THIS_HOST and Path(at).is_symlink():
                    target = str(Path(at).parent.joinpath(Path(at).readlink(), *parts[n + 1 :]))
                    break
            if not target:
                return mount if kinds else path
            path = target
    except (OSError, ValueError):
        pass
    return path


def _parse(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        first, last = before.split(" "), after.split(" ")
        if len(first) >= 5 and len(last) >= 2:
            options = last[2] if len(last) > 2 else ""
            yield Mount(first[2], _unescaped(first[4]), last[0], _unescaped(last[1]), options)


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _volume(mount: Mount) -> str:
    """What the volume is called wherever and whenever it is mounted; empty for one that lives in memory."""
    if mount.source.startswith("/dev/"):
        device = os.path.realpath(mount.source)
        for name in _listed(_BY_UUID):
            if os.path.realpath(_BY_UUID / name) == device:
                return f"UUID={name}"
        return ""
    if mount.file_system == "zfs":
        # Its disks are not told to Linux, and are one set for the whole pool.
        return f"zfs {mount.source.partition('/')[0]}"
    # A network drive: server:/path or //server/share.
    return mount.source if ":/" in mount.source or mount.source.startswith("//") else ""


def _block_folder(block: str, source: str) -> Path:
    folder = _BLOCK_NUMBERS / block
    if not folder.exists() and source.startswith("/dev/"):
        folder = Path("/sys/class/block") / Path(os.path.realpath(source)).name
    return folder


def _disks_of_layers(mount: Mount) -> Iterator[Path]:
    """The disks beneath the layers of an overlay, where their folders can be seen from here; else none."""
    options = dict(option.partition("=")[::2] for option in mount.options.split(","))
    layers = [options.get("upperdir", ""), *options.get("lowerdir", "").split(":")]
    seen = [list(_disks_beneath(Path(_unescaped(layer)))) for layer in layers if layer]
    if all(seen):
        yield from (disk for disks in seen for disk in disks)


def _disks_beneath(path: Path) -> Iterator[Path]:
    """The disks that a file or folder lies on; none where that is not told."""
    try:
        number = path.stat().st_dev
    except OSError:
        return
    mount = find_mount(path.resolve(), number, _read(_MOUNTS))
    if mount is not None and mount.file_system != "overlay":
        yield from _disks(_block_folder(f"{os.major(number)}:{os.minor(number)}", mount.source))


def _disks(folder: Path) -> Iterator[Path]:
    """The whole disks beneath a block device: its own, or those of the volumes or the file it was put together from."""
    if not folder.exists():
        return
    folder = folder.resolve()
    below = _listed(folder / "slaves")
    if (folder / "loop").exists():
        yield from _disks_beneath(Path(_read(folder / "loop" / "backing_file").strip()))
    elif below:
        for name in below:
            yield from _disks(folder / "slaves" / name)
    elif (folder / "partition").exists():
        yield from _disks(folder.parent)
    else:
        yield folder


def _name_of_disk(folder: Path) -> str:
    for name in _SERIALS:
        serial = _read(folder / name).strip()
        if serial:
            return serial
    return folder.name


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are what is wanted
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
