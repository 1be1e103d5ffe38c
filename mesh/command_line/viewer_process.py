"""A viewer started as a process of its own, which outlives this command and the mesh."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from ..layout import DataLayout
from .background import PACKAGE, spawn
from .errors import CommandFailed
from .reaching import client_of, elsewhere

ATTACH_S = 60.0
SETTLED_S = 2.0
"""A viewer of a mesh elsewhere, or by a key of somebody's own, that lives so long has dialled."""
LOOK_EVERY_S = 0.1

Viewer = Literal["napari", "recorder"]


async def open_viewer(
    viewer: Viewer,
    data: Path,
    key: Path | None = None,
    *,
    job: str = "",
    plate: int = 0,
    out: Path | None = None,
    once: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a viewer, by the owner's key where none is given, and return its process once the mesh knows it.

    Raises:
        CommandFailed: it cannot be opened here, or ended at once, with its own words.
        NodeMissing: no mesh is up there.
    """
    if viewer == "napari":
        _check_napari()
    there = elsewhere()
    command = [sys.executable, "-P", "-m", f"{PACKAGE}.viewers.{viewer}", *_where(data, key)]
    command += ["--job", job] if job else []
    command += ["--plate", str(plate)] if plate else []
    if viewer == "recorder":
        command += ["--out", str((out or Path(f"{job or 'mesh'}-recording")).absolute())]
        command += ["--once"] if once else []
    output = DataLayout(data).logs / f"{viewer}.out"
    async with client_of(data, key) as mesh:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as file:
            process = spawn(command, file)
        until = time.monotonic() + ATTACH_S
        while time.monotonic() < until:
            if process.poll() is not None:
                if process.returncode == 0:
                    return process
                words = output.read_text(errors="replace").strip().splitlines()[-2:] or ["without a word"]
                raise CommandFailed(
                    f"{viewer} ended at once: {words[0]}", hint="\n".join([*words[1:], f"see {output}"])
                )
            may_list = there is None and key is None
            if not may_list and time.monotonic() > until - ATTACH_S + SETTLED_S:
                # A viewer's key may not list viewers, and a process id means nothing on another host.
                return process
            if may_list and any(one.pid == process.pid for one in await mesh.viewers()):
                return process
            # Deliberate: a window takes seconds to open, and says so only to the mesh.
            await asyncio.sleep(LOOK_EVERY_S)
    process.terminate()
    raise CommandFailed(f"{viewer} did not attach within {ATTACH_S:g} s and was ended", hint=f"see {output}")


def _where(data: Path, key: Path | None) -> list[str]:
    there = elsewhere()
    if there is not None:
        return ["--mesh", there.card.address, "--mesh-key", there.card.public, "--key", str(there.key.absolute())]
    return ["--data", str(data), *(["--key", str(key.absolute())] if key is not None else [])]


def _check_napari() -> None:
    if importlib.util.find_spec("napari") is None:
        raise CommandFailed("napari is not installed", hint="pip install 'hcs-mesh[napari]'")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise CommandFailed(
            "there is no display to open a napari window on",
            hint="run it where a screen is, or use xvfb-run, or hcs-mesh view recorder, which needs none",
        )
