"""An import in place beside a person who puts something else where his files were: a real mesh that may read it all."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.plates.synthetic import Recipe, write_plate

pytestmark = pytest.mark.needs("root")

PERSON = "nobody"


@pytest.fixture
def store() -> Iterator[Path]:
    """A folder that the person can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="hcs-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_the_person(*command: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*map(str, command)], user=PERSON, group="nogroup", extra_groups=[], capture_output=True)


def test_a_mesh_that_may_read_everything_hands_nobody_what_a_link_of_his_leads_to(
    mesh: Any, store: Path, checkout: Path
) -> None:
    plate, secret = store / "plate", store / "secret"
    recipe = Recipe(name="Mine", n_rows=1, n_columns=3, n_fields=1, size_px=256)
    write_plate(plate, recipe)
    write_plate(secret, recipe)
    secret.chmod(0o700)
    subprocess.run(["chown", "-R", f"{PERSON}:nogroup", str(plate)], check=True)
    plate_id = mesh.imported(plate, "--mode", "in-place")

    images = plate / "TimePoint_1"
    (linked,), (changed,) = (sorted(images.glob(f"Mine_{well}_*w1.TIF")) for well in ("A01", "A02"))
    hidden = secret / "TimePoint_1" / linked.name
    assert as_the_person("cat", hidden).returncode != 0
    assert as_the_person("ln", "-sfT", hidden, linked).returncode == 0
    assert as_the_person("truncate", "-s", "-1", changed).returncode == 0
    assert as_the_person("truncate", "-s", "+1", changed).returncode == 0

    pipeline = checkout / "examples" / "pipelines" / "nuclei.py"
    ended = mesh("run", plate_id, pipeline, "--wait")
    job = json.loads(ended.out)
    states = {well: one["state"] for well, one in job["wells"].items()}
    assert states == {"A01": "failed", "A02": "failed", "A03": "done"}
    told = {well: one["error"] for well, one in job["wells"].items()}
    assert f"it was imported in place, and {linked} is a link by now" in told["A01"]
    assert f"it was imported in place, and {changed} was changed: last written at" in told["A02"]
    assert not list((mesh.data / "repository" / "results").rglob("A01_*.ome.tiff"))
