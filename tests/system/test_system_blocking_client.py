"""The calls for scripts and notebooks: on a real mesh, without a loop, beside one, and from several threads."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh import BlockingClient, Client
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport import AskFailed, NodeMissing

TINY = Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    write_plate(tmp_path / "plate", TINY)
    return tmp_path / "plate"


def public(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: call for name, call in inspect.getmembers(kind, inspect.isroutine) if not name.startswith("_")}


def test_every_call_of_the_client_is_there_with_its_parameters() -> None:
    blocking = public(BlockingClient)
    for name, call in public(Client).items():
        assert name in blocking
        assert inspect.signature(blocking[name]).parameters == inspect.signature(call).parameters, name
        assert blocking[name].__doc__ == call.__doc__ or name in ("at", "to", "ask"), name


def test_a_script_imports_and_follows(mesh: Any, plate: Path) -> None:
    with BlockingClient.at(mesh.data) as client:
        order = ImportOrder(path=str(plate), name="scripted", tags=("a",))
        preview = client.preview_import(order)
        assert (preview.plan.n_files, preview.same_as) == (3, "")
        import_id = client.submit_order(order)
        last = list(client.follow_import(import_id))[-1]
        assert last.state == "done"
        (plate_id,) = last.plate_ids
        assert client.plate(plate_id).name == "scripted"
        assert client.labels(plate_id).tags == ("a",)
        assert client.preview_import(order).same_as == import_id
        client.forget_import(import_id)
        with pytest.raises(AskFailed, match="no import"):
            client.get_import(import_id)


def test_it_works_where_a_loop_runs_as_in_a_notebook(mesh: Any) -> None:
    async def cell() -> Any:
        client = BlockingClient.at(mesh.data).open()
        try:
            return client.status()
        finally:
            client.close()

    assert asyncio.run(cell()).data == str(mesh.data)


def test_following_may_be_left_and_the_client_goes_on(mesh: Any, plate: Path) -> None:
    with BlockingClient.at(mesh.data) as client:
        import_id = client.submit_import(plate)
        for status in client.follow_import(import_id):
            assert status.import_id == import_id
            break
        assert client.get_import(import_id).import_id == import_id


def test_threads_ask_at_the_same_time_and_closing_ends_their_waits(mesh: Any, plate: Path) -> None:
    with BlockingClient.at(mesh.data) as client:
        with ThreadPoolExecutor(4) as pool:
            assert len({one.pid for one in pool.map(lambda _: client.status(), range(8))}) == 1
        idle = client.submit_order(ImportOrder(path=str(plate), as_files=True, exclude=("*",)))
        started = threading.Event()

        def follow() -> list[str]:
            states = []
            for status in client.follow_import(idle):
                states.append(status.state)
                started.set()
            return states

        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(follow)
            assert started.wait(60)
            client.close()
            # It had come to its end, or it was ended.
            assert following.exception(60) is None or isinstance(following.exception(), CancelledError)


def test_what_is_not_open_says_how_to_open_it(mesh: Any) -> None:
    client = BlockingClient.at(mesh.data)
    with pytest.raises(NodeMissing, match="not connected"):
        client.plates()
    client.open().close()
    client.close()
    with pytest.raises(NodeMissing, match="no mesh is up"):
        BlockingClient.at(mesh.data / "nowhere")


def test_a_script_that_forgets_to_close_comes_to_its_end(mesh: Any) -> None:
    script = f"""
from pathlib import Path
from hcs_mesh import BlockingClient
print(BlockingClient.at(Path({str(mesh.data)!r})).open().status().data)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", script], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(mesh.data), "")
