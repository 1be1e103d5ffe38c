"""Viewers are processes of their own: they record, freeze, die, and cost nobody else anything."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zmq

from hcs_mesh.messages.streaming import ListStreams
from hcs_mesh.messages.viewing import Attach, ListViewers, Subject

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            # It may have ended since, and have been waited for.
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        await running.communicate()


def recorder(data: Path, out: Path, *more: str) -> Any:
    return process(sys.executable, "-m", "hcs_mesh.viewers.recorder", "--data", str(data), "--out", str(out), *more)


async def test_the_recorder_writes_a_whole_plate_and_ends(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data") as mesh:
        mesh.publish_whereabouts()
        async with recorder(mesh.folder, tmp_path / "out", "--plate", "1", "--once") as viewer:
            said, complained = await asyncio.wait_for(viewer.communicate(), 30)
        assert viewer.returncode == 0, complained.decode()
        assert "4 planes recorded" in said.decode()
        path = tmp_path / "out" / "plate_1" / "B02" / "B02_s001_z000_c001.tif"
        assert np.all(tifffile.imread(path) == 1101)
        lines = [json.loads(line) for line in (tmp_path / "out" / "index.jsonl").read_text().splitlines()]
        assert sum("sha1" in line for line in lines) == 4


async def test_a_recorder_without_a_mesh_says_so_and_fails(tmp_path: Path) -> None:
    async with recorder(tmp_path, tmp_path / "out") as viewer:
        _, complained = await asyncio.wait_for(viewer.communicate(), 30)
    assert viewer.returncode == 1
    assert "no mesh is up" in complained.decode()
    assert "Traceback" not in complained.decode()


async def test_a_recorder_for_an_unknown_plate_says_so_and_fails(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data") as mesh:
        mesh.publish_whereabouts()
        async with recorder(mesh.folder, tmp_path / "out", "--plate", "9") as viewer:
            _, complained = await asyncio.wait_for(viewer.communicate(), 30)
        assert viewer.returncode == 1
        assert "there is no plate 9" in complained.decode()


@pytest.mark.timeout(180)
async def test_a_frozen_viewer_holds_its_own_credit_only_and_a_killed_one_holds_nothing(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2, n_slots=5) as mesh:
        mesh.publish_whereabouts()
        mesh.add_plate(2, tuple(f"A{column:02d}" for column in range(1, 13)))
        async with recorder(mesh.folder, tmp_path / "frozen", "--plate", "1") as frozen:
            assert mesh.node is not None
            viewers = mesh.node.find("viewers")

            async def four_sent() -> bool:
                attached = await viewers.ask(ListViewers())
                return bool(attached) and attached[0].n_sent >= 4

            await streaming.until(four_sent, 45)
            os.kill(frozen.pid, signal.SIGSTOP)
            mesh.node.find("publisher").tell(mesh.committed_anew(1))
            await streaming.until(lambda: mesh.slots_held == 2, 30)
            async with recorder(mesh.folder, tmp_path / "out", "--plate", "2", "--once") as other:
                said, complained = await asyncio.wait_for(other.communicate(), 60)
            assert "24 planes recorded" in said.decode(), complained.decode()
            # What the other has let go of last may still be on its way.
            await streaming.until(lambda: mesh.slots_held == 2, 30)
            os.kill(frozen.pid, signal.SIGKILL)
            await streaming.until(lambda: mesh.slots_held == 0, 30)

            async def nobody_is_left() -> bool:
                return await viewers.ask(ListViewers()) == ()

            await streaming.until(nobody_is_left, 30)


@pytest.mark.needs("napari", "xvfb")
@pytest.mark.timeout(180)
async def test_napari_follows_a_plate_outlives_the_mesh_and_comes_back(tmp_path: Path, streaming: Any) -> None:
    report = tmp_path / "report.json"

    def holds(**expected: Any) -> bool:
        if not report.exists():
            return False
        found = json.loads(report.read_text())
        return all(found[name] == value for name, value in expected.items())

    async with streaming.mesh(tmp_path / "data") as mesh:
        mesh.publish_whereabouts()
        napari = [sys.executable, "-m", "hcs_mesh.viewers.napari", "--data", str(mesh.folder), "--report", str(report)]
        async with process(
            "xvfb-run", "-a", "-s", "-screen 0 1280x900x24", *napari, XDG_RUNTIME_DIR=str(tmp_path)
        ) as viewer:
            await streaming.until(lambda: holds(state="following", n_received=4, position=["A01", 1, 0, 0]), 60)
            found = json.loads(report.read_text())
            assert {name: layer["shape"] for name, layer in found["layers"].items()} == {
                "DNA": [2, 1, 1, 1, 64, 64],
                "GFP": [2, 1, 1, 1, 64, 64],
            }
            await mesh.stop()
            await streaming.until(lambda: holds(state="the mesh is away"), 30)
            await mesh.start()
            await streaming.until(lambda: holds(state="following", n_received=4), 30)
            os.killpg(viewer.pid, signal.SIGTERM)
            await asyncio.wait_for(viewer.wait(), 30)
            await streaming.until(lambda: mesh.statistics("viewers")["viewers"] == 0)


async def test_a_viewer_that_attaches_twice_at_once_has_one_stream(tmp_path: Path, streaming: Any) -> None:
    context = zmq.Context()
    async with streaming.mesh(tmp_path / "data") as mesh:
        dialer = mesh.dial(context, lambda link, envelope: None)
        attach = Attach(kind="recorder", pid=os.getpid(), subject=Subject(plate_id=1))
        asked = [dialer.link.ask("viewers", attach) for _ in range(2)]
        first, second = await asyncio.gather(*asked, return_exceptions=True)
        streams = await mesh.node.find("publisher").ask(ListStreams())
        assert [stream.viewer for stream in streams] == [second.viewer], first
        dialer.close()
    context.term()
