"""Ten minutes of everything at once, from this host and from others: what a mesh holds does not grow."""

import asyncio
import contextlib
import gc
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import psutil
import pytest

sys.path.append(str(Path(__file__).parent))

from open_port import free_port
from soak_elsewhere import NODE, Elsewhere

from hcs_mesh import Mesh, Settings
from hcs_mesh.command_line.demo_pipeline import DEMO_PIPELINE
from hcs_mesh.config import DeviceSettings
from hcs_mesh.config.settings import FrontSettings
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.pipelines import to_source
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport.planes.files import default_folder

PIPELINE = to_source(DEMO_PIPELINE)
LOOK_EVERY_S = 2.0


class Held(msgspec.Struct, frozen=True):
    """What the mesh held at one moment: the hub, its children and what they share."""

    at_s: float
    hub_mib: float
    hub_fds: int
    hub_threads: int
    tasks: int
    children_mib: float
    children_fds: int
    n_children: int
    node_mib: float
    """Of the node that has joined, and of its children."""
    node_fds: int
    n_node: int
    shared_mib: float
    """What lies in shared memory of anybody who has been part of the mesh, mapped or not."""
    n_ended: int
    """Imports and jobs that have ended: each stays in a list that the hub keeps in memory, for as long as it is set."""


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

    async def imports(self) -> None:
        while not self.over.is_set():
            # The same few plates under new ids: neither the sources nor what is known of them grows without end.
            import_id = await self.mesh.submit_order(
                ImportOrder(path=str(self.folder / f"P{self.n_imports % 2}"), forced=True)
            )
            async for status in self.mesh.follow_import(import_id):
                ended = status
            assert ended.state == "done", ended
            self.plates += ended.plate_ids
            self.n_imports += 1
            await self._pause(8.0)

    async def jobs(self) -> None:
        while not self.over.is_set():
            if self.plates:
                self.last_job = await self.mesh.submit_job(self.dice.choice(self.plates[-4:]), PIPELINE)
                async for status in self.mesh.follow_job(self.last_job):
                    ended = status
                assert ended.state == "done", ended
                self.n_node_wells += sum(well.executor.endswith(f"@{NODE}") for well in ended.wells)
                self.n_jobs += 1
            await self._pause(1.0)

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


def private(process: psutil.Process) -> int:
    """The bytes that are a process's own: the ring, which is as large as it is from the start, is not among them."""
    info = process.memory_info()
    return int(info.rss - info.shared)


def look(start_s: float, load: Load) -> Held:
    """What is held now."""
    gc.collect()
    hub = psutil.Process()
    at_node = load.elsewhere.pids()
    children = node = 0.0
    n = n_fds = n_node = node_fds = 0
    for child in hub.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.pid in at_node:
                load.pids.add(child.pid)
                node += private(child)
                node_fds += child.num_fds()
                n_node += 1
            elif "recorder" not in " ".join(child.cmdline()):
                load.pids.add(child.pid)
                children += private(child)
                n_fds += child.num_fds()
                n += 1
    # Rings are named after who made them: those of the dead that nobody has swept count as well, other meshes' do not.
    shared = 0
    for path in default_folder().glob("*.planes"):
        with contextlib.suppress(FileNotFoundError):
            shared += path.stat().st_size if int(path.name.partition("-")[0]) in load.pids else 0
    mib = 2**20
    return Held(
        time.monotonic() - start_s,
        private(hub) / mib,
        hub.num_fds(),
        hub.num_threads(),
        len(asyncio.all_tasks()),
        children / mib,
        n_fds,
        n,
        node / mib,
        node_fds,
        n_node,
        shared / mib,
        load.n_imports + load.n_jobs,
    )


async def soak(folder: Path, duration_s: float) -> tuple[list[Held], Load]:
    """Load a mesh for so long; what it held, looked at again and again."""
    for number in range(2):
        write_plate(folder / f"P{number}", Recipe(name=f"P{number}", n_rows=2, n_columns=2, n_fields=1, size_px=128))
    front = FrontSettings(tcp_host="127.0.0.1", tcp_port=free_port())
    settings = Settings(devices=DeviceSettings(cpu_slots=2, gpu="off"), front=front)
    seen: list[Held] = []
    async with Mesh(settings, data=folder / "data") as mesh:
        load = Load(mesh, folder, random.Random(1), Elsewhere(mesh, folder))
        works = (load.imports, load.jobs, load.viewers, load.clients, load.kills)
        async with load.elsewhere.joined(mesh), running(load, works) as tasks:
            start_s = time.monotonic()
            while time.monotonic() - start_s < duration_s:
                done, _ = await asyncio.wait(tasks, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                seen.append(look(start_s, load))
    return seen, load


@contextlib.asynccontextmanager
async def running(load: Load, works: tuple[Callable[[], object], ...]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield tasks
    finally:
        load.over.set()
        await asyncio.wait(tasks, timeout=60.0)
        for task in tasks:
            task.cancel()


def ends(seen: list[Held], name: str) -> tuple[float, float, float]:
    """The medians of the second and the last fifth, and the most there was: the first fifth warms up."""
    values = [float(getattr(one, name)) for one in seen]
    fifth = max(1, len(values) // 5)
    return statistics.median(values[fifth : 2 * fifth]), statistics.median(values[-fifth:]), max(values)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors and mappings are counted in /proc")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_minutes_of_mixed_load_leave_every_curve_flat(tmp_path: Path, tell: Callable[[str], None]) -> None:
    duration_s = float(os.environ.get("HCS_MESH_SOAK_S", "600"))
    seen, load = asyncio.run(soak(tmp_path, duration_s))
    tell(
        f"soak of {duration_s:.0f} s: {load.n_imports} imports, {load.n_jobs} jobs, {load.n_viewers} viewers, "
        f"{load.n_kills} kills; over TCP {load.n_clients} clients with {load.n_asked:,} answers, and a node that "
        f"computed {load.n_node_wells} wells"
    )
    curves = {name: ends(seen, name) for name in Held.__struct_fields__[1:]}
    for name, (early, late, most) in curves.items():
        tell(f"  {name}: {early:.1f} in the second fifth, {late:.1f} in the last, {most:.1f} at most")
    grown = {name: late - early for name, (early, late, _) in curves.items()}
    ended_kib = grown["hub_mib"] * 1024 / grown["n_ended"]
    tell(f"  the hub grew by {ended_kib:.1f} KiB for each import and job that ended")
    assert load.n_jobs >= duration_s / 30
    assert load.n_viewers >= duration_s / 30
    assert load.n_clients >= duration_s / 30
    assert load.n_node_wells >= duration_s / 30
    # What ends stays in a list, about 17 KiB for a job of four wells; beyond that there is only the allocator's noise,
    # and in a run that is shorter than ten minutes the warming up of threads and caches.
    assert grown["hub_mib"] < (3.0 if duration_s >= 600 else 16.0) + grown["n_ended"] * 20 / 1024
    assert grown["hub_fds"] <= 4
    assert grown["tasks"] <= 4
    assert grown["hub_threads"] <= 3
    assert grown["shared_mib"] == 0
    assert curves["n_children"][1] <= 3
    assert grown["children_mib"] < 6.0
    assert grown["children_fds"] <= 4
    assert curves["n_node"][1] <= 2
    assert grown["node_mib"] < 6.0
    assert grown["node_fds"] <= 4
