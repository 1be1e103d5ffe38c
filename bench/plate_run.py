"""A whole plate, 24 wells x 4 fields x 2 channels of 1024²: blur, top-hat, Otsu, label, count, two workers.

The OpenCV script is timed from its pool's start to the last count; ours from the submission of the job to
its end, on a mesh that is up and holds the plate, every well journalled and its result durable:
``python bench/plate_run.py``.
"""

import asyncio
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import Row

from hcs_mesh.mesh import Mesh
from hcs_mesh.plates.synthetic import Recipe, write_plate

N_ROUNDS = 3
PIPELINE = """
from hcs_mesh.pipelines import Pipeline, channel, gaussian, label, otsu, tophat

pipeline = Pipeline(
    name="bench",
    steps=[
        channel(0, to="dna"),
        gaussian("dna", sigma_px=2.0, to="dna_smooth"),
        tophat("dna_smooth", radius_px=25, to="dna_flat"),
        otsu("dna_flat", to="dna_foreground"),
        label("dna_foreground", to="nuclei"),
        channel(1, to="gfp"),
        gaussian("gfp", sigma_px=2.0, to="gfp_smooth"),
        tophat("gfp_smooth", radius_px=25, to="gfp_flat"),
        otsu("gfp_flat", to="gfp_foreground"),
        label("gfp_foreground", to="cells"),
    ],
    count="nuclei",
)
"""


async def _side_by_side(folder: Path) -> tuple[float, float]:
    found: dict[str, dict[str, int]] = {}
    seconds: list[tuple[float, float]] = []
    async with Mesh(data=folder / "data") as mesh:
        import_id = await mesh.submit_import(folder / "plate")
        async for imported in mesh.follow_import(import_id):
            if imported.state == "failed":
                raise RuntimeError(imported.reason)
        (plate,) = await mesh.plates()
        for _ in range(N_ROUNDS):
            reference = await asyncio.to_thread(_script, folder / "plate")
            found["reference"] = reference["wells"]
            start = time.perf_counter()
            job = await mesh.submit_job(plate.id, PIPELINE)
            async for status in mesh.follow_job(job):
                found["ours"] = {one.well: one.n_objects for one in status.wells if one.state == "done"}
            seconds.append((reference["elapsed_s"], time.perf_counter() - start))
    off = [well for well, n in found["reference"].items() if abs(n - found["ours"].get(well, 0)) > max(2, 0.02 * n)]
    if off:
        raise RuntimeError(f"the two sides count differently in {', '.join(off)}")
    return statistics.median(a for a, _ in seconds), statistics.median(b for _, b in seconds)


def _script(plate: Path) -> Any:
    words = [sys.executable, str(Path(__file__).with_name("opencv_plate.py")), str(plate)]
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)


def measure() -> list[Row]:
    """Measure both; they must count the same nuclei."""
    logging.disable(logging.WARNING)  # the supervision reports of a bench are noise
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        write_plate(Path(name) / "plate", Recipe(n_fields=4, size_px=1024))
        reference, ours = asyncio.run(_side_by_side(Path(name)))
    return [
        Row(
            name="whole plate, 192 planes of 1024²: OpenCV Pool(2)",
            reference=reference,
            ours=ours,
            unit="s",
            target=1.3,
            higher_is_better=False,
        )
    ]


if __name__ == "__main__":
    for row in measure():
        print(row)
