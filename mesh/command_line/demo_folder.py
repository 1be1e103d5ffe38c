"""The folder of a demo: made anew each time, and never in the place of somebody's data."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from .background import stop_mesh
from .errors import CommandFailed

MARK = "made-by-hcs-mesh-demo"


class DemoFolder:
    """Where a demo keeps its plate, its mesh, its recording and its report."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; :meth:`renew` makes it."""
        self.folder = folder
        self.plate = folder / "plate"
        self.mesh = folder / "mesh"
        self.recording = folder / "recording"
        self.report = folder / "report"
        self.pipeline = folder / "translocation.py"

    def renew(self) -> None:
        """Remove what an earlier demo left, its mesh too, and begin with an empty folder.

        Raises:
            CommandFailed: the folder holds something that no demo made.
            OSError: it cannot be written.
        """
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            if not (self.folder / MARK).is_file():
                raise CommandFailed(
                    f"{self.folder} holds something that no demo made, and is left as it is",
                    hint="choose another folder: hcs-mesh demo --data DIR",
                )
            asyncio.run(stop_mesh(self.mesh, timeout_s=30.0))
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARK).write_text("hcs-mesh demo replaces this folder the next time it runs.\n", encoding="utf-8")
