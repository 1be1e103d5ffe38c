"""Ten minutes of everything at once, from this host and from others: what a mesh holds does not grow."""

import asyncio
import contextlib
import gc
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

sys.path.append(str(Path(__file__).parent))

from free_ports import free_port
from soak_elsewhere import Elsewhere
from soak_load import Load

from hcs_mesh import Mesh, Settings
from hcs_mesh.config import DeviceSettings, ImportSettings
from hcs_mesh.config.settings import FrontSettings, JobSettings
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport.planes.files import default_folder

LOOK_EVERY_S = 2.0
THIRDS = ("first", "middle", "last")
KEPT_S = 20.0
"""For so long what has ended is remembered, and its key after that: from the first third on there is as much of it as
there will ever be."""
NOISE_MIB = 1.5
"""Twice the most that was measured between the last two rests; nothing is allowed for what was done."""
FLAT = ("hub_fds", "tasks", "children_fds", "n_children", "node_fds", "n_node", "shared_mib")
REST_S = 12.0
"""Longer than a peer that vanished is waited for."""


class Held(msgspec.Struct, frozen=True):
    """What the mesh held at one moment: the hub, its children and what they share."""

    at_s: float
    hub_mib: float
    hub_fds: int
    """But for the catalogue's: two for each reader, of which there are as many as ever read at once."""
    catalogue_fds: int
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
    """Imports and jobs that have ended."""


def private(process: psutil.Process) -> int:
    """The bytes that are a process's own: the ring, which is as large as it is from the start, is not among them."""
    info = process.memory_info()
    return int(info.rss - info.shared)


def descriptors() -> tuple[int, int]:
    """How many descriptors this process has, and how many of them are the catalogue's."""
    led_to = []
    for one in Path("/proc/self/fd").iterdir():
        # What the listing itself had open is gone.
        with contextlib.suppress(FileNotFoundError):
            led_to.append(str(one.readlink()))
    return len(led_to), sum("catalogue.sqlite" in name for name in led_to)


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
    n_hub_fds, n_catalogue_fds = descriptors()
    mib = 2**20
    return Held(
        time.monotonic() - start_s,
        private(hub) / mib,
        n_hub_fds - n_catalogue_fds,
        n_catalogue_fds,
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


def least(seen: list[Held]) -> Held:
    """The least of each: a moment at which nobody is on the way out any more."""
    return Held(*(min(getattr(one, name) for one in seen) for name in Held.__struct_fields__))


async def at_rest(load: Load, start_s: float) -> Held:
    """What is held while nobody asks for anything, by processes all of which have worked."""
    await load.everybody_worked()
    seen = []
    until_s = time.monotonic() + REST_S
    while time.monotonic() < until_s:
        await asyncio.sleep(0.5)
        seen.append(look(start_s, load))
    return least(seen)


async def soak(folder: Path, duration_s: float) -> tuple[list[Held], list[Held], Load]:
    """Load a mesh three times for a third of the time; what it held under load, and at rest after each third."""
    for number in range(2):
        write_plate(folder / f"P{number}", Recipe(name=f"P{number}", n_rows=2, n_columns=2, n_fields=1, size_px=128))
    days = KEPT_S / 86_400
    settings = Settings(
        devices=DeviceSettings(cpu_slots=2, gpu="off"),
        front=FrontSettings(tcp_host="127.0.0.1", tcp_port=free_port()),
        imports=ImportSettings(keep_days=days, keep_keys_days=days),
        jobs=JobSettings(keep_days=days, keep_keys_days=days),
    )
    seen: list[Held] = []
    rested: list[Held] = []
    async with Mesh(settings, data=folder / "data") as mesh:
        load = Load(mesh, folder, random.Random(1), Elsewhere(mesh, folder))
        async with load.elsewhere.joined(mesh):
            start_s = time.monotonic()
            for _ in THIRDS:
                until_s = time.monotonic() + duration_s / len(THIRDS)
                async with load.running() as tasks:
                    while time.monotonic() < until_s:
                        done, _ = await asyncio.wait(tasks, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                        for task in done:
                            task.result()
                        seen.append(look(start_s, load))
                rested.append(await at_rest(load, start_s))
    return seen, rested, load


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors and mappings are counted in /proc")
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_minutes_of_mixed_load_leave_every_curve_flat(tmp_path: Path, tell: Callable[[str], None]) -> None:
    duration_s = float(os.environ.get("HCS_MESH_SOAK_S", "600"))
    seen, rested, load = asyncio.run(soak(tmp_path, duration_s))
    tell(
        f"soak of {duration_s:.0f} s: {load.n_imports} imports, {load.n_jobs} jobs, {load.n_viewers} viewers, "
        f"{load.n_kills} kills; over TCP {load.n_clients} clients with {load.n_asked:,} answers, and a node that "
        f"computed {load.n_node_wells} wells"
    )
    _, middle, last = rested
    for name in Held.__struct_fields__[1:]:
        at_rest = ", ".join(f"{getattr(one, name):.1f}" for one in rested)
        tell(f"  {name}: at rest after each third {at_rest}; {max(getattr(one, name) for one in seen):.1f} at most")
    assert load.n_jobs >= duration_s / 30
    assert load.n_viewers >= duration_s / 30
    assert load.n_clients >= duration_s / 30
    assert load.n_node_wells >= duration_s / 30
    for name in ("hub_mib", "children_mib", "node_mib"):
        assert getattr(last, name) - getattr(middle, name) < NOISE_MIB, name
    # Of what there is as much of as was ever needed at once, chance may have more needed: two readers, three threads.
    assert last.catalogue_fds - middle.catalogue_fds <= 4
    assert last.hub_threads - middle.hub_threads <= 3
    for name in FLAT:
        assert getattr(last, name) <= getattr(middle, name), name
