"""Faults of real processes that are no deaths: one that is stopped, one without descriptors, one that never answers."""

import ast
import asyncio
import inspect
import os
import pkgutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

import msgspec
import psutil
import pytest

import hcs_mesh.messages
from hcs_mesh import Client
from hcs_mesh.command_line.demo_pipeline import DEMO_PIPELINE
from hcs_mesh.messages.compute import JobStatus
from hcs_mesh.pipelines import to_source
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import (
    AskTimedOut,
    PeerRef,
    Ping,
    Request,
    ipc_endpoint,
)

SILENCE_S = 15.0
"""After so much of it a process is held to be hung."""


async def stop_one_at_work(client: Client, job: str) -> tuple[str, int]:
    """Stop an executor in the middle of a well: its name and its pid."""
    while True:
        status: JobStatus = await client.job(job)
        assert status.state == "running", status
        up = {row.name: row.pid for row in await client.tree()}
        for well in status.wells:
            if well.state == "running" and (pid := up.get(well.executor)):
                os.kill(pid, signal.SIGSTOP)
                return well.executor, pid
        await asyncio.sleep(0.005)


@pytest.mark.timeout(300)
def test_a_stopped_executor_is_hung_a_busy_one_is_not_and_the_job_is_done(
    mesh_up: Callable[..., Any], tmp_path: Path
) -> None:
    write_plate(tmp_path / "P", Recipe(name="P", n_rows=4, n_columns=6, n_fields=2, size_px=256))

    async def run(data: Path, plate_id: int) -> tuple[str, int, set[str], float, JobStatus]:
        async with Client.at(data) as client:
            job = await client.submit_job(plate_id, to_source(DEMO_PIPELINE))
            stopped, pid = await stop_one_at_work(client, job)
            start = time.monotonic()
            # It may have come to its next well by the moment at which it was stopped.
            at_it: set[str] = set()
            async with asyncio.timeout(180.0):
                async for status in client.follow_job(job):
                    last = status
                    at_it |= {one.well for one in status.wells if (one.executor, one.state) == (stopped, "running")}
            return stopped, pid, at_it, time.monotonic() - start, last

    with mesh_up() as mesh:
        plate_id = mesh.imported(tmp_path / "P")
        stopped, pid, at_it, took_s, ended = asyncio.run(run(mesh.data, plate_id))
        assert (ended.state, ended.reason) == ("done", "")
        assert Counter(one.state for one in ended.wells) == {"done": 24}
        # Nobody killed it before its silence was proof, and somebody did soon after.
        assert SILENCE_S - 5.0 < took_s < SILENCE_S + 90.0
        until = time.monotonic() + 90.0
        while (rows := mesh.rows())[stopped]["state"] != "running" or not rows[stopped]["restarts"]:
            assert time.monotonic() < until, rows[stopped]
        assert not psutil.pid_exists(pid)
        assert rows[stopped]["restarts"] == 1
        assert "no heartbeat" in rows[stopped]["last_error"]
        assert {name for name, row in rows.items() if row["restarts"]} == {stopped}
        again = {one.well: one.attempts for one in ended.wells if one.attempts > 1}
        assert list(again.values()) in ([], [2])
        assert again.keys() <= at_it


# -- a time-out in every ask ----------------------------------------------------------------------

NEVER = """
import asyncio, os, signal, sys
from pathlib import Path
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import ipc_endpoint


async def main(folder):
    node = Node("never")
    dialer = node.dial_parent(ipc_endpoint(Path(folder), "inner"))
    dialer.link.flush()
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
"""


def all_requests() -> list[type[Request[Any]]]:
    """Every request of the vocabulary."""
    found: set[type[Request[Any]]] = {Ping}
    for module in pkgutil.iter_modules(hcs_mesh.messages.__path__):
        for _, kind in inspect.getmembers(import_module(f"hcs_mesh.messages.{module.name}"), inspect.isclass):
            if issubclass(kind, Request) and get_origin(kind) is None and kind.__struct_config__.tag:
                found.add(kind)
    return sorted(found, key=lambda kind: str(kind.__struct_config__.tag))


@pytest.mark.anyio
async def test_every_request_has_its_time_and_then_an_error_when_the_peer_is_stopped(tmp_path: Path) -> None:
    node = Node("parent")
    node.listen_inner(ipc_endpoint(tmp_path, "inner"))
    expected = node.expect("never")
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", NEVER, str(tmp_path))
    try:
        link = await asyncio.wait_for(expected, 30.0)
        child.send_signal(signal.SIGSTOP)
        kinds = all_requests()
        assert len(kinds) > 30
        start = time.monotonic()
        requests = [
            kind(**{field.name: None for field in msgspec.structs.fields(kind) if field.required}) for kind in kinds
        ]
        asks = [PeerRef(link, "actor").ask(request, timeout_s=0.3) for request in requests]
        ends = await asyncio.gather(*asks, return_exceptions=True)
        # What had no end of its own would take half a minute.
        assert time.monotonic() - start < 20.0
        assert [type(end) for end in ends] == [AskTimedOut] * len(kinds)
        assert link.statistics()["asks_waiting"] == 0
    finally:
        child.kill()
        await child.wait()
        await node.close()


def bounds_on_waiting() -> list[tuple[str, float | None]]:
    """Every default of an argument ``timeout_s`` in the package, by module and function."""
    found: list[tuple[str, float | None]] = []
    root = Path(hcs_mesh.__file__).parent
    folders = [Path(folder) for folder, _, _ in os.walk(root, followlinks=True)]
    for file in sorted(file for folder in folders for file in folder.glob("*.py")):
        module = ".".join(("hcs_mesh", *file.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            given = [*node.args.posonlyargs, *node.args.args]
            n_bare = len(given) - len(node.args.defaults)
            pairs = [*zip(given[n_bare:], node.args.defaults, strict=True)]
            pairs += [*zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
            for argument, default in pairs:
                if argument.arg == "timeout_s" and default is not None:
                    found.append((f"{module}.{node.name}", eval_default(module, default)))
    return found


def eval_default(module: str, default: ast.expr) -> float | None:
    if isinstance(default, ast.Name):
        return getattr(import_module(module), default.id)
    return ast.literal_eval(default)


STARTS_A_SERVER = "hcs_mesh.plates.omero.instance.instance.__init__"
"""It asks nobody of the mesh: images are fetched and a database is made meanwhile, and it says how far it is."""


def test_no_call_of_the_package_asks_for_ever() -> None:
    bounds = [(name, bound) for name, bound in bounds_on_waiting() if name != STARTS_A_SERVER]
    asking = {name.rpartition(".")[2] for name, _ in bounds}
    assert {"ask", "send"} <= asking
    assert len(bounds) > 12
    assert not [(name, bound) for name, bound in bounds if bound is None or not 0 < bound <= 60.0]
