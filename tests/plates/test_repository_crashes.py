"""What is left when the process is killed at the worst moments, and that the next one finishes the work."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hcs_mesh.plates.local import FolderReader, LocalRepository, seal_well
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.repository import ResultFile, SourceFile, StoredFile, StoredFileset, StoredResult

SIZES = (2_000_000, 3_000_001, 5, 0, 1_500_000, 700_000)

# Dies in the middle of a call, or on one side of it: what argv says, as "bytes:N" or "before|after:module:name".
CHILD = """
import importlib, os, signal, sys
from pathlib import Path
import msgspec
from hcs_mesh.plates.local import FolderReader, LocalRepository
from hcs_mesh.plates.repository import SourceFile, StoredFile, StoredFileset

data, work, moment, *arguments = sys.argv[1:]
seen = 0

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def on_bytes(n):
    global seen
    seen += n
    if moment.startswith("bytes:") and seen >= int(moment.removeprefix("bytes:")):
        die()

if not moment.startswith("bytes:"):
    side, module, name = moment.split(":")
    module = importlib.import_module("hcs_mesh.plates.local." + module)
    owner = module
    *outer, name = name.split(".")
    for one in outer:
        owner = getattr(owner, one)
    call = getattr(owner, name)

    def killed(*args, **kwargs):
        if side == "before":
            die()
        call(*args, **kwargs)
        die()

    setattr(owner, name, killed)

repository = LocalRepository(Path(data))
if work == "transfer":
    source, known = Path(arguments[0]), Path(arguments[1])
    files = [SourceFile(path=path.name, size=path.stat().st_size) for path in sorted(source.iterdir())]

    def on_files(files):
        with known.open("ab") as journal:
            journal.writelines(msgspec.json.encode(file) + b"\\n" for file in files)

    repository.transfer("i1", FolderReader(source), files, on_bytes=on_bytes, on_files=on_files)
elif work == "register":
    repository.register("i1", msgspec.json.decode(Path(arguments[0]).read_bytes(), type=tuple[StoredFileset, ...]))
else:
    repository.commit_well(1, "j1", "A01", 1)
print("survived")
"""


def killed(data: Path, work: str, moment: str, *arguments: Path) -> None:
    """Run a child that does one piece of work and see it die of SIGKILL."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(data), work, moment, *map(str, arguments)], capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr + child.stdout


@pytest.mark.parametrize(
    "moment",
    [
        "bytes:1",
        "bytes:2500000",
        "bytes:7000000",
        "before:transfer:sync_files",
        "after:transfer:sync_files",
        "before:transfer:sync_folders",
        "after:transfer:sync_folders",
    ],
)
def test_a_killed_transfer_is_continued_and_never_shows_half_a_file(tmp_path: Path, moment: str) -> None:
    source, known = tmp_path / "source", tmp_path / "known"
    source.mkdir()
    random = np.random.default_rng(1)
    for n, size in enumerate(SIZES):
        (source / f"{n}.tif").write_bytes(random.bytes(size))

    killed(tmp_path / "data", "transfer", moment, source, known)

    repository = LocalRepository(tmp_path / "data")
    folder = repository.files_folder("i1")
    standing = repository.reconcile("i1")
    assert not standing.registered
    for path in standing.complete:
        assert (folder / path).read_bytes() == (source / path).read_bytes()
    reported = known.read_bytes().splitlines() if known.exists() else []
    done = [msgspec.json.decode(line, type=StoredFile) for line in reported]
    assert {file.path for file in done} <= set(standing.complete)

    files = [SourceFile(path=path.name, size=path.stat().st_size) for path in sorted(source.iterdir())]
    stored = repository.transfer("i1", FolderReader(source), files, known=done)
    repository.verify("i1", stored)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    repository.close()


def registration() -> tuple[StoredFileset, ...]:
    images = [Image(well, 1, 0, 0, 0, "plane", f"{well}.tif", 0, 4, 4, "uint8") for well in ("A01", "A02")]
    files = tuple(StoredFile(path=image.file, size=1, checksum="0" * 40) for image in images)
    return (StoredFileset(planner="test", files=files, plates=(build_plate(images, id=0, name="P"),)),)


@pytest.mark.parametrize(
    ("moment", "there"),
    [
        ("before:import_shelf:insert_import", False),
        ("after:import_shelf:insert_import", False),
        ("after:repository:LocalRepository.register", True),
    ],
)
def test_a_killed_registration_is_whole_or_absent(tmp_path: Path, moment: str, there: bool) -> None:
    LocalRepository(tmp_path / "data").close()
    filesets = tmp_path / "filesets.json"
    filesets.write_bytes(msgspec.json.encode(registration()))

    killed(tmp_path / "data", "register", moment, filesets)

    repository = LocalRepository(tmp_path / "data")
    assert repository.reconcile("i1").registered is there
    assert repository.register("i1", registration()) == (1,)
    assert [plate.n_images for plate in repository.plates()] == [2]
    repository.close()


@pytest.mark.parametrize(
    ("moment", "swept"),
    [
        ("before:results:JobFolder.publish", 0),
        ("before:results:sync_folder", 1),
        ("after:results:JobFolder.publish", 1),
        ("before:result_shelf:insert_result", 1),
        ("after:result_shelf:insert_result", 1),
        ("after:repository:LocalRepository.commit_well", 0),
    ],
)
@pytest.mark.parametrize("recovery", ["sweep", "retry"])
def test_a_killed_commit_is_finished_once(tmp_path: Path, moment: str, swept: int, recovery: str) -> None:
    repository = LocalRepository(tmp_path / "data")
    repository.register("i1", registration())
    folder = repository.results_folder(1, "j1", "A01", 1)
    (folder / "objects.csv").write_text("label,area\n1,2\n")
    result = StoredResult(
        job="j1",
        plate_id=1,
        well="A01",
        attempt=1,
        n_objects=1,
        measurements=(("area", 2.0),),
        files=(ResultFile(path="objects.csv", kind="table"),),
    )
    seal_well(folder, result)
    repository.close()

    killed(tmp_path / "data", "commit", moment)

    repository = LocalRepository(tmp_path / "data")
    if recovery == "sweep":
        alive = {("A01", 1)}
        assert len(repository.sweep("j1", alive=alive)) == swept
    committed = repository.commit_well(1, "j1", "A01", 1)
    assert (Path(committed.folder) / "objects.csv").read_text() == "label,area\n1,2\n"
    assert [one.folder for one in repository.results("j1")] == [committed.folder]
    assert [path.name for path in Path(committed.folder).parent.iterdir()] == ["A01"]
    repository.close()
    catalogue = sqlite3.connect(tmp_path / "data/repository/catalogue.sqlite")
    assert catalogue.execute("SELECT count(*) FROM results").fetchone() == (1,)
    assert catalogue.execute("SELECT count(*) FROM result_files").fetchone() == (1,)
    catalogue.close()


def test_a_child_that_is_not_killed_would_be_noticed(tmp_path: Path) -> None:
    LocalRepository(tmp_path / "data").close()
    (tmp_path / "filesets.json").write_text(json.dumps([]))

    with pytest.raises(AssertionError, match="survived"):
        killed(tmp_path / "data", "register", "before:transfer:sync_files", tmp_path / "filesets.json")
