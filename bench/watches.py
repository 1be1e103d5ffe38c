"""A mesh that watches 20 folders of 10,000 files and has nothing to do: ``python bench/watches.py``.

Ten of the folders hold four plates of 2,500 files each, ten 10,000 loose images, all of it handed over before; the
mesh is ``hcs-mesh up`` with the settings' own intervals. Its processor time is that of all its processes.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from rows import Row

from hcs_mesh import Client
from hcs_mesh.actors.watching.book import WatchedUnit
from hcs_mesh.actors.watching.sight import seen
from hcs_mesh.messages.watches import WatchStatus
from hcs_mesh.supervisors.journal import Journal

N_FOLDERS, N_FILES, N_PLATES = 20, 10_000, 4
FIRST_LOOKS_S, IDLE_S = 60.0, 60.0
SETTINGS = '[devices]\ncpu_slots = 0\ngpu = "off"\n[log]\nlevel = "warning"\n'


def _unit(folder: Path, unit: str, files: dict[str, int], names: tuple[str, ...] = ()) -> WatchedUnit:
    return WatchedUnit(
        folder=str(folder),
        unit=unit,
        at_unix_s=time.time(),
        step="handed over",
        digest=seen(files.items()).digest,
        names=names,
        import_id="import-0001",
    )


def _plates(folder: Path) -> Iterator[WatchedUnit]:
    for plate in range(N_PLATES):
        inside = folder / f"plate {plate}" / "TimePoint_1"
        inside.mkdir(parents=True)
        files = {f"TimePoint_1/{n}.tif": 0 for n in range(N_FILES // N_PLATES)}
        for name in files:
            (inside.parent / name).touch()
        yield _unit(folder, f"plate {plate}/", files)


def _loose(folder: Path) -> Iterator[WatchedUnit]:
    folder.mkdir(parents=True)
    for n in range(N_FILES):
        name = f"image {n}.ome.tif"
        (folder / name).touch()
        yield _unit(folder, name, {name: 0}, (name,))


async def _prepared(place: Path) -> tuple[Path, ...]:
    """The folders, and the journal of a mesh that has handed everything in them over."""
    folders = tuple(place / "microscopes" / f"{n}" for n in range(N_FOLDERS))
    async with await Journal.open(place / "data" / "journal" / "watches", record_type=WatchedUnit) as journal:
        for n, folder in enumerate(folders):
            await journal.append_all(list(_loose(folder) if n % 2 else _plates(folder)))
    watches = "".join(f"[[watch]]\npath = {str(folder)!r}\n" for folder in folders)
    (place / "settings.toml").write_text(SETTINGS + watches, encoding="utf-8")
    return folders


@contextmanager
def _mesh(place: Path) -> Iterator[None]:
    words = [sys.executable, "-m", "hcs_mesh", "--data", str(place / "data")]
    subprocess.run(
        [*words, "up", "--detach", "--config", str(place / "settings.toml")], check=True, capture_output=True
    )
    try:
        yield
    finally:
        subprocess.run([*words, "down"], check=True, capture_output=True)


def _processor_s(mesh: psutil.Process) -> float:
    spent = [one.cpu_times() for one in (mesh, *mesh.children(recursive=True))]
    return sum(one.user + one.system for one in spent)


async def _until(client: Client, there: Callable[[tuple[WatchStatus, ...]], bool], within_s: float = 120.0) -> float:
    """Seconds until the watches are so."""
    start = time.perf_counter()
    while not there(await client.watches()):
        if time.perf_counter() - start > within_s:
            raise TimeoutError(f"not within {within_s:g} s")
        await asyncio.sleep(0.2)
    return time.perf_counter() - start


async def _measured(place: Path) -> tuple[float, float]:
    """Percent of a core while nothing happens, and the longest of several times until what is new is noticed."""
    folders = await _prepared(place)
    with _mesh(place):
        async with Client.at(place / "data") as client:
            mesh = psutil.Process((await client.status()).pid)
            await _until(client, lambda told: all(one.state == "there" for one in told))
            # The second, closer look that follows the first is behind it then.
            await asyncio.sleep(FIRST_LOOKS_S)
            start, before_s = time.perf_counter(), _processor_s(mesh)
            await asyncio.sleep(IDLE_S)
            share = 100 * (_processor_s(mesh) - before_s) / (time.perf_counter() - start)
            (folders[0] / "plate 1" / "TimePoint_1" / "late.tif").touch()
            (folders[1] / "new.ome.tif").touch()
            (folders[2] / "new plate").mkdir()
            (folders[2] / "new plate" / "first.tif").touch()
            noticed_s = await _until(client, lambda told: all(one.waiting for one in told[:3]))
    return share, noticed_s


def measure() -> list[Row]:
    """Measure an idle mesh, and how soon it notices what is new."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        share, noticed_s = asyncio.run(_measured(Path(name)))
    of = f"{N_FOLDERS} watched folders of {N_FILES:,} files"
    return [
        Row(name=f"idle mesh, {of}: a bound", reference=1.0, ours=share, unit="% of a core", higher_is_better=False),
        Row(name=f"what is new in {of}: a bound", reference=30.0, ours=noticed_s, unit="s", higher_is_better=False),
    ]


if __name__ == "__main__":
    for row in measure():
        print(row)
