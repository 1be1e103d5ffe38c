"""What the hub's memory holds of what has ended, and of plates, in bytes each: ``python bench/remembered.py``."""

import random
import sys
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from job_history import WELLS, life

from hcs_mesh.actors.analysis import job_records
from hcs_mesh.actors.analysis.job_book import JobBook
from hcs_mesh.actors.imports import records as import_records
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.messages.imports import IMPORT_PHASES, ImportOrder, ImportStatus, PhaseEntry
from hcs_mesh.plates.model import Image, Plate, build_plate

N = 300
PLATE = tuple(f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25))


def ended_jobs(wells: tuple[str, ...]) -> Iterable[job_records.Record]:
    """What a checkpoint has of each of so many jobs."""
    for n in range(1, N + 1):
        book = JobBook()
        for record in life(n, random.Random(n), wells):
            book.apply(record)
        yield from book.compacted()


def ended_imports() -> Iterable[import_records.Record]:
    """What a checkpoint has of each of so many imports."""
    for n in range(1, N + 1):
        status = ImportStatus(
            import_id=f"import-{n:04d}",
            order=ImportOrder(path=f"/srv/microscope/screen 7/plate {n}"),
            state="done",
            owner="eva",
            digest=f"{n:064x}",
            certificate=f"/srv/mesh/certificates/import-{n:04d}.json",
            history=tuple(PhaseEntry(at_unix_s=float(n), phase=phase, state="running") for phase in IMPORT_PHASES),
            plate_ids=(n,),
        )
        packed = msgspec.msgpack.encode(status)
        yield import_records.Summary(
            import_id=status.import_id, at_unix_s=float(n), key=f"{n:032x}", asker="eva", status=packed
        )


def plate(wells: tuple[str, ...], n_fields: int, n_channels: int) -> Plate:
    """A plate of one file for each image."""
    images = [
        Image(well, field, c, 0, 0, "plane", f"Screen 7_{well}_s{field}_w{c}.tif", 0, 2048, 2048, "uint16")
        for well in wells
        for field in range(1, n_fields + 1)
        for c in range(n_channels)
    ]
    return build_plate(images, id=1, name="Screen 7", root="/srv/mesh/repository/imports/import-0001/files")


def bytes_of_plate(packed: bytes) -> float:
    """What a plate takes of the memory as the repository hands it out."""
    tracemalloc.start()
    kept = [msgspec.msgpack.decode(packed, type=Plate) for _ in range(10)]
    n_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return n_bytes / len(kept)


def bytes_each(book: JobBook | ImportBook, kind: object, packed: list[bytes]) -> float:
    """What a book takes of the memory for each record that it reads, as from a journal."""
    decoder = msgspec.msgpack.Decoder(kind)
    tracemalloc.start()
    for one in packed:
        book.apply(decoder.decode(one))
    n_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return n_bytes / len(packed)


def main() -> None:
    """Print a line for each kind."""
    encode = msgspec.msgpack.encode
    for name, wells in (("4 wells", WELLS), ("384 wells", PLATE)):
        jobs = [encode(one) for one in ended_jobs(wells)]
        print(f"a job of {name}: {bytes_each(JobBook(), job_records.Record, jobs):,.0f} bytes")
    imports = [encode(one) for one in ended_imports()]
    print(f"an import: {bytes_each(ImportBook(), import_records.Record, imports):,.0f} bytes")
    keys = [
        encode(job_records.Forgotten(job=f"job-{n:04d}", at_unix_s=time.time(), owner="eva", key=f"{n:032x}"))
        for n in range(1, N + 1)
    ]
    for name, one in (("4 images", plate(WELLS, 1, 1)), ("13,824 images", plate(PLATE, 9, 4))):
        print(f"a plate of {name}: {bytes_of_plate(encode(one)):,.0f} bytes")
    print(f"the key of one that was forgotten: {bytes_each(JobBook(), job_records.Record, keys):,.0f} bytes")


if __name__ == "__main__":
    main()
