"""Draws the pictures of docs/console.md, of a mesh at work: ``.venv-test/bin/python tools/console_pictures.py``."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from textual.pilot import Pilot

from hcs_mesh import Client, Mesh, Settings
from hcs_mesh.command_line.demo_pipeline import DEMO_PIPELINE
from hcs_mesh.config import DeviceSettings
from hcs_mesh.messages.control import ActorRow, MeshStatus
from hcs_mesh.pipelines import to_source
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.viewers.console.application import Console
from hcs_mesh.viewers.console.mesh import ConsoleMesh

PICTURES = Path(__file__).parents[1] / "docs" / "img"
RECIPE = Recipe(n_fields=12, size_px=1024)
SIZE = (170, 66)
WITHIN_S = 120.0
EXECUTOR = "executor.cpu0"
SHOWN_FOLDER = "/srv/hcs-mesh/data"


class _Shown:
    """The client, but for the folder, which is that of a mesh as the documentation sets it up."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def status(self) -> MeshStatus:
        return msgspec.structs.replace(await self._client.status(), data=SHOWN_FOLDER)


async def _until(happened: Callable[[], Any], what: str) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not await happened():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what} did not happen within {WITHIN_S:g} s")
        await asyncio.sleep(0.05)


async def _draw(client: Client, mesh: ConsoleMesh, job: str) -> None:
    async def row(name: str) -> ActorRow:
        return next(one for one in await client.tree() if one.name == name)

    async def at_work() -> bool:
        return (await row(EXECUTOR)).busy.startswith("well")

    async def again_at_work() -> bool:
        found = await row(EXECUTOR)
        return found.restarts == 1 and found.busy.startswith("well")

    app = Console(mesh, principal=await client.who_am_i(), control=True, period_s=0.2)
    async with app.run_test(size=SIZE) as pilot:
        await _until(at_work, "a well")
        names = [one.name for one in await client.tree()]
        await pilot.press(*["down"] * names.index(EXECUTOR))
        pid = (await row(EXECUTOR)).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await _until(again_at_work, "the executor's next life")
        await _shoot(app, pilot, "console-tree", [])
        await _shoot(app, pilot, "console-jobs", ["3"])
        await _until(lambda: _is_over(client, job), "the end of the job")
        firsts = [hop.message for hop in await client.trace()]
        submitted = next(n for n, message in enumerate(firsts) if "submit" in message and "import" not in message)
        await _shoot(app, pilot, "console-trace", ["6", *["down"] * submitted, "t"])


async def _is_over(client: Client, job: str) -> bool:
    return (await client.job(job)).state != "running"


async def _shoot(app: Console, pilot: Pilot[None], name: str, keys: list[str]) -> None:
    await pilot.press(*keys)
    # Until what is asked for has come.
    await asyncio.sleep(1.0)
    await pilot.pause()
    picture = PICTURES / f"{name}.svg"
    picture.write_text(app.export_screenshot(), encoding="utf-8")
    print(picture.name)


async def main() -> None:
    """Make a plate, a mesh and a job, and draw what the console shows of them."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-pictures-") as name:
        plate, data = Path(name, "Screen 7"), Path(name, "data")
        write_plate(plate, RECIPE)
        settings = Settings(devices=DeviceSettings(cpu_slots=2, gpu="off"))
        async with Mesh(settings, data=data), Client.at(data) as client:
            import_id = await client.submit_import(plate)
            imported = [one async for one in client.follow_import(import_id)][-1]
            job = await client.submit_job(imported.plate_ids[0], to_source(DEMO_PIPELINE), source_name="nuclei.py")
            await _draw(client, _Shown(client), job)


if __name__ == "__main__":
    asyncio.run(main())
