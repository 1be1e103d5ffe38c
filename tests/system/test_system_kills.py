"""SIGKILL to any process at any moment: the work finishes, nothing acknowledged is lost, nothing appears twice."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import random
import secrets
import sqlite3
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from waiting import eventually

sys.path.append(str(Path(__file__).parent))

from kill_plan import KINDS, POINTS, SIDES, plan, plan_at_omero
from kill_session import KillSession
from kills_at_omero import OmeroForKills, omero_for_kills
from mesh_that_dies import SETTINGS, Kill, Killed

from hcs_mesh import Client, Mesh
from hcs_mesh.messages.compute import JobStatus, ListJobs
from hcs_mesh.messages.control import GetStatus
from hcs_mesh.messages.imports import ListImports
from hcs_mesh.messages.listing import MOST_LISTED
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import StoredResult
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors.journal import check, show
from hcs_mesh.transport import socket_folder
from hcs_mesh.transport.planes.files import default_folder

SEED = 20261120
N_LANES = 2
N_SHOTS = 16
RECIPE = Recipe(name="Tiny", n_rows=1, n_columns=3, n_fields=1, size_px=384)


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder: its SHA-1 by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


Findings = tuple[object, ...]


def findings(result: StoredResult) -> Findings:
    """What was found in a well, whoever computed it; an OME-TIFF has a UUID of its own beside its pixels."""
    folder = Path(result.folder)
    contents = []
    for file in result.files:
        found = (folder / file.path).read_bytes()
        assert (len(found), hashlib.sha1(found, usedforsecurity=False).hexdigest()) == (file.size, file.sha1)
        contents.append((file.path, found if file.kind == "table" else tifffile.imread(folder / file.path).tobytes()))
    return result.n_objects, result.measurements, contents, result.notes


def values(result: StoredResult) -> Findings:
    """The same by its values: a table that comes back out of OMERO has no bytes of its own."""
    folder = Path(result.folder)
    contents = [
        (file.path, rows(folder / file.path) if file.kind == "table" else tifffile.imread(folder / file.path).tobytes())
        for file in result.files
    ]
    return result.n_objects, result.measurements, contents, result.notes


def rows(table: Path) -> list[list[str | float]]:
    with table.open(newline="") as file:
        return [[number(cell) for cell in row] for row in csv.reader(file)]


def number(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell


async def undisturbed(
    data: Path, source: Path, pipeline: str, look: Callable[[StoredResult], Findings]
) -> dict[str, Findings]:
    """The findings of a mesh that nobody kills, by well."""
    async with Mesh(SETTINGS, data=data) as mesh:
        import_id = await mesh.submit_import(source)
        async for status in mesh.follow_import(import_id):
            imported = status
        job = await mesh.submit_job(imported.plate_ids[0], pipeline)
        async for _ in mesh.follow_job(job):
            pass
    return {result.well: look(result) for result in stored_results(data, job)}


def stored_results(data: Path, job: str) -> tuple[StoredResult, ...]:
    """What the repository of a mesh that is down holds of a job."""
    repository = LocalRepository(data, read_only=True)
    try:
        return repository.results(job)
    finally:
        repository.close()


async def run_under_fire(
    session: KillSession, source: Path, pipeline: str, chance: random.Random, n_shots: int
) -> list[JobStatus]:
    """Import and analyse until every kill of the plan has been carried out, then some more at any moment."""
    done: list[JobStatus] = []

    async def lane(client: Client, asker: Client, name: str) -> None:
        n_rounds = 0
        while session.n_left() and n_rounds < 200:
            n_rounds += 1
            done.append(await session.round(client, source, pipeline, f"{name}{n_rounds}", asker=asker))

    async def fire(client: Client) -> None:
        for _ in range(n_shots):
            # A mesh that is shot again before it is up would never get anything done.
            await session.ask(client, "control", GetStatus())
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            session.kill_one(chance)

    async with Client.at(session.data) as client, session.asker() as asker:
        await asyncio.gather(*(lane(client, asker, f"lane {n} ") for n in range(N_LANES)))
        firing = asyncio.create_task(fire(client))
        while not firing.done():
            done.append(await session.round(client, source, pipeline, f"any moment {len(done)}", asker=asker))
        await firing
        # The last of them may have hit the hub: it is up again, and knows them all.
        imports = await session.ask(client, "imports", ListImports(limit=MOST_LISTED))
        jobs = await session.ask(asker, "scheduler", ListJobs(limit=MOST_LISTED))
    assert sorted(one.import_id for one in imports) == sorted(session.imports.values())
    assert sorted(one.job for one in jobs) == sorted(session.jobs.values())
    return done


def check_what_is_left(
    session: KillSession, source: Path, reference: dict[str, Findings], done: list[JobStatus]
) -> None:
    """Everything that was acknowledged is there once, whole, and nothing else is."""
    data = session.data
    originals = digests(source)
    repository = data / "repository"
    with sqlite3.connect(f"file:{repository / 'catalogue.sqlite'}?mode=ro", uri=True) as catalogue:
        registered = [row[0] for row in catalogue.execute("SELECT import_id FROM imports")]
        n_plates = catalogue.execute("SELECT count(*) FROM plates").fetchone()[0]
        committed = catalogue.execute("SELECT job, well FROM results").fetchall()
        annotated = catalogue.execute("SELECT plate, name FROM annotations").fetchall()
    catalogue.close()
    assert sorted(registered) == sorted(session.imports.values())
    assert n_plates == len(registered)
    assert len(annotated) == len(set(annotated)) == 3 * n_plates
    for import_id in registered:
        assert digests(repository / "imports" / import_id / "files") == originals, import_id
    wells = sorted((job, well) for job in session.jobs.values() for well in reference)
    assert sorted(committed) == wells
    for job in session.jobs.values():
        assert {result.well: findings(result) for result in stored_results(data, job)} == reference, job
    folders = [folder for folder in repository.glob("imports/*/results/*/*/*") if folder.is_dir()]
    assert len(folders) == len(wells), sorted(map(str, folders))
    assert not list(repository.rglob("*.part"))
    check_what_is_told(session, reference, done, n_imports=len(registered))


def check_what_is_left_at_omero(
    session: KillSession, at: OmeroForKills, source: Path, reference: dict[str, Findings], done: list[JobStatus]
) -> None:
    """The same of a server: every import is one fileset and one plate, every well of every job has one result."""
    originals = {path.name: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    filesets = at.filesets()
    assert len(filesets) == len(session.imports)
    for fileset in filesets:
        assert {name: path.read_bytes() for name, path in fileset.items()} == originals
    # The pipeline keeps labels, which are regions, and no planes: no plates but those that were imported.
    assert at.ask("select count(plate.id) from Plate plate") == [[len(filesets)]]
    assert at.ask("select count(image.id) from Image image") == [[len(filesets) * len(reference)]]
    wells = sorted((job, well) for job in session.jobs.values() for well in reference)
    assert len(at.records()) == len(set(at.records())) == len(wells)
    n_objects = 0
    with at.results(session.data, session.data.parent / "fetched") as results:
        for job in session.jobs.values():
            found = results.results(job)
            assert {result.well: values(result) for result in found} == reference, job
            n_objects += sum(result.n_objects for result in found)
    assert at.ask("select count(mask.id) from Mask mask") == [[n_objects]]
    check_what_is_told(session, reference, done, n_imports=len(filesets))


def check_what_is_told(
    session: KillSession, reference: dict[str, Findings], done: list[JobStatus], *, n_imports: int
) -> None:
    """Clients and journals agree: every import was finished once, and every well of every job kept once."""
    data = session.data
    n_wells = len(session.jobs) * len(reference)
    for status in done:
        assert sorted(well.well for well in status.wells if well.state == "done") == sorted(reference)
    for name, once in (("imports", "import.finished"), ("jobs", "job.kept")):
        assert check(data / "journal" / name)["state"] == "clean"
        records = [one["record"] for one in show(data / "journal" / name) if one["tag"] == once]
        effects = [one["import_id"] if name == "imports" else (one["job"], one["result"]["well"]) for one in records]
        assert len(effects) == len(set(effects)) == (n_imports if name == "imports" else n_wells)


def report(session: KillSession, killed: list[Killed], tell: Callable[[str], None]) -> None:
    """Tell what was killed where, and how long it took to come back."""
    counts = Counter((one.point, one.side, one.kind) for one in killed)
    places = sorted({(one.point, one.side) for one in killed}, key=_in_order)
    tell(f"{len(killed)} processes killed: {dict(Counter(one.kind for one in killed))}")
    kinds = list(dict.fromkeys((*KINDS, *(one.kind for one in killed))))
    tell(f"{'point':<32}{'side':<8}" + "".join(f"{kind:>11}" for kind in kinds))
    for point, side in places:
        tell(f"{point:<32}{side:<8}" + "".join(f"{counts[point, side, kind]:>11}" for kind in kinds))
    comebacks = session.comebacks_s
    tell(f"up to answering: median {statistics.median(comebacks):.2f} s, longest {max(comebacks):.2f} s")
    attempts = [
        one["record"]["at_unix_s"] for one in show(session.data / "journal" / "jobs") if one["tag"] == "job.attempted"
    ]
    waits = [
        min((at for at in attempts if at > one.at_unix_s), default=one.at_unix_s) - one.at_unix_s
        for one in killed
        if one.kind == "executor" and (one.point, one.side) == ("job.attempted", "during")
    ]
    if waits:
        median_s, longest_s = statistics.median(waits), max(waits)
        tell(f"executor killed at a well to the next: median {median_s:.2f} s, longest {longest_s:.2f} s")


async def kill_and_check(
    folder: Path,
    kills: list[Kill],
    seed: int,
    tell: Callable[[str], None],
    *,
    at: OmeroForKills | None = None,
    n_shots: int = N_SHOTS,
) -> list[Killed]:
    """The whole test, with the plates in the local repository or at a server; returns what was killed."""
    source = folder / "source"
    write_plate(source, RECIPE)
    before = digests(source)
    times = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    pipeline = PIPELINE.read_text(encoding="utf-8")
    look = findings if at is None else values
    reference = await undisturbed(folder / "undisturbed", source, pipeline, look)
    if at is not None:
        at.let_in(folder / "data")
    async with KillSession(folder, kills, at) as session:
        done = await run_under_fire(session, source, pipeline, random.Random(seed), n_shots)
        await session.stop()
        killed = session.killed()
        report(session, killed, tell)
        # Who has lost its hub ends as soon as it is its turn.
        await eventually(lambda: not session.survivors(), within_s=60.0, what="the end of every process")
        assert session.n_left() == 0
        assert session.n_hub_kills == sum(one.kind == "hub" for one in killed)
        assert session.n_server_kills == sum(one.kind == "server" for one in killed)
    # A ring bears the number of the process that made it; other meshes of this host keep theirs.
    rings = [path.name for path in default_folder().glob("*.planes")]
    assert [name for name in rings if int(name.partition("-")[0]) in session.hub_pids] == []
    assert [path for path in socket_folder(session.data).iterdir() if path.is_socket()] == []
    assert digests(source) == before
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == times
    if at is None:
        check_what_is_left(session, source, reference, done)
    else:
        # A thread of its own: what asks OMERO is refused on an event loop.
        await asyncio.to_thread(check_what_is_left_at_omero, session, at, source, reference, done)
    return killed


PIPELINE = Path(__file__).resolve().parents[2] / "examples" / "pipelines" / "nuclei.py"


@pytest.mark.timeout(1800)
def test_work_outlives_the_death_of_any_process_at_any_phase_boundary(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    killed = asyncio.run(kill_and_check(tmp_path, plan(SEED), SEED, tell))
    assert len(killed) >= 200
    hit = {(one.point, one.side, one.kind) for one in killed}
    assert {(point, side, kind) for point in POINTS for side in SIDES for kind in KINDS} <= hit


@pytest.mark.needs("omero")
@pytest.mark.timeout(1800)
def test_work_at_omero_outlives_the_death_of_the_server_too_at_any_phase_boundary(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    with omero_for_kills(tmp_path) as at:
        killed = asyncio.run(kill_and_check(tmp_path, plan_at_omero(SEED), SEED, tell, at=at, n_shots=0))
    assert {one.point for one in killed if one.kind == "server"} == set(POINTS)
    assert {one.kind for one in killed} == {"server", "hub"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_work_outlives_two_thousand_kills(tmp_path: Path, tell: Callable[[str], None]) -> None:
    seed = secrets.randbelow(1 << 32)
    tell(f"seed {seed}")
    killed = asyncio.run(kill_and_check(tmp_path, plan(seed, n_sweeps=10), seed, tell))
    assert len(killed) >= 2000


def _in_order(place: tuple[str, str]) -> tuple[int, int]:
    point, side = place
    return (POINTS.index(point) if point in POINTS else len(POINTS)), SIDES.index(side) if side in SIDES else 0
