"""A mesh that has done twice as much holds no more: what it has of everything is counted at rest."""

import asyncio
import collections
import gc
from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh import Client, Mesh, Settings
from hcs_mesh.command_line.demo_pipeline import DEMO_PIPELINE
from hcs_mesh.config import DeviceSettings, ImportSettings
from hcs_mesh.config.settings import JobSettings
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.pipelines import to_source
from hcs_mesh.plates.synthetic import Recipe, write_plate

SECOND_DAYS = 1.0 / 86_400
N_ROUNDS = 3
N_LOOKS = 10
BOUNDED = {"Plate", "PlateSummary", "Known", "Hop"}
"""Of these there are more with each plate and each question, up to a number of bytes or of traces."""


NAMES = {"imports_open", "imports_ended", "jobs_ended", "keys"}
AT_REST = {
    "imports imports_open": 0.0,
    "imports imports_ended": 0.0,
    # The last one's is kept, so that no id is given a second time.
    "imports keys": 1.0,
    "scheduler jobs_ended": 0.0,
    "scheduler keys": 1.0,
}


async def one_round(mesh: Mesh, source: Path) -> None:
    """An import, two jobs, and somebody who dials in and leaves."""
    import_id = await mesh.submit_order(ImportOrder(path=str(source), forced=True))
    async for status in mesh.follow_import(import_id):
        imported = status
    (plate_id,) = imported.plate_ids
    for _ in range(2):
        job = await mesh.submit_job(plate_id, to_source(DEMO_PIPELINE))
        async with Client.at(mesh.data) as client:
            async for analysed in client.follow_job(job):
                state = analysed.state
            assert state == "done"
            await client.plates()


async def remembered(mesh: Mesh) -> dict[str, float]:
    """What is known of imports and jobs that have ended, and how many of their keys."""
    counts = {}
    for actor in ("imports", "scheduler"):
        detail = await mesh.inspect(actor)
        counts.update({f"{actor} {one.name}": float(one.value) for one in detail.statistics if one.name in NAMES})
    return counts


async def counted(mesh: Mesh) -> collections.Counter[str]:
    """How many there are of each of the mesh's own types, and of tasks, but for what is on its way at a look."""
    least: collections.Counter[str] | None = None
    for _ in range(N_LOOKS):
        await mesh.inspect("scheduler")
        gc.collect()
        kinds = (type(one) for one in gc.get_objects())
        found = collections.Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if _is_ours(kind))
        found["tasks"] = len(asyncio.all_tasks())
        least = found if least is None else least & found
    assert least
    return least


def _is_ours(kind: type) -> bool:
    return str(kind.__module__).startswith("hcs_mesh.") and kind.__qualname__ not in BOUNDED


@pytest.mark.anyio
@pytest.mark.timeout(300)
async def test_a_mesh_that_has_done_twice_as_much_holds_no_more(tmp_path: Path) -> None:
    write_plate(tmp_path / "P", Recipe(name="P", n_rows=1, n_columns=2, n_fields=1, size_px=64))
    settings = Settings(
        devices=DeviceSettings(cpu_slots=1, gpu="off"),
        imports=ImportSettings(settle_s=0.1, keep_days=SECOND_DAYS, keep_keys_days=SECOND_DAYS),
        jobs=JobSettings(keep_days=SECOND_DAYS, keep_keys_days=SECOND_DAYS),
    )
    counts = []
    async with Mesh(settings, data=tmp_path / "data") as mesh:
        for _ in range(2):
            for _ in range(N_ROUNDS):
                await one_round(mesh, tmp_path / "P")

            async def at_rest() -> bool:
                return await remembered(mesh) == AT_REST

            await eventually(at_rest, 60.0, "the forgetting of all that has ended")
            counts.append(await counted(mesh))
    before, after = counts
    assert after - before == collections.Counter()
