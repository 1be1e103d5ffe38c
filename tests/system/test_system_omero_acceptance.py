"""Real images at home in OMERO: computed as they are with the local repository, whoever is killed meanwhile."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from omero_home import PATIENCE_S, household
from omero_imports import ask
from omero_lab import SETUP
from omero_plates import logged_in, write_ome_plate

from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(900)]

WELLS = {"B07": "B7", "D06": "D6", "D07": "D7"}
"""Of the real plate, as its files are called."""
SAVE = "IUpdate.saveAndReturnIds"
RECORDS = "select a.name, a.description from MapAnnotation a where a.ns like :what and a.description is not null"
PIPELINES = "select f.id from FileAnnotation f where f.ns like :what"


def found_in(job: dict[str, Any]) -> dict[str, Any]:
    """What a job has found out, by well."""
    return {well: (told["n_objects"], told["measurements"]) for well, told in job["wells"].items()}


def write_source(images: Path, folder: Path) -> Path:
    """One field of nuclei of each well, as a plate that both OMERO and the mesh read."""
    planes = [[[tifffile.imread(next(images.glob(f"{well}_01_*DAPI*.tif")))]] for well in WELLS.values()]
    folder.mkdir()
    write_ome_plate(folder / "nuclei.ome.tiff", np.asarray(planes))
    return folder


def until_one_is_held(server: RunningServer) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not server.control.tell("held")["held"].get(SAVE):
        assert time.monotonic() < until_s, "nobody saves anything"
        time.sleep(0.05)


def until_over(command: Callable[..., Any], job: str) -> dict[str, Any]:
    """A job once it is over; the mesh may be killed and started meanwhile."""
    until_s = time.monotonic() + 4 * PATIENCE_S
    while (told := command("jobs", job).value)["state"] == "running":
        assert time.monotonic() < until_s, told
    found: dict[str, Any] = told
    return found


def test_real_nuclei_have_the_same_results_in_omero_through_kills_of_mesh_and_server(
    mesh_up: Callable[..., Any], tmp_path: Path, shared_data: Path, checkout: Path
) -> None:
    source = write_source(shared_data / "nf1-cellpainting" / "Plate_2_images", tmp_path / "source")
    pipeline = checkout / "examples" / "pipelines" / "nuclei.py"
    with mesh_up() as local:
        here = local("run", local.imported(source), pipeline, "--wait").value
    assert here["state"] == "done"
    assert all(n_objects > 10 for n_objects, _ in found_in(here).values())
    minter = tmp_path / "minter-secret"
    minter.touch(mode=0o600)
    minter.write_text("pw-minter\n")
    with (
        running_server(tmp_path / "omero", setup=SETUP) as server,
        household(mesh_up, server, tmp_path, minter=minter) as home,
    ):
        done = home.until(home.hand_over("ada", source), "done", "failed")
        (plate,) = done["plates"]
        server.control.tell("hold", operation=SAVE)
        job = home.command("ada", "run", plate, pipeline).value["job"]
        # In the midst of a well's results.
        until_one_is_held(server)
        os.kill(home.mesh("status").value["pid"], signal.SIGKILL)
        server.kill()
        assert home.mesh("up", "--detach").code == 0
        server.start()
        there = until_over(lambda *words: home.command("ada", *words), job)
        assert (there["state"], there["faults"]) == ("done", [])
        assert found_in(there) == found_in(here)
        with logged_in(server, "ada") as client:
            records = ask(client, RECORDS, "hcs-mesh/result")
            assert len(records) == len(here["wells"])
            assert all(f"/{job}/plate_{plate}/" in name for name, _ in records)
            assert len(ask(client, PIPELINES, "hcs-mesh/result/pipeline")) == 1
