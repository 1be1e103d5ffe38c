"""What is wrong is said in one message with what to do; the mesh stays up and does the next thing."""

import asyncio
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hcs_mesh import Client, MeshError
from hcs_mesh.messages.compute import JobStatus
from hcs_mesh.plates.synthetic import Recipe, write_plate

RUNNING = {"control", "metadata", "publisher", "viewers", "inspector", "imports", "scheduler", "executor.cpu0"}
PATTERN = "{well}_{field}_{channel}.tif"
SMALL_SEGMENTS = "[journal]\nsegment_bytes = 65536\n"
TINY = Recipe(name="Tiny", n_rows=1, n_columns=3, n_fields=2, size_px=256)


@pytest.fixture(scope="module")
def nuclei(checkout: Path) -> Path:
    return checkout / "examples" / "pipelines" / "nuclei.py"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate with nothing wrong: 1 x 3 wells of 2 fields and 2 channels."""
    folder = tmp_path_factory.mktemp("good") / "Tiny"
    write_plate(folder, TINY)
    return folder


@pytest.fixture(scope="module")
def plate(mesh: Any, good: Path) -> int:
    return int(mesh.imported(good))


@pytest.fixture(scope="module", autouse=True)
def nothing_fell_over(mesh: Any) -> Iterator[None]:
    """After all of it the same hub is up, with everything running and no actor restarted."""
    before = mesh.rows()
    yield
    rows = mesh.rows()
    assert rows["mesh"]["pid"] == before["mesh"]["pid"]
    assert {name for name, row in rows.items() if row["state"] == "running"} >= RUNNING
    assert {name for name, row in rows.items() if row["kind"] == "actor" and row["restarts"]} == set()


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def image(folder: Path, name: str, value: int = 7) -> Path:
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / name, np.full((64, 64), value, np.uint16))
    return folder / name


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


# -- sources that are none --------------------------------------------------------------------------


def empty_folder(folder: Path) -> tuple[object, ...]:
    (folder / "nothing").mkdir()
    return (folder / "nothing",)


def text_folder(folder: Path) -> tuple[object, ...]:
    return (put(folder / "texts", "notes.txt", b"no image\n"),)


def text_named_tiff(folder: Path) -> tuple[object, ...]:
    return (put(folder / "named", "notes.tif", b"no image\n") / "notes.tif",)


def half_a_tiff(folder: Path) -> tuple[object, ...]:
    return (cut(image(folder / "half", "one.tif")),)


def only_halves(folder: Path) -> tuple[object, ...]:
    for name in ("A01_1_1.tif", "A02_1_1.tif"):
        cut(image(folder / "halves", name))
    return (folder / "halves", "--pattern", PATTERN)


def no_path(folder: Path) -> tuple[object, ...]:
    return (folder / "not there",)


def a_broken_link(folder: Path) -> tuple[object, ...]:
    (folder / "link.tif").symlink_to(folder / "gone.tif")
    return (folder / "link.tif",)


def an_unclosed_brace(folder: Path) -> tuple[object, ...]:
    return (image(folder / "braces", "A01_1_1.tif").parent, "--pattern", "{well_{field}.tif")


def an_unknown_name(folder: Path) -> tuple[object, ...]:
    return (image(folder / "names", "A01_1_1.tif").parent, "--pattern", "{well}_{colour}.tif")


def nothing_matches(folder: Path) -> tuple[object, ...]:
    return (image(folder / "matches", "A01_1_1.tif").parent, "--pattern", "plate_{well}.tif")


def two_of_the_same(folder: Path) -> tuple[object, ...]:
    image(folder / "twice", "A01_1_1.tif")
    image(folder / "twice", "A1_1_1.tif")
    return (folder / "twice", "--pattern", PATTERN)


def a_device(folder: Path) -> tuple[object, ...]:
    os.mkfifo(folder / "pipe.tif")
    return (folder / "pipe.tif",)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (empty_folder, "empty"),
        (text_folder, "texts"),
        (text_named_tiff, "notes.tif"),
        (half_a_tiff, "one.tif"),
        (only_halves, "A01_1_1.tif"),
        (no_path, "nothing at"),
        (a_broken_link, "link.tif"),
        (an_unclosed_brace, "brace"),
        (an_unknown_name, "colour"),
        (nothing_matches, "plate_{well}.tif"),
        (two_of_the_same, "A1_1_1.tif"),
        (a_device, "pipe.tif"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_source_that_is_none_is_refused_with_its_reason(
    mesh: Any, tmp_path: Path, make: Callable[[Path], tuple[object, ...]], said: str
) -> None:
    assert said in mesh("import", *make(tmp_path), "--wait").refusal


# -- files that tried to break other readers --------------------------------------------------------


@pytest.mark.parametrize("name", ["fuzz_images", "images"])
def test_a_corpus_of_malformed_files_fails_clearly_or_comes_in_whole(
    mesh: Any, shared_data: Path, tmp_path: Path, nuclei: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    files = sorted(path for path in (shared_data / "tiff-corpus" / name).rglob("*") if path.is_file())
    for number, path in enumerate(files):
        shutil.copyfile(path, folder / f"A{1 + number % 24:02d}_{1 + number // 24}_1.tif")
    answer = mesh("import", folder, "--wait", "--pattern", PATTERN)
    if answer.code:
        assert answer.refusal
        return
    (plate_id,) = answer.value["plates"]
    job = json.loads(mesh("run", plate_id, nuclei, "--wait").out)
    assert all(told["state"] == "done" or told["error"] for told in job["wells"].values())


@pytest.mark.timeout(120)
def test_each_malformed_file_alone_is_an_image_or_a_clear_failure(mesh: Any, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "tiff-corpus" / "fuzz_images"
    files = sorted(path for path in folder.rglob("*") if path.is_file())[::4]
    assert len(files) > 25

    async def import_all() -> list[Any]:
        async with Client.at(mesh.data) as client:

            async def one(number: int, path: Path) -> Any:
                copied = tmp_path / f"{number:03d}.tif"
                shutil.copyfile(path, copied)
                import_id = await client.submit_import(copied)
                async for status in client.follow_import(import_id):
                    last = status
                return last

            return await asyncio.gather(*(one(number, path) for number, path in enumerate(files)))

    for status in asyncio.run(import_all()):
        assert status.state in ("done", "failed")
        if status.state == "failed":
            assert status.reason
            assert "Traceback" not in status.reason
            assert status.hint, status.reason


# -- plates that are not whole ----------------------------------------------------------------------


def test_a_plate_with_missing_files_is_imported_and_what_is_missing_is_never_invented(
    mesh: Any, good: Path, tmp_path: Path, nuclei: Path
) -> None:
    folder = tmp_path / "Gaps"
    shutil.copytree(good, folder)
    images = folder / "TimePoint_1"
    for gone in ("Tiny_A01_s2_w1.TIF", "Tiny_A02_s1_w1.TIF", "Tiny_A02_s2_w1.TIF"):
        (images / gone).unlink()
    told = mesh("import", folder, "--wait").value
    assert any("missing" in note for note in told["notes"])
    (plate_id,) = told["plates"]
    plate = mesh("plate", plate_id).value
    assert {(one["well"], one["field"], one["c"]) for one in plate["missing"]} == {
        ("A01", 2, 0),
        ("A02", 1, 0),
        ("A02", 2, 0),
    }
    answer = mesh("run", plate_id, nuclei, "--wait")
    assert "Traceback" not in answer.err
    job = json.loads(answer.out) if answer.out else mesh("jobs", mesh("jobs").value[0]["job"]).value
    wells = job["wells"]
    assert wells["A03"]["state"] == "done"
    assert wells["A01"]["state"] == "done"
    assert any("2" in note for note in wells["A01"]["notes"]), wells["A01"]
    assert not any("s002" in file for file in wells["A01"]["files"])
    assert wells["A02"]["error"] or wells["A02"]["notes"], wells["A02"]
    assert not any(file.endswith(".tiff") for file in wells["A02"]["files"])


def test_a_plane_that_does_not_open_fails_its_well_alone(mesh: Any, good: Path, tmp_path: Path, nuclei: Path) -> None:
    folder = tmp_path / "Damaged"
    shutil.copytree(good, folder)
    path = folder / "TimePoint_1" / "Tiny_A02_s1_w1.TIF"
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        # An unknown compression: the header reads, the pixels do not.
        offset = tif.pages[0].tags["Compression"].valueoffset
    content[offset : offset + 2] = (50013).to_bytes(2, "little")
    path.write_bytes(content)
    answer = mesh("import", folder, "--wait")
    if answer.code:
        assert "Tiny_A02_s1_w1.TIF" in answer.refusal
        return
    (plate_id,) = answer.value["plates"]
    ended = mesh("run", plate_id, nuclei, "--wait")
    job = json.loads(ended.out)
    assert job["wells"]["A01"]["state"] == job["wells"]["A03"]["state"] == "done"
    told = job["wells"]["A02"]
    assert "Tiny_A02_s1_w1.TIF" in told["error"] + " ".join(told["notes"]), told


def jobs(mesh: Any) -> set[str]:
    async def ask() -> set[str]:
        async with Client.at(mesh.data) as client:
            return {one.job for one in await client.jobs()}

    return asyncio.run(ask())


# -- pipelines --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text + "\n)", "line"),
        (lambda text: text.replace('otsu("smooth", correction', 'otsoo("smooth", correction'), "otsoo"),
        (lambda text: text.replace("sigma_px=1.5", "sigma_pxx=1.5"), "sigma_px"),
        (lambda text: text.replace("sigma_px=1.5", 'sigma_px="wide"'), "sigma_px"),
        (lambda text: text.replace("sigma_px=1.5", "sigma_px=-1"), "sigma_px"),
        (lambda text: text.replace('channel(0, to="dna_stack")', 'channel(7, to="dna_stack")'), "channel"),
        (lambda text: text.replace('gaussian("dna"', 'gaussian("rna"'), "rna"),
        (lambda text: text.replace("correction=0.9", "correction=__import__('os').getpid()"), "__import__"),
        (lambda text: "import os\n" + text, "import"),
        (lambda text: "", "pipeline"),
        (lambda text: "(" * 5_000, "line"),
    ],
    ids=[
        "syntax",
        "unknown function",
        "unknown parameter",
        "wrong type",
        "out of bounds",
        "no such channel",
        "undefined name",
        "dunder import",
        "import",
        "empty",
        "too deep",
    ],
)
def test_a_pipeline_that_cannot_run_is_refused_before_anything_runs(
    mesh: Any, plate: int, nuclei: Path, tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    known = jobs(mesh)
    path = tmp_path / "mine.py"
    path.write_text(change(nuclei.read_text(encoding="utf-8")), encoding="utf-8")
    assert said in mesh("run", plate, path, "--wait").refusal
    assert jobs(mesh) == known


def test_wells_that_are_not_on_the_plate_are_named(mesh: Any, plate: int, nuclei: Path) -> None:
    assert "H12" in mesh("run", plate, nuclei, "--wells", "A01,H12").refusal
    wrong = mesh("run", plate, nuclei, "--wells", "A01,nonsense")
    assert (wrong.code, "nonsense" in wrong.err) == (2, True), "what can be no well anywhere is wrong usage"


# -- ids and states ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plate", 4711), "4711"),
        (("jobs", "job-4711"), "4711"),
        (("imports", "import-4711"), "4711"),
        (("imports", "retry", "import-4711"), "4711"),
        (("jobs", "cancel", "job-4711"), "4711"),
        (("results", "job-4711"), "4711"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_an_unknown_id_is_named(mesh: Any, words: tuple[object, ...], said: str) -> None:
    assert said in mesh(*words).refusal


def test_what_is_over_cannot_be_cancelled_or_retried(mesh: Any, plate: int, nuclei: Path, tmp_path: Path) -> None:
    job = mesh("run", plate, nuclei, "--wells", "A01", "--wait").value["job"]
    assert "done" in mesh("jobs", "cancel", job).refusal
    done = next(one["import"] for one in mesh("imports").value if one["state"] == "done")
    assert "done" in mesh("imports", "cancel", done).refusal
    assert "done" in mesh("imports", "retry", done).refusal
    assert mesh("import", tmp_path, "--wait").code == 1
    failed = mesh("imports").value[0]["import"]
    assert mesh("imports", "cancel", failed).value["state"] == "cancelled"
    assert "cancelled" in mesh("imports", "cancel", failed).refusal
    image(tmp_path, "late.tif")
    assert mesh("imports", "retry", failed).value["state"] in ("running", "waiting")


# -- sources that move --------------------------------------------------------------------------------


def test_a_source_that_vanishes_fails_and_goes_on_when_it_is_back(mesh: Any, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Moving"
    # With times of its own, or it would be the plate that is imported already.
    shutil.copytree(good, folder, copy_function=shutil.copy)
    # One image is still to come, for which the import waits: it cannot be past its source before that is gone.
    late = folder / "TimePoint_1" / "Tiny_A03_s2_w2.TIF"
    late.rename(tmp_path / late.name)

    async def take_away() -> tuple[Any, Any]:
        async with Client.at(mesh.data) as client:
            import_id = await client.submit_import(folder)
            folder.rename(tmp_path / "Elsewhere")
            async for status in client.follow_import(import_id):
                gone = status
            (tmp_path / "Elsewhere").rename(folder)
            (tmp_path / late.name).rename(late)
            await client.retry_import(import_id)
            async for status in client.follow_import(import_id):
                back = status
            return gone, back

    gone, back = asyncio.run(take_away())
    assert gone.state == "failed"
    assert "Moving" in gone.reason
    assert gone.hint
    assert back.state == "done"


def test_a_source_that_is_written_to_is_waited_for_and_comes_in_as_it_ends(
    mesh: Any, good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "Growing"
    shutil.copytree(good, folder)
    path = folder / "TimePoint_1" / "Tiny_A03_s2_w2.TIF"
    whole = path.read_bytes()
    path.unlink()
    stop = threading.Event()

    def write_on() -> None:
        n_bytes = 0
        while not stop.wait(0.03):
            n_bytes += 512
            path.write_bytes(whole[:n_bytes])
        path.write_bytes(whole)

    writer = threading.Thread(target=write_on)
    writer.start()

    async def follow() -> tuple[list[str], Any]:
        async with Client.at(mesh.data) as client:
            import_id = await client.submit_import(folder)
            reasons = []
            async for status in client.follow_import(import_id):
                reasons.append(status.reason)
                if len(reasons) == 4:
                    stop.set()
            return reasons, status

    try:
        reasons, last = asyncio.run(follow())
    finally:
        stop.set()
        writer.join()
    assert last.state == "done"
    assert any("Tiny_A03_s2_w2.TIF" in reason or "written" in reason for reason in reasons)
    stored = mesh.data / "repository" / "imports" / last.import_id / "files"
    (kept,) = stored.rglob(path.name)
    assert kept.read_bytes() == whole


# -- meshes of their own ------------------------------------------------------------------------------


def test_a_server_with_another_key_is_refused(mesh: Any, tmp_path: Path) -> None:
    other = tmp_path / "data"
    (other / "run").mkdir(parents=True)
    shutil.copytree(mesh.data / "keys", other / "keys")
    told = json.loads((mesh.data / "run" / "mesh.json").read_bytes())
    told["public_key"] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    (other / "run" / "mesh.json").write_text(json.dumps(told))
    held = ["flock", str(other / "mesh.lock"), "sh", "-c", "echo held; cat"]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lock:
        assert lock.stdin is not None
        assert lock.stdout is not None
        try:
            assert lock.stdout.readline() == b"held\n"
            refused = mesh("status", "--data", other)
        finally:
            lock.stdin.close()
    assert "key" in refused.refusal


def test_a_file_that_may_not_be_read_is_named(mesh_up: Any, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Locked"
    shutil.copytree(good, folder)
    locked = folder / "TimePoint_1" / "Tiny_A02_s1_w2.TIF"
    locked.chmod(0)
    # Root reads everything, unless these two capabilities are taken from it.
    plain = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    with mesh_up(prefix=plain) as mesh:
        assert locked.name in mesh("import", folder, "--wait").refusal
        failed = mesh("imports").value[0]["import"]
        locked.chmod(0o400)
        assert mesh("imports", "retry", failed).code == 0
        assert mesh.imported(good)


def write_for_ever(file: FileIO) -> None:
    while file.write(bytes(1 << 16)):
        pass


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        write_for_ever(file)
    return ballast


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 80 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80M", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def as_before(mesh: Any, before: dict[str, Any]) -> None:
    """The same processes are up, and nothing was restarted."""
    rows = mesh.rows()
    assert {name: row["pid"] for name, row in rows.items()} == {name: row["pid"] for name, row in before.items()}
    assert {name: row["last_error"] for name, row in rows.items() if row["restarts"] or row["state"] != "running"} == {}


@pytest.mark.needs("root")
@pytest.mark.timeout(120)
def test_a_full_disk_stops_what_needs_it_and_nothing_else(mesh_up: Any, good: Path, nuclei: Path, disk: Path) -> None:
    with mesh_up(disk / "data") as mesh:
        plate_id = mesh.imported(good)
        before = mesh.rows()
        ballast = fill(disk)
        assert "bytes free" in mesh("import", good, "--wait", "--force").refusal
        job = mesh("run", plate_id, nuclei).value["job"]
        waiting = asyncio.run(until(mesh.data, job, lambda status: "full" in status.reason))
        assert (waiting.state, waiting.faults) == ("running", ())
        assert [line["id"] for line in mesh("plates").value] == [plate_id]
        as_before(mesh, before)
        ballast.unlink()
        # It was waiting for room, and goes on by itself.
        ended = asyncio.run(until(mesh.data, job, lambda status: status.state != "running"))
        assert (ended.state, ended.reason) == ("done", "")
        assert mesh.imported(good) > plate_id
        assert mesh("run", plate_id, nuclei, "--wait").value["state"] == "done"
        as_before(mesh, before)


async def until(data: Path, job: str, reached: Callable[[JobStatus], bool]) -> JobStatus:
    """Follow a job until it stands so, or has ended."""
    async with Client.at(data) as client:
        async for status in client.follow_job(job):
            if reached(status):
                return status
    raise AssertionError(f"{job} ended as {status.state}: {status.reason}")


@pytest.mark.needs("root")
@pytest.mark.timeout(120)
def test_a_journal_without_room_takes_nothing_on_and_goes_on_with_room(
    mesh_up: Any, good: Path, nuclei: Path, tmp_path: Path, disk: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    source = nuclei.read_text(encoding="utf-8")

    async def until_refused(ask: Callable[[Client], Awaitable[str]]) -> tuple[list[str], MeshError]:
        accepted: list[str] = []
        async with Client.at(disk / "data") as client:
            while len(accepted) < 1000:
                try:
                    accepted.append(await ask(client))
                except MeshError as error:
                    return accepted, error
        raise AssertionError("1000 were accepted with a full disk")

    with mesh_up(disk / "data", more_settings=SMALL_SEGMENTS) as mesh:
        plate_id = mesh.imported(good)
        before = mesh.rows()
        ballast = fill(disk)
        _, refusal = asyncio.run(until_refused(lambda client: client.submit_import(tmp_path / "nothing")))
        assert "no room" in str(refusal)
        assert refusal.hint
        accepted, refusal = asyncio.run(until_refused(lambda client: client.submit_job(plate_id, source)))
        assert "no room" in str(refusal)
        as_before(mesh, before)
        ballast.unlink()
        assert mesh("run", plate_id, nuclei, "--wait").value["state"] == "done"
        assert mesh.imported(good) > plate_id
        assert set(accepted) <= jobs(mesh)
        as_before(mesh, before)
