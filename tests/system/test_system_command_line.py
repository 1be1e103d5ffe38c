"""The command line on a real mesh: processes, exit codes, the keys that scripts read, errors, and the demo."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from waiting import eventually

from hcs_mesh import Client
from hcs_mesh.plates.synthetic import Recipe, Truth, write_plate

SMALL = Recipe(name="Small", n_rows=2, n_columns=2, n_fields=1, size_px=256)
NUCLEI = Path(__file__).parents[2] / "examples" / "pipelines" / "nuclei.py"
LIMIT_S = 100


class Done(NamedTuple):
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """Its answer, for a command that was asked for JSON and succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """Its error, for a command that was asked for JSON and failed: one line, no traceback."""
        assert self.code == 1, (self.code, self.out, self.err)
        told: dict[str, str] = json.loads(self.err.splitlines()[-1])
        assert told.keys() == {"error", "hint"}
        assert "Traceback" not in self.err
        return told


def command(*words: object) -> list[str]:
    """The command line as a process of its own."""
    return [sys.executable, "-P", "-m", "hcs_mesh", *map(str, words)]


def mesh(data: Path, *words: object, cwd: Path | None = None) -> Done:
    """Run one command for machines on a data folder."""
    done = subprocess.run(
        command(*words, "--data", data, "--json"), capture_output=True, text=True, timeout=LIMIT_S, cwd=cwd
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hcs-") as folder:
        yield Path(folder)


@pytest.fixture
def data(short_folder: Path) -> Iterator[Path]:
    """A data folder on which no mesh is left behind."""
    yield short_folder
    assert mesh(short_folder, "down").code == 0


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a screen that nobody looks at."""
    told, tells = os.pipe()
    size = ("-screen", "0", "1280x900x24", "-nolisten", "tcp")
    with subprocess.Popen(["Xvfb", "-displayfd", str(tells), *size], pass_fds=[tells], stderr=subprocess.DEVNULL) as x:
        os.close(tells)
        with os.fdopen(told) as pipe:
            display = f":{pipe.readline().strip()}"
        yield {**os.environ, "DISPLAY": display, "XDG_RUNTIME_DIR": str(tmp_path)}
        x.terminate()


@pytest.fixture(scope="module")
def plate() -> Iterator[tuple[Path, Truth]]:
    """A small plate as the microscope wrote it."""
    with tempfile.TemporaryDirectory(prefix="hcs-plate-") as folder:
        yield Path(folder), write_plate(Path(folder), SMALL)


@pytest.fixture(scope="module")
def up(plate: tuple[Path, Truth]) -> Iterator[Path]:
    """The data folder of a mesh that is up, and holds the small plate as plate 1."""
    with tempfile.TemporaryDirectory(prefix="hcs-") as folder:
        assert mesh(Path(folder), "up", "--detach").told["up"] is True
        assert mesh(Path(folder), "import", plate[0], "--wait").told["plates"] == [1]
        yield Path(folder)
        assert mesh(Path(folder), "down").told["stopped"] is True


def test_status_and_ps_say_what_runs(up: Path) -> None:
    status = mesh(up, "status").told
    assert status["up"] is True
    assert status["data"] == str(up)
    rows = mesh(up, "ps").told
    assert all({"name", "parent", "kind", "pid", "state", "restarts", "mailbox"} <= set(row) for row in rows)
    processes = {row["name"]: row["pid"] for row in rows if row["kind"] == "process"}
    assert {"inspector", "executor.cpu0"} <= set(processes)
    assert all(psutil.pid_exists(pid) for pid in processes.values())


def test_an_import_is_told_as_scripts_expect(up: Path, plate: tuple[Path, Truth]) -> None:
    source, truth = plate
    waited = mesh(up, "import", source, "--name", "again", "--wait", "--force").told
    assert {"import", "state", "plates", "n_files", "n_bytes"} <= set(waited)
    assert (waited["state"], waited["n_files"], waited["n_bytes"]) == ("done", truth.n_files, truth.n_bytes)
    at_once = mesh(up, "import", source, "--name", "third").told
    assert set(at_once) == {"import"}
    one = mesh(up, "imports", waited["import"]).told
    assert {"import", "state", "phase", "reason", "history"} <= set(one)
    assert one["history"][0]["phase"] == "accepted"
    assert one["history"][-1]["phase"] == "done"
    listed = mesh(up, "imports").told
    assert {waited["import"], at_once["import"]} <= {entry["import"] for entry in listed}


def test_plates_are_told_as_scripts_expect(up: Path) -> None:
    listed = mesh(up, "plates").told
    first = next(entry for entry in listed if entry["id"] == 1)
    assert {"id", "name", "n_wells", "n_fields", "n_images"} <= set(first)
    assert (first["n_wells"], first["n_fields"], first["n_images"]) == (4, 4, 8)
    plate = mesh(up, "plate", 1).told
    assert list(plate["wells"]) == ["A01", "A02", "B01", "B02"]
    (field,) = plate["wells"]["A01"]["fields"]
    assert field["channels"] == ["DAPI", "GFP"]
    assert all(Path(image["path"]).is_file() for image in field["images"])
    assert {(image["c"], image["z"], image["t"], image["kind"]) for image in field["images"]} == {
        (0, 0, 0, "plane"),
        (1, 0, 0, "plane"),
    }


def test_a_run_and_its_results_are_told_as_scripts_expect(up: Path, tmp_path: Path) -> None:
    job = mesh(up, "run", 1, NUCLEI, "--wells", "a1,B02", "--wait").told
    assert (job["state"], list(job["wells"])) == ("done", ["A01", "B02"])
    well = job["wells"]["A01"]
    assert {"state", "n_objects", "measurements", "files"} <= set(well)
    assert "mean_area_px" in well["measurements"]
    assert all(Path(file).is_file() for file in well["files"])
    assert mesh(up, "jobs", job["job"]).told["state"] == "done"
    out = mesh(up, "results", job["job"], "--planes", cwd=tmp_path).told
    assert (tmp_path / out["report"]) == tmp_path / f"{job['job']}-results" / "report.html"
    rows = list(csv.DictReader((tmp_path / out["wells"]).read_text(encoding="utf-8").splitlines()))
    assert [row["well"] for row in rows] == ["A01", "B02"]
    assert all((tmp_path / path).is_file() for path in (*out["heat_maps"], *out["planes"], out["objects"]))
    assert out["planes"]


def test_a_recorder_shows_what_is_there(up: Path, tmp_path: Path) -> None:
    view = mesh(up, "view", "recorder", "--plate", 1, "--out", tmp_path / "recording", "--wait").told
    assert view["viewer"] == "recorder"
    assert len(list((tmp_path / "recording" / "plate_1").rglob("*.tif"))) == 8


@pytest.mark.needs("napari", "xvfb")
@pytest.mark.timeout(360)
def test_napari_opens_before_a_run_and_after_it_and_is_closed(
    data: Path, plate: tuple[Path, Truth], tmp_path: Path, screen: dict[str, str]
) -> None:
    def view(*words: object) -> tuple[int, dict[str, Any]]:
        """Open a window by the command; its pid, and what the mesh says of it once it shows something."""
        done = subprocess.run(
            command("view", "napari", *words, "--data", data, "--json"),
            env=screen,
            capture_output=True,
            text=True,
            timeout=120,
        )
        pid = Done(done.returncode, done.stdout, done.stderr).told["pid"]
        return pid, asyncio.run(eventually(lambda: sent_to(pid), 60, "the window's first planes"))

    def sent_to(pid: int) -> dict[str, Any] | None:
        async def viewers() -> Any:
            async with Client.at(data) as up:
                return [one for one in await up.viewers() if one.pid == pid and one.n_sent >= 1]

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(asyncio.run, viewers()).result(30)
        return {"kind": found[0].kind, "n_sent": found[0].n_sent} if found else None

    mesh(data, "up", "--detach")
    assert mesh(data, "import", plate[0], "--wait").told["plates"] == [1]
    before, shown = view("--plate", 1)
    assert shown["kind"] == "napari"
    assert mesh(data, "run", 1, NUCLEI, "--wells", "A01", "--wait").told["state"] == "done"
    after, _ = view()
    assert mesh(data, "status").told["n_viewers"] == 2
    for pid in (before, after):
        window = psutil.Process(pid)
        window.terminate()
        psutil.wait_procs([window], timeout=30)
        assert not window.is_running() or window.status() == psutil.STATUS_ZOMBIE
    asyncio.run(eventually(lambda: mesh(data, "status").told["n_viewers"] == 0, 60, "the mesh's learning of it"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pipeline = (", "syntax error"),
        ("pipeline = Pipeline(name='p', steps=[__import__('os')])", "__import__"),
        (
            "pipeline = Pipeline(name='p', steps=[channel(9, to='a'), gaussian('b', to='c'), nonsense('c', to='d')])",
            "nonsense",
        ),
        (NUCLEI.read_text(encoding="utf-8").replace("sigma_px=1.5", "sigma_px=-1"), "sigma_px"),
        (NUCLEI.read_text(encoding="utf-8").replace("sigma_px=1.5", "sigma=1"), "sigma"),
    ],
    ids=["syntax", "import", "unknown-function", "out-of-bounds", "unknown-parameter"],
)
def test_a_pipeline_that_does_not_fit_is_told_and_the_mesh_stays_up(
    up: Path, tmp_path: Path, source: str, said: str
) -> None:
    pipeline = tmp_path / "wrong.py"
    pipeline.write_text(source, encoding="utf-8")
    assert said in mesh(up, "run", 1, pipeline).error["error"]
    assert mesh(up, "status").told["up"] is True


@pytest.mark.parametrize(
    "words",
    [
        ("plate", 99),
        ("imports", "import-0099"),
        ("imports", "retry", 99),
        ("jobs", "job-0099"),
        ("jobs", "cancel", 99),
        ("results", 99),
        ("run", 99, NUCLEI),
    ],
    ids=lambda words: "-".join(map(str, words[:2])),
)
def test_what_is_not_there_is_one_clear_sentence(up: Path, words: tuple[object, ...]) -> None:
    error = mesh(up, *words).error
    assert "99" in error["error"]
    assert error["hint"]


def test_a_wrong_hint_is_never_given(up: Path, tmp_path: Path) -> None:
    wrong = mesh(up, "run", 1, NUCLEI, "--wells", "H12").error
    assert "H12" in wrong["error"]
    assert "mend the pipeline" not in wrong["hint"]
    assert "wells" in wrong["hint"]
    job = mesh(up, "run", 1, NUCLEI, "--wells", "A01", "--wait").told["job"]
    (tmp_path / "taken").write_text("a file")
    wrong = mesh(up, "results", job, "--out", tmp_path / "taken").error
    assert str(tmp_path / "taken") in wrong["error"]
    assert "--out" in wrong["hint"]
    wrong = mesh(up, "plate", "9" * 23).error
    assert "no plate 9999" in wrong["error"]


def test_a_wrong_key_is_told(up: Path, short_folder: Path) -> None:
    from hcs_mesh.transport import load_or_create_pair

    stranger = short_folder / "stranger.secret"
    load_or_create_pair(stranger)
    assert "key" in mesh(up, "status", "--key", stranger).error["error"]


def test_an_empty_folder_fails_with_its_reason_and_can_be_retried(up: Path, short_folder: Path) -> None:
    done = mesh(up, "import", short_folder, "--wait")
    assert "empty" in done.error["error"]
    failed = json.loads(done.out)
    assert failed["state"] == "failed"
    (short_folder / "one.txt").write_text("no image")
    assert mesh(up, "imports", "retry", failed["import"]).told["state"] == "running"


def test_whoever_stops_waiting_leaves_the_import_going_on(up: Path, tmp_path: Path) -> None:
    write_plate(tmp_path, SMALL)
    with being_written_to(tmp_path):
        waiting = command("import", tmp_path, "--wait", "--data", up)
        with subprocess.Popen(waiting, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            import_id = process.stderr.readline().split()[0]
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=LIMIT_S)
        assert mesh(up, "imports", import_id).told["state"] in ("running", "waiting")
    assert process.returncode not in (0, 1, 2)
    assert f"hcs-mesh imports {import_id}" in said
    assert "Traceback" not in said
    # Left alone the source comes to rest, and what was handed over is brought home.
    asyncio.run(eventually(lambda: mesh(up, "imports", import_id).told["state"] == "done", LIMIT_S))


@contextmanager
def being_written_to(folder: Path) -> Iterator[None]:
    """A source in which a file grows for as long as the block runs, so that it cannot settle."""
    ended = threading.Event()

    def write() -> None:
        with (folder / "log.txt").open("a") as log:
            while not ended.wait(0.05):
                log.write("a line\n")
                log.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def test_a_second_up_on_the_same_data_is_refused(up: Path) -> None:
    for words in (("up", "--detach"), ("up",)):
        error = mesh(up, *words).error
        assert f"a mesh is up on {up} already" in error["error"]
        assert "hcs-mesh down" in error["hint"]
    assert mesh(up, "status").told["up"] is True


def test_a_port_in_use_is_told(data: Path) -> None:
    with ExitStack() as stack:
        # The data channel is 1000 above: a port so high that it leaves no room for it is not the one to take.
        for _ in range(100):
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            if port <= 64_000:
                break
        taken.listen()
        error = mesh(data, "up", "--detach", "--listen", f"127.0.0.1:{port}").error
    assert f"{port} is in use" in error["error"]


def test_a_data_folder_that_cannot_be_written_is_told(short_folder: Path) -> None:
    (short_folder / "file").write_text("in the way")
    for words in (("up", "--detach"), ("up",)):
        assert "cannot be written" in mesh(short_folder / "file" / "data", *words).error["error"]


def test_wrong_settings_are_told_before_anything_starts(data: Path) -> None:
    settings = data / "settings.toml"
    settings.write_text("[imports]\nsettle = 3\n")
    error = mesh(data, "up", "--detach", "--config", settings).error
    assert "imports.settle is not a setting" in error["error"]
    assert "imports.settle_s" in error["hint"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_mesh_in_the_foreground_says_what_it_is_and_stops_in_order(data: Path, number: signal.Signals) -> None:
    with subprocess.Popen(command("up", "--data", data), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        shown = ""
        for line in process.stdout:
            shown += line.decode()
            if "stops it" in shown:
                break
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 0
    assert str(data) in shown
    assert "executor.cpu0" in shown
    assert len(family) >= 2
    # What its children had started is nobody's child any more, and is waited for by nobody who could tell.
    assert not psutil.wait_procs(family, timeout=LIMIT_S)[1]
    assert "no mesh is up" in mesh(data, "status").error["error"]


def test_down_ends_every_process_and_may_be_repeated(data: Path) -> None:
    pid = mesh(data, "up", "--detach").told["pid"]
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    assert mesh(data, "down").told == {"stopped": True, "pid": pid, "data": str(data)}
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert mesh(data, "down").told["stopped"] is False


def test_a_killed_mesh_is_told_and_comes_up_again(data: Path, plate: tuple[Path, Truth]) -> None:
    pid = mesh(data, "up", "--detach").told["pid"]
    import_id = mesh(data, "import", plate[0]).told["import"]
    os.kill(pid, signal.SIGKILL)
    assert f"process {pid}" in mesh(data, "status").error["error"]
    assert mesh(data, "up", "--detach").told["pid"] != pid
    assert import_id in {one["import"] for one in mesh(data, "imports").told}
    journals = mesh(data, "journal", "check").told
    assert {"imports", "jobs"} <= set(journals)


def test_two_meshes_live_side_by_side(up: Path, data: Path) -> None:
    mesh(data, "up", "--detach")
    assert mesh(data, "plates").told == []
    assert mesh(up, "plates").told != []


@pytest.mark.timeout(360)
def test_the_demo_keeps_its_promises_and_cleans_up(short_folder: Path) -> None:
    folder = short_folder / "demo"
    done = subprocess.run(
        command("demo", "--data", folder, "--json"), capture_output=True, text=True, timeout=330, cwd=short_folder
    )
    told = Done(done.returncode, done.stdout, done.stderr).told
    assert [check for check in told["checks"] if not check["kept"]] == []
    assert told["kills"] == 1
    assert told["seconds"] < 180
    assert Path(told["report"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")

    def left() -> list[psutil.Process]:
        found = psutil.process_iter(["cmdline"])
        return [one for one in found if str(folder) in " ".join(one.info["cmdline"] or [])]

    asyncio.run(eventually(lambda: not left(), what="the end of every process"))
