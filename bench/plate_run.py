"""A whole plate, 24 wells x 4 fields x 2 channels of 1024²: blur, top-hat, Otsu, label, count, two workers.

The OpenCV script is timed from the shell to its end; so is ``hcs-mesh run --wait`` against a mesh that is up
and has the plate. Ours journals every well and writes its result: ``python bench/plate_run.py``.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rounds import paired
from rows import Row

from hcs_mesh.plates.synthetic import Recipe, write_plate

PIPELINE = """
from hcs_mesh.pipelines import Pipeline, channel, gaussian, label, measure_shape, otsu, tophat

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
        measure_shape("cells", to="per_cell"),
    ],
    count="nuclei",
)
"""


def mesh(data: Path, *words: str) -> Any:
    """One command of the mesh on this data folder; its answer.

    Raises:
        RuntimeError: the command failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "hcs_mesh", *words, "--data", str(data)], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise RuntimeError(f"hcs-mesh {words[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return json.loads(done.stdout) if "--json" in words else done.stdout


def measure() -> list[Row]:
    """Measure both; they must count the same nuclei."""
    with tempfile.TemporaryDirectory(prefix="hcs-mesh-bench-") as name:
        folder = Path(name)
        write_plate(folder / "plate", Recipe(n_fields=4, size_px=1024))
        pipeline = folder / "bench.py"
        pipeline.write_text(PIPELINE)
        data = folder / "data"
        found: dict[str, dict[str, int]] = {}

        def reference() -> float:
            start = time.perf_counter()
            script = [sys.executable, str(Path(__file__).with_name("opencv_plate.py")), str(folder / "plate")]
            found["reference"] = json.loads(subprocess.run(script, capture_output=True, check=True).stdout)
            return time.perf_counter() - start

        mesh(data, "up", "--detach")
        try:
            (plate,) = mesh(data, "import", str(folder / "plate"), "--wait", "--json")["plates"]

            def ours() -> float:
                start = time.perf_counter()
                answer = mesh(data, "run", str(plate), str(pipeline), "--wait", "--json")
                elapsed = time.perf_counter() - start
                found["ours"] = {well: one["n_objects"] for well, one in answer["wells"].items()}
                return elapsed

            seconds = paired(reference, ours, rounds=3)
        finally:
            mesh(data, "down")
    off = [well for well, n in found["reference"].items() if abs(n - found["ours"][well]) > max(2, 0.02 * n)]
    if off:
        raise RuntimeError(f"the two sides count differently in {', '.join(off)}")
    return [
        Row(
            name="whole plate, 192 planes of 1024²: OpenCV Pool(2)",
            reference=seconds[0],
            ours=seconds[1],
            unit="s",
            target=1.3,
            higher_is_better=False,
        )
    ]


if __name__ == "__main__":
    for row in measure():
        print(row)
