"""Uploads into OMERO, beside the bare calls that carry the same bytes: ``python bench/omero_import.py``."""

import hashlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# The stand-in server and how plates get into it are the tests'.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from omero_imports import Import, importing
from omero_lab import SETUP
from omero_plates import logged_in
from rounds import paired
from rows import Row

from hcs_mesh.plates.omero.errors import OmeroMissing
from hcs_mesh.plates.omero.imports import N_THREADS
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.planners import Plan
from hcs_mesh.plates.planners.plan import Fileset, PlannedFile
from omero_server.running import running_server

# Of an import this is the upload alone, without the second reading by the server and the images that it makes.
NAME = f"OMERO: upload of 8 x 16 MiB, {N_THREADS} at a time: the loop, 1 at a time"
N_FILES, FILE_BYTES = 8, 16 * 2**20
N_ROUNDS = 5
CHUNK_BYTES = 5_000_000
"""What OMERO's own importer sends in one call."""


def measure() -> list[Row]:
    """Measure uploads of the same files in turns, against one server on this machine."""
    try:
        omero_py()
    except OmeroMissing as error:
        return [Row(name=NAME, unmeasured=error.hint)]
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "omero", setup=SETUP) as server:
        root = Path(folder) / "source"
        root.mkdir()
        files = [root / f"{n:02d}.bin" for n in range(N_FILES)]
        for n, file in enumerate(files):
            file.write_bytes(hashlib.shake_128(bytes([n])).digest(FILE_BYTES))
        with importing(server) as desk, logged_in(server, "ada") as client:
            n_done = 0

            def ours() -> float:
                nonlocal n_done
                n_done += 1
                return _ours_mib_s(Import(desk.imports, f"import-{n_done}", _plan(root, files)))

            reference, mib_s = paired(lambda: _raw_mib_s(client, files), ours, N_ROUNDS)
    return [Row(name=NAME, reference=reference, ours=mib_s, unit="MiB/s", target=0.9)]


def _plan(root: Path, files: list[Path]) -> Plan:
    planned = tuple(PlannedFile(file.name, FILE_BYTES) for file in files)
    return Plan(root=str(root), filesets=(Fileset(planner="files", root="", files=planned, plates=()),))


def _ours_mib_s(one: Import) -> float:
    start = time.perf_counter()
    one.transfer()
    seconds = time.perf_counter() - start
    one.discard()
    return N_FILES * FILE_BYTES / 2**20 / seconds


def _raw_mib_s(client: Any, files: list[Path]) -> float:
    """What the protocol takes: announce, write, close, with the hash that has to be handed in at the end."""
    import omero
    from omero.rtypes import rstring

    start = time.perf_counter()
    repository = client.getManagedRepository()
    fileset = omero.model.FilesetI()
    for file in files:
        entry = omero.model.FilesetEntryI()
        entry.setClientPath(rstring(f"raw/{file.name}"))
        fileset.addFilesetEntry(entry)
    fileset.linkJob(omero.model.UploadJobI())
    algorithm = repository.suggestChecksumAlgorithm(repository.listChecksumAlgorithms())
    process = repository.importFileset(fileset, omero.grid.ImportSettings(checksumAlgorithm=algorithm))
    for n, file in enumerate(files):
        store, digest, position = process.getUploader(n), hashlib.sha1(usedforsecurity=False), 0
        with file.open("rb") as source:
            while part := source.read(CHUNK_BYTES):
                digest.update(part)
                store.write(part, position, len(part))
                position += len(part)
        store.close()
    seconds = time.perf_counter() - start
    process.close()
    return N_FILES * FILE_BYTES / 2**20 / seconds


if __name__ == "__main__":
    for row in measure():
        print(row)
