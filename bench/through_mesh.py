"""A whole import through a mesh of its own: how long each of its phases lasts, and what memory the hub holds."""

import asyncio
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hcs_mesh import Client
from hcs_mesh.messages.imports import ImportStatus, PhaseEntry

SETTINGS = """
[devices]
cpu_slots = 0
gpu = "off"

[log]
level = "warning"

[imports]
settle_s = 0.1
certify_same_disk = true
"""
"""Nothing computes beside it, no time is spent on watching whether the source still grows, and there is a certificate
though source and repository share a disk; all else is as it comes, the guest too."""

FLAT_OUT = "[guest]\nback_off = false\n"
"""For what is compared with others that have just written to the same disk: an import is measured, and not how it makes
way for them."""

LOOK_EVERY_S = 0.02


class Taken(NamedTuple):
    """One import: seconds from the order to its end, seconds in each phase, and the most memory the hub held."""

    whole_s: float
    phases: dict[str, float]
    anonymous_mib: float

    def __str__(self) -> str:
        """Its phases in words, those of a hundredth of a second and more."""
        return ", ".join(f"{phase} {took:.2f} s" for phase, took in self.phases.items() if took >= 0.01)


class Mesh:
    """A mesh that is up, as ``hcs-mesh up`` brings it up."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.pid = asyncio.run(self._pid())

    def take_over(self, source: Path, *words: str) -> Taken:
        """Import a folder as ``hcs-mesh import --wait`` does, with more of its words.

        Raises:
            RuntimeError: the import failed.
        """
        # By force, since a round takes over what the one before took over.
        with peak_of(self.pid) as peak:
            done = command(self._place, "import", str(source), "--force", "--wait", *words)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        status = asyncio.run(self._newest())
        history = status.history
        return Taken(history[-1].at_unix_s - history[0].at_unix_s, spans(history), peak[0])

    async def _pid(self) -> int:
        async with Client.at(self._place / "data") as mesh:
            return (await mesh.status()).pid

    async def _newest(self) -> ImportStatus:
        async with Client.at(self._place / "data") as mesh:
            return await mesh.get_import((await mesh.imports(limit=1))[0].import_id)


def median(rounds: Sequence[Taken]) -> Taken:
    """The medians of what several imports of one source took, and the most memory of them all."""
    phases = {phase: statistics.median(one.phases.get(phase, 0.0) for one in rounds) for phase in rounds[0].phases}
    return Taken(statistics.median(one.whole_s for one in rounds), phases, max(one.anonymous_mib for one in rounds))


def spans(history: Sequence[PhaseEntry]) -> dict[str, float]:
    """Seconds in each phase: from the line that enters it until the one that enters another."""
    took: dict[str, float] = {}
    for entry, after in pairwise(history):
        took[entry.phase] = took.get(entry.phase, 0.0) + after.at_unix_s - entry.at_unix_s
    return took


def anonymous_mib(pid: int) -> float:
    """The memory of a process that no file backs and nobody shares: neither its libraries nor a mapped ring."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not say how much of a process's memory is its own")


@contextmanager
def peak_of(pid: int) -> Iterator[list[float]]:
    """The most that a process held of memory of its own while the block ran, looked at fifty times a second."""
    peak, leave = [anonymous_mib(pid)], threading.Event()

    def look() -> None:
        while not leave.wait(LOOK_EVERY_S):
            peak[0] = max(peak[0], anonymous_mib(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield peak
    finally:
        leave.set()
        looking.join()


@contextmanager
def mesh(place: Path, settings: str = "") -> Iterator[Mesh]:
    """A mesh whose data lie in ``place``, up while the block runs."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "settings.toml").write_text(SETTINGS + settings, encoding="utf-8")
    if (done := command(place, "up", "--detach")).returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    try:
        yield Mesh(place)
    finally:
        command(place, "down")


def command(place: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """One call of ``hcs-mesh`` for the mesh in ``place``."""
    environment = {**os.environ, "HCS_MESH_DATA": str(place / "data"), "HCS_MESH_CONFIG": str(place / "settings.toml")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "hcs_mesh", *words], env=environment, capture_output=True, check=False
    )
