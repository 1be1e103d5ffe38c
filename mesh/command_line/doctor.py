"""What this computer has and lacks, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from ..config import MeshError, Settings, data_folder, load_settings
from ..layout import DataLayout
from ..transport import KeyRing
from .settings_check import check_here

FREE_BYTES = 2 << 30
OPEN_FILES = 1024
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "lustre", "beegfs", "ceph", "glusterfs", "afs")

EXTRAS = (
    ("napari", ("napari", "PyQt6"), "the napari window"),
    ("web", ("starlette", "uvicorn"), "the web pages"),
)


class Finding(NamedTuple):
    """One thing that was looked at; ``mend`` is a command or advice."""

    name: str
    state: Literal["ok", "missing", "absent"]
    detail: str
    mend: str = ""
    required: bool = True


def examine(data: Path | None, config: Path | None = None) -> list[Finding]:
    """Look at everything a mesh needs or can use; nothing is changed."""
    settings = Settings()
    try:
        settings = load_settings(config, data=data).settings
        check_here(settings)
        findings = [Finding("settings", "ok", "every setting is known, within its bounds, and holds here")]
    except MeshError as error:
        findings = [Finding("settings", "missing", str(error), error.hint)]
    folder = data_folder(settings) if data is None else data.absolute()
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _extras,
        lambda: _data(folder),
        lambda: _keys(folder),
        lambda: _shared_memory(settings),
        lambda: _ports(settings),
        _display,
        _gpu,
        _limits,
    )
    for look in looks:
        findings.extend(look())
    return findings


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield Finding(
        "Python",
        "ok" if good else "missing",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "" if good else "install Python 3.11 or newer",
    )


def _packages() -> Iterator[Finding]:
    try:
        distribution = importlib.metadata.distribution("hcs-mesh")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("hcs-mesh", "missing", "not installed, only importable", "pip install .")
        return
    names = [line.partition(";") for line in distribution.requires or [] if "extra ==" not in line]
    absent = []
    for requirement, _, marker in names:
        name = requirement.strip().split(">")[0].split("=")[0].split("[")[0].strip()
        if "win32" in marker and sys.platform == "win32":
            continue
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    yield Finding(
        "packages",
        "missing" if absent else "ok",
        f"not installed: {', '.join(absent)}" if absent else f"hcs-mesh {distribution.version}, {len(names)} packages",
        f"pip install {' '.join(absent)}" if absent else "",
    )


def _extras() -> Iterator[Finding]:
    for extra, modules, what in EXTRAS:
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        yield Finding(
            f"extra {extra}",
            "absent" if absent else "ok",
            f"{what}: {', '.join(absent)} not installed" if absent else what,
            f"pip install 'hcs-mesh[{extra}]'" if absent else "",
            required=False,
        )


def _data(folder: Path) -> Iterator[Finding]:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        yield Finding("data folder", "missing", f"{there} is not a folder", "choose another with --data")
        return
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        yield Finding("data folder", "ok", f"{folder} can be written" if there == folder else f"{folder} can be made")
    except OSError as error:
        mend = f"make {there} writable for this user, or choose another with --data"
        yield Finding("data folder", "missing", f"{there} cannot be written: {error.strerror}", mend)
    kind = _file_system(there)
    yield Finding(
        "file system",
        "missing" if kind in NETWORK else "ok",
        f"{kind or 'unknown'}" + (": journals and locks are not safe there" if kind in NETWORK else ""),
        "choose a data folder on a local disk with --data" if kind in NETWORK else "",
    )
    free = shutil.disk_usage(there).free
    yield Finding(
        "disk",
        "ok" if free >= FREE_BYTES else "missing",
        f"{free / 2**30:.1f} GiB free",
        "" if free >= FREE_BYTES else f"free at least {FREE_BYTES >> 30} GiB, or choose another disk with --data",
    )


def _keys(folder: Path) -> Iterator[Finding]:
    allowed = DataLayout(folder).allowed_keys
    try:
        ring = KeyRing(allowed, lenient=True)
    except MeshError as error:
        yield Finding("keys", "missing", str(error), "let this user read the folder")
        return
    n = len(ring.allowed())
    if not ring.wrong:
        yield Finding("keys", "ok", f"{n} may come in" if n else "none yet: the owner's is made at the first start")
    for wrong in ring.wrong:
        yield Finding("keys", "missing", f"{wrong}; the other {n} hold", wrong.hint)


def _file_system(folder: Path) -> str:
    resolved = folder.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if resolved.is_relative_to(one.mountpoint)]
    return max(mounts, key=lambda one: len(one.mountpoint)).fstype if mounts else ""


def _shared_memory(settings: Settings) -> Iterator[Finding]:
    wanted = settings.streams.ring_slots * settings.streams.slot_bytes
    room = Path("/dev/shm")  # noqa: S108
    where = room if room.is_dir() else Path(tempfile.gettempdir())
    free = shutil.disk_usage(where).free
    good = free >= wanted
    yield Finding(
        "shared memory",
        "ok" if good else "missing",
        f"{free >> 20} MiB free in {where}, the ring takes {wanted >> 20} MiB",
        "" if good else f"mount -o remount,size={(wanted >> 20) + 256}m {where}, or set streams.ring_slots lower",
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    front = settings.front
    if not front.tcp_host:
        yield Finding("ports", "ok", "no TCP is asked for: clients come in over a socket beside the data")
        return
    for port in (front.tcp_port, front.tcp_data_port):
        family = socket.AF_INET6 if ":" in front.tcp_host else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((front.tcp_host, port))
                yield Finding(f"port {port}", "ok", f"free on {front.tcp_host}")
            except OSError as error:
                mend = "choose another with front.tcp_port, or stop what listens there (a mesh that is up does)"
                yield Finding(f"port {port}", "absent", f"{front.tcp_host}: {error.strerror}", mend, required=False)


def _display() -> Iterator[Finding]:
    if sys.platform != "linux":
        return
    screen = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if screen:
        yield Finding("screen", "ok", screen, required=False)
    elif shutil.which("xvfb-run"):
        yield Finding("screen", "ok", "none, but xvfb-run makes one: xvfb-run hcs-mesh view napari", required=False)
    else:
        mend = "apt-get install xvfb, or use hcs-mesh view recorder"
        yield Finding("screen", "absent", "no DISPLAY and no xvfb-run: no napari window here", mend, required=False)


def _gpu() -> Iterator[Finding]:
    card = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    if importlib.util.find_spec("cupy") is None:
        mend = "pip install 'hcs-mesh[gpu]'" if card else ""
        detail = "an NVIDIA driver is here, CuPy is not" if card else "no NVIDIA driver: analysis runs on the CPU"
        yield Finding("GPU", "absent", detail, mend, required=False)
        return
    import cupy

    try:
        n_devices = cupy.cuda.runtime.getDeviceCount()
        yield Finding("GPU", "ok", f"CuPy {cupy.__version__} finds {n_devices} devices", required=False)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        yield Finding("GPU", "absent", f"CuPy finds no device: {error}", "install the NVIDIA driver", required=False)


def _limits() -> Iterator[Finding]:
    if os.name != "posix":
        return
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    good = soft >= OPEN_FILES
    yield Finding(
        "open files",
        "ok" if good else "missing",
        f"{soft} allowed",
        "" if good else f"ulimit -n {OPEN_FILES}",
    )


def print_findings(findings: list[Finding]) -> None:
    """A line for each finding, and below it what mends it."""
    from rich.text import Text

    from .printing import console, row, table

    shown = table("", "what", "found", "mends it")
    signs = {"ok": ("ok", "green"), "missing": ("missing", "red"), "absent": ("optional", "yellow")}
    for one in findings:
        sign, style = signs[one.state]
        row(shown, Text(sign, style=style), one.name, one.detail, one.mend)
    console().print(shown)


def lacking(findings: list[Finding]) -> list[Finding]:
    """What is required and is not there."""
    return [one for one in findings if one.required and one.state == "missing"]
