"""Handing folders over while 10,000 wait, and coming up again with all of them: ``python bench/submissions.py``.

The mesh is a process of its own, asked over its encrypted front by one who waits for each id; every wish is durable by
then. Nothing is at work beside it: the first source is watched for longer than the run lasts, and the others wait for
their turn. Ready is a mesh, killed before, whose list of imports has been read whole.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rows import Row

from hcs_mesh import Client, MeshError
from hcs_mesh.messages.imports import ImportOrder

N_IMPORTS = 10_000
SETTINGS = """
[devices]
cpu_slots = 1
gpu = "off"

[imports]
settle_s = 3600.0
settling_at_once = 1
"""


def command(*words: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "HCS_MESH_DATA": str(folder / "data"),
        "HCS_MESH_CONFIG": str(folder / "settings.toml"),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "hcs_mesh", *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _submit(folder: Path) -> list[float]:
    source = folder / "source"
    source.mkdir()
    (source / "one.tif").write_bytes(b"II*\0")
    order = ImportOrder(path=str(source), screen="screen", tags=("bench",), mail="nobody@localhost")
    took = []
    async with Client.at(folder / "data") as mesh:
        for _ in range(N_IMPORTS):
            start = time.perf_counter()
            await mesh.submit_order(order)
            took.append(1000 * (time.perf_counter() - start))
    return took


async def _listed(folder: Path) -> int:
    """How many imports are listed by a mesh that is coming up, as soon as it answers."""
    while True:
        try:
            async with Client.at(folder / "data") as mesh:
                return len(await mesh.imports(limit=0))
        except MeshError:
            await asyncio.sleep(0.01)


def measure() -> list[Row]:
    """Measure the wait of each who hands over, and of all who wait for a mesh that was killed."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        (folder / "settings.toml").write_text(SETTINGS, encoding="utf-8")
        try:
            if command("up", "--detach", folder=folder).wait():
                raise RuntimeError("the mesh did not come up")
            took = asyncio.run(_submit(folder))
            ready = []
            for _ in range(3):
                os.kill(pid_of(folder), signal.SIGKILL)
                start = time.perf_counter()
                up = command("up", "--detach", folder=folder)
                n_listed = asyncio.run(_listed(folder))
                ready.append(time.perf_counter() - start)
                up.wait()
                if n_listed != N_IMPORTS:
                    raise RuntimeError(f"{N_IMPORTS} were accepted, and {n_listed} are listed")
        finally:
            command("down", folder=folder).wait()
    p99 = statistics.quantiles(took, n=100)[98]
    return [
        Row(
            name=f"import, handed over with {N_IMPORTS:,} waiting, p99: a bound",
            reference=20.0,
            ours=p99,
            unit="ms",
            target=1.0,
            higher_is_better=False,
        ),
        Row(
            name=f"import, ready after a kill with {N_IMPORTS:,} waiting: a bound",
            reference=3.0,
            ours=statistics.median(ready),
            unit="s",
            target=1.0,
            higher_is_better=False,
        ),
    ]


def pid_of(folder: Path) -> int:
    async def ask() -> int:
        async with Client.at(folder / "data") as mesh:
            return (await mesh.status()).pid

    return asyncio.run(ask())


if __name__ == "__main__":
    for row in measure():
        print(row)
