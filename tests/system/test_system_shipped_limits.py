"""The limits as they are shipped: what a user does wrong and what kills an executor take nothing down."""

import asyncio
import os
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh import Mesh, Settings
from hcs_mesh.client import Client
from hcs_mesh.command_line.demo_pipeline import DEMO_PIPELINE
from hcs_mesh.config import DeviceSettings
from hcs_mesh.messages.compute import JobStatus
from hcs_mesh.pipelines import to_source
from hcs_mesh.plates.synthetic import Recipe, write_plate

N_KILLS = 6

PIPELINE = to_source(DEMO_PIPELINE)
DEATH = r"\(process (\d+)\) died over it"


def not_running(rows: dict[str, Any]) -> dict[str, Any]:
    return {name: row for name, row in rows.items() if row["state"] != "running"}


async def kill_at_work(client: Client, job: str) -> set[int]:
    """End six executors, each over the first attempt of a well; returns their processes."""
    pids: set[int] = set()
    while len(pids) < N_KILLS:
        status: JobStatus = await client.job(job)
        assert status.state == "running", (pids, status.reason)
        up = {row.name: row.pid for row in await client.tree() if row.name.startswith("executor.")}
        for well in status.wells:
            pid = up.get(well.executor)
            if well.state == "running" and well.attempts == 1 and pid and pid not in pids and len(pids) < N_KILLS:
                os.kill(pid, signal.SIGKILL)
                pids.add(pid)
        await asyncio.sleep(0.005)
    return pids


@pytest.mark.timeout(300)
def test_six_killed_executors_do_not_stop_a_run(mesh_up: Callable[..., Any], tmp_path: Path) -> None:
    write_plate(tmp_path / "P", Recipe(name="P", n_rows=4, n_columns=6, n_fields=2, size_px=256))

    async def run(data: Path, plate_id: int) -> tuple[set[int], JobStatus]:
        async with Client.at(data) as client:
            job = await client.submit_job(plate_id, PIPELINE)
            killed = await kill_at_work(client, job)
            async with asyncio.timeout(150.0):
                async for status in client.follow_job(job):
                    last = status
            return killed, last

    with mesh_up() as mesh:
        plate_id = mesh.imported(tmp_path / "P")
        killed, ended = asyncio.run(run(mesh.data, plate_id))
        assert (len(killed), ended.state, ended.reason) == (N_KILLS, "done", "")
        assert Counter(one.state for one in ended.wells) == {"done": 24}
        # Each death was paid for with one attempt of the well that the executor was at by then, and nothing else was.
        died = [found and int(found[1]) for found in (re.search(DEATH, fault) for fault in ended.faults)]
        assert len(set(died)) == len(died), ended.faults
        assert set(died) <= killed, ended.faults
        # The last one may come up when the others have done everything.
        asyncio.run(eventually(lambda: not not_running(mesh.rows()), 90.0, "the return of every executor"))
        rows = mesh.rows()
        assert sum(row["restarts"] for name, row in rows.items() if name.startswith("executor.")) == N_KILLS
        assert sum(row["restarts"] for name, row in rows.items() if not name.startswith("executor.")) == 0


def test_wrong_questions_and_paths_leave_everything_up(mesh_up: Callable[..., Any], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "plate").mkdir(parents=True)
    closed.chmod(0)
    pipeline = tmp_path / "pipeline.py"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    with mesh_up() as mesh:
        for number in ("9223372036854775808", "18446744073709551616", "99999999999999999999999", "0"):
            assert f"no plate {number}" in mesh("plate", number).refusal
            assert f"no plate {number}" in mesh("run", number, pipeline).refusal
        assert "no plate 9223372036854775808" in mesh("view", "recorder", "--plate", "9223372036854775808").refusal
        paths = ["/" + "x" * 300, "/" + "x/" * 2500, "/etc/hostname/below", "/nowhere/at/all"]
        if os.geteuid() != 0:
            paths.append(str(closed / "plate"))
        for path in paths:
            assert mesh("import", path).refusal
        rows = mesh.rows()
        assert not_running(rows) == {}
        assert sum(row["restarts"] for row in rows.values()) == 0
    closed.chmod(0o700)


def test_a_folder_of_sockets_outside_the_data_goes_with_the_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / ("long" * 30)

    async def up_and_down(runtime: Path) -> list[str]:
        async with Mesh(Settings(devices=DeviceSettings(cpu_slots=0, gpu="off")), data=data):
            return [one.name for one in runtime.iterdir()]  # noqa: ASYNC240 - nothing else wants the loop

    # Short: the data folder's path is too long for a socket, and this one is not.
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        (stand_in,) = asyncio.run(up_and_down(Path(short)))
        assert stand_in.startswith("hcs-mesh-")
        assert list(Path(short).iterdir()) == []
