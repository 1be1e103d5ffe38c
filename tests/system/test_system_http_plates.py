"""A plate that somebody serves by HTTP, through the commands that a user types, while its server comes and goes."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import served_plates
from free_ports import free_port
from waiting import eventually
from zarr_copies import as_zarr

from hcs_mesh.plates.synthetic import Recipe, write_plate

NUMBER = 1_000_000_001


class Program:
    """The server, a process that can be killed, at one port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Of its own from the beginning: it is listened on again after a while in which nobody does.
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, served_plates.__file__, str(self._folder), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert int(self._process.stdout.readline()) == self.port

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def nuclei(checkout: Path) -> Path:
    return checkout / "examples" / "pipelines" / "nuclei.py"


@pytest.mark.anyio
@pytest.mark.timeout(300)
async def test_a_served_plate_is_seen_and_analysed_and_its_server_may_come_and_go(
    mesh_up: Callable[..., Any], tmp_path: Path, nuclei: Path
) -> None:
    write_plate(tmp_path / "tiff", Recipe(name="Tiny", n_rows=1, n_columns=2, n_fields=2, size_px=256))
    as_zarr(tmp_path / "tiff", tmp_path / "served" / "same.zarr")
    server = Program(tmp_path / "served")
    settings = f'\n[[http_plates]]\nname = "far"\nurl = "http://127.0.0.1:{server.port}/same.zarr/"\n'
    # A machine that is busy takes its time between one command and the next.
    settings += "fresh_s = 3600\n"
    data = tmp_path / "data"
    try:
        with mesh_up(data, more_settings=settings) as mesh:
            imported = mesh.imported(tmp_path / "tiff")
            assert imported == 1
            shown = mesh("plate", NUMBER).value
            assert (shown["name"], set(shown["wells"])) == ("far", {"A01", "A02"})
            listed = {one["id"]: one for one in mesh("plates").value}
            assert (listed[NUMBER]["name"], listed[NUMBER]["n_wells"]) == ("far", 2)
            refused = mesh("run", NUMBER, nuclei, "--results-in", "omero").refusal
            assert "lies in 'http', whose results go to 'local', and not to 'omero'" in refused

            server.kill()
            job = mesh("run", NUMBER, nuclei, "--results-in", "local").value["job"]
            await eventually(lambda: "waiting: http://127.0.0.1" in mesh("jobs", job).out, 60, "the job's waiting")
            server.start()
            await eventually(lambda: mesh("jobs", job).value["state"] != "running", 120, "the job's end")

            done = mesh("jobs", job).value
            here = mesh("run", imported, nuclei, "--wait").value
            counts = [{well: one["n_objects"] for well, one in of["wells"].items()} for of in (done, here)]
            assert counts[0] == counts[1]
            assert min(counts[0].values()) > 0
            assert (done["state"], done["faults"]) == ("done", [])
            files = [Path(file) for well in done["wells"].values() for file in well["files"]]
            assert files
            assert all(file.is_relative_to(data / "repository") and file.is_file() for file in files)

            mesh("view", "recorder", "--plate", NUMBER, "--out", tmp_path / "recording", "--wait")
            assert len(list((tmp_path / "recording").rglob("*.tif"))) == 8

            server.kill()
        # A restart knows what the plate holds, with nobody to ask.
        with mesh_up(data, more_settings=settings) as mesh:
            assert mesh("plate", NUMBER).value["wells"] == shown["wells"]
            assert mesh("jobs", job).value["state"] == "done"
            assert [one["id"] for one in mesh("plates").value] == [NUMBER, imported]
        with mesh_up(data) as mesh:
            assert [one["id"] for one in mesh("plates").value] == [imported]
            assert "settings do not name" in mesh("plate", NUMBER).refusal
    finally:
        server.kill()
