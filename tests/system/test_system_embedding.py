"""The mesh inside somebody else's program: its loop, signals, logs and terminal stay its own."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from waiting import eventually

from hcs_mesh import Actor, Event, Mesh, Request, Settings
from hcs_mesh.config import DeviceSettings, ImportSettings
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport import AskFailed, PeerGone

SETTINGS = Settings(devices=DeviceSettings(cpu_slots=1, gpu="off"), imports=ImportSettings(settle_s=0.05))


class Add(Request[int], frozen=True, kw_only=True, tag="embedding.add"):
    """Add to the sum that this life of the actor has seen."""

    number: int


class Fall(Event, frozen=True, kw_only=True, tag="embedding.fall"):
    """Fail in a way that nobody foresaw."""


class Adder(Actor[Add | Fall]):
    """Counts, and falls over when it is told to."""

    def __init__(self) -> None:
        self._sum = 0

    async def receive(self, message: Add | Fall) -> Any:
        match message:
            case Add(number=number):
                self._sum += number
                return self._sum
            case Fall():
                raise ZeroDivisionError("told to fall")


class Surroundings(NamedTuple):
    """What belongs to the host program."""

    signals: tuple[Any, ...]
    policy: int
    log_handlers: tuple[logging.Handler, ...]
    exception_handler: Any
    excepthook: Any


def surroundings() -> Surroundings:
    return Surroundings(
        tuple(signal.getsignal(one) for one in signal.valid_signals()),
        id(asyncio.get_event_loop_policy()),
        tuple(logging.getLogger().handlers),
        asyncio.get_running_loop().get_exception_handler(),
        sys.excepthook,
    )


def children() -> set[int]:
    """The processes below this one; those that earlier tests have left may end at any moment."""
    return {one.pid for one in psutil.Process().children(recursive=True)}


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("microscope") / "Tiny"
    write_plate(folder, Recipe(name="Tiny", n_rows=1, n_columns=2, n_fields=1, size_px=128))
    return folder


async def imported(mesh: Mesh, source: Path) -> tuple[int, ...]:
    async for status in mesh.follow_import(await mesh.submit_import(source)):
        last = status
    assert last.state == "done", last.reason
    return last.plate_ids


def test_a_plain_program_keeps_its_loop_its_signals_and_its_terminal(
    tmp_path: Path, plate: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def program() -> None:
        before, pids = surroundings(), children()
        ticks = 0

        loop = asyncio.get_running_loop()

        def tick() -> None:
            nonlocal ticks, ticking
            ticks += 1
            ticking = loop.call_later(0.01, tick)

        ticking = loop.call_later(0.01, tick)
        async with Mesh(SETTINGS, data=tmp_path / "data").add("adder", Adder) as mesh:
            assert surroundings() == before
            assert await mesh.ask("adder", Add(number=2)) == 2
            assert await mesh.ask("adder", Add(number=3)) == 5
            (plate_id,) = await imported(mesh, plate)
            assert (await mesh.plate(plate_id)).wells == ("A01", "A02")
            mesh.find("adder").tell(Fall())
            # A new life of the actor: the mesh's own actors are the same as before.
            assert await again(lambda: mesh.ask("adder", Add(number=1))) == 1
            restarts = {row.name: row.restarts for row in mesh.rows() if row.restarts}
            assert restarts == {"adder": 1}
        assert surroundings() == before
        assert not children() - pids
        assert ticks > 20
        ticking.cancel()
        assert {task for task in asyncio.all_tasks() if not task.done()} == {asyncio.current_task()}

    asyncio.run(program())
    assert capfd.readouterr() == ("", "")


async def again(ask: Callable[[], Any]) -> Any:
    """Ask until the actor's next life answers."""

    async def answered() -> Any:
        try:
            return await ask()
        except (AskFailed, PeerGone):
            return None

    return await eventually(answered, what="the actor's next life")


def test_an_exception_of_the_host_leaves_no_process_and_no_socket_behind(tmp_path: Path) -> None:
    async def program() -> None:
        async with Mesh(SETTINGS, data=tmp_path / "data"):
            raise KeyError("the host's own")

    before = children()
    with pytest.raises(KeyError, match="the host's own"):
        asyncio.run(program())
    assert not children() - before

    async def cancelled() -> None:
        async with Mesh(SETTINGS, data=tmp_path / "data"), asyncio.timeout(0.05):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert not children() - before


def test_a_killed_host_takes_its_children_along(tmp_path: Path) -> None:
    program = tmp_path / "host.py"
    program.write_text(
        "import asyncio, sys\nfrom pathlib import Path\nfrom hcs_mesh import Mesh\n"
        "async def main():\n"
        "    async with Mesh(data=Path(sys.argv[1])) as mesh:\n"
        "        print('up', flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n",
        encoding="utf-8",
    )
    host = subprocess.Popen([sys.executable, str(program), str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "up\n"
    grown = psutil.Process(host.pid).children(recursive=True)
    assert len(grown) >= 2
    host.kill()
    host.wait()
    host.stdout.close()
    _, alive = psutil.wait_procs(grown, timeout=60)
    assert not alive


def test_two_meshes_live_in_one_program(tmp_path: Path, plate: Path) -> None:
    async def program() -> None:
        async with AsyncExitStack() as stack:
            one, two = [
                await stack.enter_async_context(Mesh(SETTINGS, data=tmp_path / name).add("adder", Adder))
                for name in ("one", "two")
            ]
            await imported(one, plate)
            assert len(await one.plates()) == 1
            assert await two.plates() == ()
            assert await one.ask("adder", Add(number=4)) == 4
            assert await two.ask("adder", Add(number=1)) == 1

    asyncio.run(program())


def test_a_fixture_may_open_the_mesh_in_one_task_and_close_it_in_another(tmp_path: Path) -> None:
    @asynccontextmanager
    async def fixture() -> AsyncIterator[Mesh]:
        async with Mesh(SETTINGS, data=tmp_path / "data") as mesh:
            yield mesh

    async def program() -> None:
        opened = fixture()
        # As pytest plugins do it: every step of the fixture is a task of its own.
        mesh = await asyncio.create_task(opened.__aenter__())
        assert await asyncio.create_task(mesh.plates()) == ()
        await asyncio.create_task(opened.__aexit__(None, None, None))

    before = children()
    asyncio.run(program())
    assert not children() - before


@pytest.fixture
async def mesh_of_a_fixture(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with Mesh(SETTINGS, data=tmp_path / "data").add("adder", Adder) as mesh:
        yield mesh


@pytest.mark.anyio
async def test_a_pytest_fixture_hands_out_a_mesh(mesh_of_a_fixture: Mesh) -> None:
    assert await mesh_of_a_fixture.ask("adder", Add(number=7)) == 7


def test_a_notebook_cell_runs_a_mesh(tmp_path: Path, plate: Path) -> None:
    """Cells of a kernel share one loop; a mesh is opened in one cell, used in the next, closed in a third."""
    cells = [
        "import asyncio, signal\nfrom pathlib import Path\nfrom hcs_mesh import Mesh",
        "before = [signal.getsignal(one) for one in signal.valid_signals()]",
        "policy = asyncio.get_event_loop_policy()",
        f"mesh = await Mesh(data=Path({str(tmp_path / 'data')!r})).__aenter__()",
        f"id = await mesh.submit_import(Path({str(plate)!r}))",
        "states = [one.state async for one in mesh.follow_import(id)]",
        "print('cell:', states[-1], len(await mesh.plates()))",
        "await mesh.__aexit__(None, None, None)",
        "assert before == [signal.getsignal(one) for one in signal.valid_signals()]",
        "assert policy is asyncio.get_event_loop_policy()",
    ]
    assert "cell: done 1" in run_cells(cells, tmp_path)


def run_cells(cells: list[str], folder: Path) -> str:
    """Run cells in a real kernel and return what they printed."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(
        kernel_name="python3", cwd=str(folder), env={**os.environ, "IPYTHONDIR": str(folder / "ipython")}
    )
    printed: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])

    try:
        for cell in cells:
            reply = client.execute_interactive(cell, timeout=100, output_hook=hear)
            assert reply["content"]["status"] == "ok", (cell, reply["content"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
    return "".join(printed)


@pytest.mark.parametrize("name", ["embedding.py"])
def test_an_example_program_runs(checkout: Path, tmp_path: Path, plate: Path, name: str) -> None:
    example = checkout / "examples" / name
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(example), str(tmp_path / "data"), str(plate)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "wells: 2"
    assert ended.stderr == ""


def test_the_example_program_is_short_and_says_how_it_is_used(checkout: Path) -> None:
    example = checkout / "examples" / "embedding.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 30
    ended = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (1, "usage: embedding.py DATA FOLDER\n")


def test_every_example_pipeline_runs_on_the_mesh(checkout: Path, tmp_path: Path) -> None:
    write_plate(tmp_path / "Demo", Recipe(name="Demo", n_rows=1, n_columns=1, n_fields=1, size_px=512))
    examples = sorted((checkout / "examples" / "pipelines").glob("*.py"))
    assert len(examples) >= 2

    async def program() -> dict[str, str]:
        async with Mesh(SETTINGS, data=tmp_path / "data") as mesh:
            (plate_id,) = await imported(mesh, tmp_path / "Demo")
            ended = {}
            for example in examples:
                source = example.read_text(encoding="utf-8")
                job = await mesh.submit_job(plate_id, source, source_name=example.name)
                async for status in mesh.follow_job(job):
                    ended[example.name] = status.state
            return ended

    assert set(asyncio.run(program()).values()) == {"done"}


def test_every_example_is_run_by_a_test(checkout: Path) -> None:
    programs = {path.name for path in (checkout / "examples").glob("*.py")}
    assert programs == {"embedding.py"}
