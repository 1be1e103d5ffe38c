"""What the soak does to a mesh: imports, jobs, viewers, clients and kills, all at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from soak_elsewhere import EXECUTOR, NODE, Elsewhere
from waiting import eventually

from hcs_mesh import Mesh
from hcs_mesh.command_line.demo_pipeline import DEMO_PIPELINE
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.pipelines import to_source

PIPELINE = to_source(DEMO_PIPELINE)


class Load:
    """Imports, jobs, viewers and clients that come and go, a node, and kills, until it is told to end."""

    def __init__(self, mesh: Mesh, folder: Path, dice: random.Random, elsewhere: Elsewhere) -> None:
        self.mesh = mesh
        self.folder = folder
        self.dice = dice
        self.elsewhere = elsewhere
        self.n_clients = self.n_asked = self.n_node_wells = 0
        self.over = asyncio.Event()
        self.n_imports = self.n_jobs = self.n_viewers = self.n_kills = 0
        self.plates: list[int] = []
        self.last_job = ""
        self.pids = {os.getpid()}
        """Everybody who has been part of the mesh."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Everything at once; at the end each comes to the end of what it is at."""
        self.over = asyncio.Event()
        # The last one may be forgotten by now.
        self.last_job = ""
        works = (self.imports, self.jobs, self.viewers, self.clients, self.kills)
        tasks = [asyncio.create_task(work()) for work in works]
        try:
            yield tasks
        finally:
            self.over.set()
            await asyncio.wait(tasks, timeout=60.0)
            for task in tasks:
                task.cancel()
        for task in tasks:
            await task

    async def everybody_worked(self) -> None:
        """Come back once everybody is up and has done something: who was killed is as warm as the others then."""
        await eventually(self._all_up, 120.0, "the return of who was killed")
        await self.one_import()
        executors: set[str] = set()

        async def all_computed() -> bool:
            executors.update(await self.one_job())
            return len(executors) == len(self._executors())

        await eventually(all_computed, 120.0, "a well at every executor")

    def _executors(self) -> list[str]:
        return [row.name for row in self.mesh.rows() if row.name.startswith("executor.")]

    def _all_up(self) -> bool:
        rows = self.mesh.rows()
        up = all(row.state == "running" for row in rows if row.kind != "supervisor")
        return up and EXECUTOR in {row.name for row in rows}

    async def imports(self) -> None:
        while not self.over.is_set():
            await self.one_import()
            await self._pause(8.0)

    async def one_import(self) -> None:
        # The same few plates under new ids: neither the sources nor what is known of them grows without end.
        import_id = await self.mesh.submit_order(
            ImportOrder(path=str(self.folder / f"P{self.n_imports % 2}"), forced=True)
        )
        async for status in self.mesh.follow_import(import_id):
            ended = status
        assert ended.state == "done", ended
        self.plates = [*self.plates, *ended.plate_ids][-4:]
        self.n_imports += 1

    async def jobs(self) -> None:
        while not self.over.is_set():
            if self.plates:
                await self.one_job()
            await self._pause(1.0)

    async def one_job(self) -> set[str]:
        """Analyse a plate, and return who computed its wells."""
        self.last_job = await self.mesh.submit_job(self.dice.choice(self.plates), PIPELINE)
        async for status in self.mesh.follow_job(self.last_job):
            ended = status
        assert ended.state == "done", ended
        self.n_node_wells += sum(well.executor.endswith(f"@{NODE}") for well in ended.wells)
        self.n_jobs += 1
        return {well.executor for well in ended.wells}

    async def viewers(self) -> None:
        while not self.over.is_set():
            if self.last_job:
                out = self.folder / f"seen{self.n_viewers % 3}"
                words = ["--data", str(self.mesh.data), "--job", self.last_job, "--out", str(out)]
                viewer = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "hcs_mesh.viewers.recorder",
                    *words,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                await self._pause(4.0)
                # Some leave as they should, some vanish.
                with contextlib.suppress(ProcessLookupError):
                    viewer.send_signal(self.dice.choice([signal.SIGTERM, signal.SIGKILL]))
                await viewer.wait()
                self.n_viewers += 1
            await self._pause(1.0)

    async def clients(self) -> None:
        """Somebody on another host: asks for a while, follows a job, hangs up, and dials again."""
        while not self.over.is_set():
            async with self.elsewhere.client() as client:
                for _ in range(20):
                    await asyncio.gather(*(client.plates() for _ in range(5)), client.jobs(limit=20))
                    self.n_asked += 6
                if self.last_job:
                    async for _ in client.follow_job(self.last_job):
                        self.n_asked += 1
            self.n_clients += 1
            await self._pause(1.0)

    async def kills(self) -> None:
        while not self.over.is_set():
            await self._pause(70.0)
            up = [row.pid for row in self.mesh.rows() if row.kind == "process" and row.pid and row.state == "running"]
            if up and not self.over.is_set():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.dice.choice(up), signal.SIGKILL)
                self.n_kills += 1

    async def _pause(self, most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), self.dice.uniform(0.2, 1.0) * most_s)
