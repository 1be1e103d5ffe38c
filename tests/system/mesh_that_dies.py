"""A mesh that kills itself or its processes at the records of its journals, where a plan says so.

Started by the kill test as ``python mesh_that_dies.py DATA PLAN LOG RECORDERS [SERVER]``. Every phase boundary of an
import or a job is a journal record, so a crash point is a record and a side of its append.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import uvloop

from hcs_mesh import Mesh
from hcs_mesh.config import (
    DeviceSettings,
    ExecutorSettings,
    ImportSettings,
    InspectorSettings,
    LogSettings,
    OmeroSettings,
    Settings,
    StreamSettings,
    start_logging,
)
from hcs_mesh.plates.omero.imports import OmeroImports
from hcs_mesh.supervisors.journal import Journal

COME_BACK_S = 120.0

SETTINGS = Settings(
    # The longest wait is longer than an import takes: two of one folder, of which each touches the files by its links,
    # make way for each other by waits that grow.
    imports=ImportSettings(settle_s=0.02, first_retry_s=0.05, longest_retry_s=8.0, max_attempts=1_000),
    inspector=InspectorSettings(deaths_per_question=1_000),
    devices=DeviceSettings(cpu_slots=1, gpu="off"),
    executors=ExecutorSettings(attempts_per_well=1_000, max_restarts=10_000),
    streams=StreamSettings(ring_slots=8, slot_bytes=1 << 20),
    log=LogSettings(level="info"),
)


LEFT_UNMADE_S = 2.0
"""How long images are waited for that nobody makes any more: a quarter of an hour outside of tests."""


class Server(msgspec.Struct, frozen=True):
    """The OMERO.server that the plates lie in, and what process it is now."""

    pid: int
    settings: OmeroSettings

    def of(self, settings: Settings) -> Settings:
        """The settings of a mesh at this server."""
        imports = msgspec.structs.replace(settings.imports, certify_same_disk=True)
        return msgspec.structs.replace(settings, imports=imports, omero=self.settings)


class Kill(msgspec.Struct, frozen=True):
    """Kill these kinds of process at one side of a record; "during" is ``delay_s`` after its append."""

    number: int
    point: str
    side: str
    kinds: tuple[str, ...]
    delay_s: float = 0.0


class Killed(msgspec.Struct, frozen=True):
    """What the log says of one process that was killed, written before it was."""

    number: int
    point: str
    side: str
    kind: str
    pid: int
    at_unix_s: float


def point_of(record: Any) -> str:
    """A record's crash point: its tag, and the phase if it begins one."""
    tag = str(record.__struct_config__.tag)
    return f"{tag}.{record.phase}" if tag == "import.entered" else tag


class Executioner:
    """Carries a plan out, over as many lives of the mesh as that takes."""

    def __init__(self, mesh: Mesh, plan: Path, log: Path, recorders: Path, server: Path | None) -> None:
        self._server = server
        self.up = False
        self._mesh = mesh
        self._log = log
        self._recorders = recorders
        lines = log.read_bytes().splitlines() if log.exists() else []
        killed = [msgspec.json.decode(line, type=Killed) for line in lines]
        done = {one.number for one in killed}
        self._dead = {one.pid: one.at_unix_s for one in killed}
        self._left = [
            kill for kill in msgspec.json.decode(plan.read_bytes(), type=list[Kill]) if kill.number not in done
        ]
        self._later: set[asyncio.Task[None]] = set()

    async def at(self, point: str, side: str) -> None:
        """A record is about to be written, or has been."""
        kill = self._next(point, side)
        if kill is not None:
            await self._strike(kill)

    def during(self, point: str) -> None:
        """What follows a record goes on; a kill may come in the middle of it."""
        kill = self._next(point, "during")
        if kill is not None:
            task = asyncio.create_task(self._strike(kill))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    def _next(self, point: str, side: str) -> Kill | None:
        for kill in self._left:
            # A mesh that is coming up may wait for this very record before it starts the victim.
            if (kill.point, kill.side) == (point, side) and (self.up or all(map(self._victim, kill.kinds))):
                self._left.remove(kill)
                return kill
        return None

    async def _strike(self, kill: Kill) -> None:
        await asyncio.sleep(kill.delay_s)
        victims = [(kind, await self._pid(kind)) for kind in kill.kinds]
        now = time.time()
        lines = [
            msgspec.json.encode(Killed(kill.number, kill.point, kill.side, kind, pid, now)) for kind, pid in victims
        ]
        descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b"".join(line + b"\n" for line in lines))
        os.close(descriptor)
        # The hub comes last: dead, it could kill nobody else.
        for _, pid in sorted(victims, key=lambda victim: victim[0] == "hub"):
            self._dead[pid] = now
            # Another kill may have hit it while this one waited for its second victim.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _pid(self, kind: str) -> int:
        """The process of a kind, once there is one that was not killed before."""
        until = time.monotonic() + COME_BACK_S
        while (pid := self._victim(kind)) is None:
            if time.monotonic() > until:
                raise TimeoutError(f"no {kind} came up within {COME_BACK_S:g} s")
            await asyncio.sleep(0.02)
        return pid

    def _victim(self, kind: str) -> int | None:
        if kind == "hub":
            return os.getpid()
        return next((pid for pid in self._candidates(kind) if self._lives(pid)), None)

    def _lives(self, pid: int) -> bool:
        """Whether it was not killed; of many processes one gets the number of a dead one."""
        killed_at = self._dead.get(pid)
        try:
            return killed_at is None or psutil.Process(pid).create_time() > killed_at
        except psutil.NoSuchProcess:
            return False

    def _candidates(self, kind: str) -> list[int]:
        if kind == "server":
            return [read_server(self._server).pid] if self._server is not None else []
        if kind == "recorder":
            return msgspec.json.decode(self._recorders.read_bytes(), type=list[int])
        return [row.pid for row in self._mesh.rows() if row.kind == "process" and row.pid and row.name.startswith(kind)]


def read_server(path: Path) -> Server:
    """What is written down of the server."""
    return msgspec.json.decode(path.read_bytes(), type=Server)


def die_at_records(executioner: Executioner) -> None:
    """Put the executioner at both sides of every append of every journal in this process."""
    append = Journal.append

    async def deadly_append(journal: Journal[Any], record: Any) -> int:
        point = point_of(record)
        await executioner.at(point, "before")
        sequence = await append(journal, record)
        await executioner.at(point, "after")
        executioner.during(point)
        return sequence

    Journal.append = deadly_append  # type: ignore[method-assign]


def wait_briefly() -> None:
    """Have imports of this process give up soon what a server that was killed was left making."""
    defaults = OmeroImports.__init__.__kwdefaults__
    assert defaults is not None
    defaults["patience_s"] = LEFT_UNMADE_S


async def main(data: Path, plan: Path, log: Path, recorders: Path, server: Path | None = None) -> None:
    """Be the mesh of ``data`` until it is told to stop."""
    settings = SETTINGS if server is None else read_server(server).of(SETTINGS)
    wait_briefly()
    data.joinpath("logs").mkdir(parents=True, exist_ok=True)
    start_logging(SETTINGS.log, file=data / "logs" / "hub.log")
    mesh = Mesh(settings, data=data)
    executioner = Executioner(mesh, plan, log, recorders, server)
    die_at_records(executioner)
    async with mesh:
        executioner.up = True
        await mesh.stop_asked.wait()


if __name__ == "__main__":
    uvloop.run(main(*map(Path, sys.argv[1:])))
