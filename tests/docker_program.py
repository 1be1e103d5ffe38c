"""A docker program on the PATH of a test, and what became of what was asked of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from free_ports import free_port

__all__ = ["DockerProgram", "free_port"]

SCRIPT = Path(__file__).resolve().parent / "fake_docker.py"


class DockerProgram:
    """The fake docker of one test."""

    def __init__(self, folder: Path) -> None:
        """Make the program ``docker`` in ``folder/bin``."""
        self.home = folder / "docker"
        self.bin = folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        program = self.bin / "docker"
        program.write_text(f'#!/bin/sh\nFAKE_DOCKER="{self.home}" exec "{sys.executable}" "{SCRIPT}" "$@"\n')
        program.chmod(0o755)

    @property
    def path(self) -> str:
        """The PATH on which it is found first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def set_up(self, **setup: Any) -> None:
        """Say how it behaves from now on, see fake_docker.py."""
        # Whole at every moment: a docker may just be asked for something.
        new = self.home / "setup.json.new"
        new.write_text(json.dumps(setup))
        new.replace(self.home / "setup.json")

    @property
    def calls(self) -> list[list[str]]:
        """Every call, as words."""
        file = self.home / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def commands(self) -> list[str]:
        """The commands of compose that were given, in their order."""
        return [next(word for word in words if word in ("up", "ps", "logs", "exec", "down")) for words in self.calls]

    @property
    def held(self) -> int:
        """The process of the call that waits at the door, or 0."""
        file = self.home / "held"
        return int(file.read_text()) if file.exists() else 0

    @property
    def is_at_the_door(self) -> bool:
        """Whether that process still runs."""
        return _runs(self.held)

    def release(self) -> None:
        """Let it go on."""
        (self.home / "release").touch()

    @property
    def pids(self) -> list[int]:
        """The processes of containers that run."""
        found = [json.loads(file.read_text()) for file in self.home.glob("hcs-mesh-omero-*.json")]
        pids = [one["pid"] for containers in found for one in containers.values() if one["pid"]]
        return [pid for pid in pids if _runs(pid)]

    @property
    def volumes(self) -> list[Path]:
        """What its containers have kept."""
        return sorted(self.home.glob("*_omero"))

    def close(self) -> None:
        """End what a test has left behind."""
        for pid in [*self.pids, *([self.held] if self.is_at_the_door else [])]:
            os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return pid > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
