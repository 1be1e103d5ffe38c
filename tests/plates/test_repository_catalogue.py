import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.plates.local import (
    CatalogueDamaged,
    FilesDoNotMatch,
    FolderReader,
    LocalRepository,
    PlateNotFound,
    RepositoryFailed,
    RepositoryInUse,
    RepositoryReadOnly,
)
from hcs_mesh.plates.model import Image, Missing, Plate, build_plate
from hcs_mesh.plates.repository import Repository, StoredFile, StoredFileset


def make_plate(name: str = "P1", *, n_columns: int = 3, root: str = "") -> Plate:
    """A ragged plate: two fields, the first with a projection more, one image declared and absent."""
    images = [
        Image(f"B{column:02d}", field, c, 0, 0, kind, f"{kind}_{column}_{field}.tif", c, 8, 9, "uint16")
        for column in range(1, n_columns + 1)
        for field in (1, 2)
        for c in (0, 1)
        for kind in (("plane", "projection") if field == 1 else ("plane",))
    ]
    return build_plate(
        images,
        id=0,
        name=name,
        n_rows=8,
        n_columns=12,
        channels=("DAPI", "GFP"),
        pixel_size_um=0.325,
        root=root,
        missing=(Missing(well="C04", field=1, c=0, z=0, t=0, file="gone.tif"),),
        notes=("One image is absent.",),
    )


def make_fileset(plate: Plate) -> StoredFileset:
    folder = f"{plate.root}/" if plate.root else ""
    files = tuple(StoredFile(path=folder + file, size=100, checksum="ab" * 20, inode=2**64 - 1) for file in plate.files)
    return StoredFileset(planner="test", files=files, plates=(plate,))


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def rows(repository: LocalRepository, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(repository.folder / "catalogue.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_the_local_repository_is_a_repository(repository: LocalRepository) -> None:
    it: Repository = repository

    assert it.kind == "local"
    assert it.compatible_results == ("local",)


def test_a_plate_comes_back_as_it_was_registered(repository: LocalRepository) -> None:
    plate = make_plate(root="exp 1/run")

    (plate_id,) = repository.register("i1", [make_fileset(plate)], name="N", source="/s", owner="ada")

    root = repository.files_folder("i1") / "exp 1/run"
    assert repository.plate(plate_id) == msgspec.structs.replace(plate, id=plate_id, root=str(root))
    (summary,) = repository.plates()
    assert (summary.id, summary.name, summary.n_wells, summary.n_fields, summary.n_images) == (plate_id, "P1", 3, 6, 18)
    assert repository.files(plate_id) == make_fileset(plate).files


def test_the_rows_tell_the_same_as_the_plate(repository: LocalRepository) -> None:
    plate = make_plate()
    repository.register("i1", [make_fileset(make_plate("other", n_columns=1)), make_fileset(plate)])

    found = rows(
        repository,
        "SELECT label, fields.field, c, z, t, images.kind, files.path, page, height, width, dtype FROM images"
        " JOIN fields ON fields.id = images.field JOIN wells ON wells.id = well JOIN plates ON plates.id = plate"
        " JOIN files ON files.id = file WHERE plates.name = 'P1' ORDER BY images.id",
    )
    assert found == [tuple(image) for image in plate.images()]
    assert rows(repository, "SELECT name FROM channels WHERE plate = 2 ORDER BY c") == [("DAPI",), ("GFP",)]
    assert rows(repository, "SELECT well, file FROM missing_images WHERE plate = 2") == [("C04", "gone.tif")]
    assert rows(repository, "PRAGMA foreign_key_check") == []


def test_registering_twice_changes_nothing(repository: LocalRepository) -> None:
    filesets = [make_fileset(make_plate("A")), make_fileset(make_plate("B"))]

    first = repository.register("i1", filesets)

    assert repository.register("i1", filesets) == first
    assert repository.reconcile("i1").plate_ids == first
    assert len(repository.plates()) == 2


def test_many_threads_register_one_import_once(repository: LocalRepository) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: repository.register("i1", [make_fileset(make_plate())]), range(32)))

    assert len(ids) == 1
    assert len(repository.plates()) == 1


def test_readers_see_whole_imports_while_another_thread_registers(repository: LocalRepository) -> None:
    stop = threading.Event()

    def look() -> set[int]:
        seen: set[int] = set()
        while not stop.is_set():
            seen.add(len(repository.plates()))
        return seen

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(look) for _ in range(4)]
        for n in range(20):
            repository.register(f"i{n}", [make_fileset(make_plate("A")), make_fileset(make_plate("B"))])
        stop.set()
        assert all(count % 2 == 0 for seen in looks for count in seen.result())


def test_an_import_that_does_not_fit_leaves_no_row(repository: LocalRepository) -> None:
    good, bad = make_fileset(make_plate()), make_fileset(make_plate("bad"))
    bad = msgspec.structs.replace(bad, files=bad.files[1:])

    with pytest.raises(FilesDoNotMatch, match=r"'bad'.*1 files"):
        repository.register("i1", [good, bad])

    assert repository.plates() == ()
    assert not repository.reconcile("i1").registered
    assert rows(repository, "SELECT count(*) FROM images") == [(0,)]


def test_an_import_without_plates_is_registered_all_the_same(repository: LocalRepository) -> None:
    assert repository.register("i1", [StoredFileset(planner="none", files=())]) == ()
    assert repository.reconcile("i1").registered


def test_an_image_on_no_plate_has_a_well_without_a_name(repository: LocalRepository) -> None:
    image = build_plate(
        [Image("", 1, 0, 0, 0, "plane", "one.ome.tif", 0, 4, 4, "uint8")], id=0, name="one", kind="image"
    )

    (plate_id,) = repository.register("i1", [make_fileset(image)])

    assert repository.plates()[0].kind == "image"
    assert [one.well for one in repository.plate(plate_id).images()] == [""]


def test_an_unknown_plate_says_so(repository: LocalRepository) -> None:
    with pytest.raises(PlateNotFound, match="no plate 7") as caught:
        repository.plate(7)
    assert str(caught.value) == "There is no plate 7."
    with pytest.raises(PlateNotFound):
        repository.annotate(7, key="k", namespace="n", name="a", value="v")


def test_annotations_stay_and_are_added_once_for_each_key(repository: LocalRepository) -> None:
    (plate_id,) = repository.register("i1", [make_fileset(make_plate())])

    first = repository.annotate(plate_id, key="k1", namespace="import", name="source", value="/s", author="ada")
    again = repository.annotate(plate_id, key="k1", namespace="import", name="source", value="/other")
    repository.annotate(plate_id, key="k2", namespace="user", name="note", value="out of focus", well="B02")

    assert again == first
    assert [one.value for one in repository.annotations(plate_id)] == ["/s", "out of focus"]
    assert [one.well for one in repository.annotations(plate_id)] == ["", "B02"]


def test_a_second_writer_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = LocalRepository(tmp_path)
    with pytest.raises(RepositoryInUse, match="Another process") as caught:
        LocalRepository(tmp_path)
    assert caught.value.hint
    first.close()

    LocalRepository(tmp_path).close()


def test_another_process_reads_beside_the_writer(repository: LocalRepository) -> None:
    (plate_id,) = repository.register("i1", [make_fileset(make_plate())])

    script = (
        "import sys; from pathlib import Path; from hcs_mesh.plates.local import LocalRepository\n"
        "reader = LocalRepository(Path(sys.argv[1]), read_only=True)\n"
        "print(reader.plate(int(sys.argv[2])).n_images, len(reader.plates()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(repository.folder.parent), str(plate_id)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["18", "1"]


def test_a_reader_changes_nothing(repository: LocalRepository, tmp_path: Path) -> None:
    (plate_id,) = repository.register("i1", [make_fileset(make_plate())])
    reader = LocalRepository(repository.folder.parent, read_only=True)

    with pytest.raises(RepositoryReadOnly):
        reader.register("i2", [])
    with pytest.raises(RepositoryReadOnly):
        reader.transfer("i2", FolderReader(tmp_path), [])
    with pytest.raises(RepositoryReadOnly):
        reader.results_folder(plate_id, "j", "B01", 1)
    reader.close()


def test_reading_where_there_is_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryFailed):
        LocalRepository(tmp_path, read_only=True)


def test_a_damaged_catalogue_is_named(tmp_path: Path) -> None:
    LocalRepository(tmp_path).close()
    (tmp_path / "repository/catalogue.sqlite").write_bytes(b"not a database at all " * 500)

    with pytest.raises(CatalogueDamaged, match=r"catalogue\.sqlite is damaged"):
        LocalRepository(tmp_path)


def test_a_newer_catalogue_is_refused(tmp_path: Path) -> None:
    LocalRepository(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "repository/catalogue.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(CatalogueDamaged, match="version 99"):
        LocalRepository(tmp_path)
    with pytest.raises(CatalogueDamaged, match="version 99"):
        LocalRepository(tmp_path, read_only=True)


def test_a_closed_repository_says_so(tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path)
    repository.close()
    repository.close()

    with pytest.raises(RepositoryFailed, match="closed"):
        repository.plates()
