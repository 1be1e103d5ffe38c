"""What no reader of OMERO's would make a plate of, through the commands that a user types."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from companions import NF1
from omero_home import household
from omero_lab import SETUP

from hcs_mesh.plates.local.certificate_shelf import load
from omero_server.running import running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(900)]

IMAGES = "ome-tiff-companion/multifile.companion.ome"
"""A real image on no plate."""


def found_in(job: dict[str, Any]) -> dict[str, Any]:
    """What a job has found out, by well."""
    return {well: (told["n_objects"], told["measurements"]) for well, told in job["wells"].items()}


def test_a_real_plate_by_a_pattern_has_the_same_nuclei_in_omero_and_an_image_alone_is_told_of(
    mesh_up: Callable[..., Any], tmp_path: Path, shared_data: Path, checkout: Path
) -> None:
    source, pattern = shared_data / NF1[0], NF1[1]
    nuclei = checkout / "examples" / "pipelines" / "nuclei.py"
    with mesh_up() as local:
        here = local("run", local.imported(source, "--pattern", pattern), nuclei, "--wait").value
    assert (here["state"], len(here["wells"])) == ("done", 3)
    minter = tmp_path / "minter-secret"
    minter.touch(mode=0o600)
    minter.write_text("pw-minter\n")
    with (
        running_server(tmp_path / "omero", setup=SETUP) as server,
        household(mesh_up, server, tmp_path, minter=minter) as home,
    ):
        before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
        done = home.until(home.hand_over("ada", source, "--pattern", pattern), "done", "failed")
        (plate,) = done["plates"]
        there = home.command("ada", "run", plate, nuclei, "--wait").value
        assert (there["state"], found_in(there)) == ("done", found_in(here))
        assert {file.path for file in load(Path(done["certificate"])).certificate.files} == {
            path.relative_to(source).as_posix() for path in before if "_images" in str(path) and path.suffix == ".tif"
        }
        assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
        told = home.until(home.hand_over("ada", shared_data / IMAGES, "--dataset", "Confocal"), "done", "failed")
        assert told["plates"] == []
        [note] = [note for note in told["notes"] if "on no plate" in note]
        assert note.startswith("1 image is in OMERO in Confocal (Dataset:1) and lies on no plate (Image:")
        image = note.partition("Image:")[2].partition(")")[0]
        refused = home.command("ada", "run", image, nuclei).refusal
        assert f"There is no plate {image}. Image {image} of OMERO" in refused
        assert "lies on no plate" in refused
