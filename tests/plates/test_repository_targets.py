"""Where plates belong, what is said of them, and how an older catalogue becomes one that can say it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.plates.labels import Labels, Target
from hcs_mesh.plates.local import CatalogueDamaged, LocalRepository, PlateNotFound
from hcs_mesh.plates.local.schema import MIGRATIONS
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.repository import StoredFile, StoredFileset

TARGET = Target(
    screen="Kinases",
    project="Screening",
    dataset="Week 12",
    description="first run",
    tags=("siRNA", "dose", "siRNA"),
    key_values=(("dose", "5 uM"), ("dose", "10 uM")),
    comment="lamp was new",
)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path, clock=lambda: 42.0)
    yield repository
    repository.close()


def fileset(name: str) -> StoredFileset:
    images = [Image("A01", 1, 0, 0, 0, "plane", "a.tif", 0, 4, 4, "uint8")]
    files = (StoredFile(path="a.tif", size=1, checksum="0" * 40),)
    return StoredFileset(planner="test", files=files, plates=(build_plate(images, id=0, name=name),))


def test_plates_appear_with_where_they_belong_and_what_is_said_of_them(repository: LocalRepository) -> None:
    first, second = repository.register("i1", [fileset("P"), fileset("Q")], owner="ada", target=TARGET)

    labels = repository.labels(first)
    assert labels == Labels(
        screen="Kinases",
        project="Screening",
        dataset="Week 12",
        description="first run",
        tags=("siRNA", "dose"),
        key_values=(("dose", "5 uM"), ("dose", "10 uM")),
        comment="lamp was new",
    )
    assert repository.labels(second) == labels
    assert [one.labels for one in repository.plates()] == [labels, labels]
    said = {(one.namespace, one.name, one.value, one.author) for one in repository.annotations(first)}
    assert ("hcs-mesh/key-value", "dose", "10 uM", "ada") in said
    assert ("hcs-mesh/tag", "tag", "siRNA", "ada") in said


def test_registering_again_says_nothing_twice(repository: LocalRepository) -> None:
    (plate_id,) = repository.register("i1", [fileset("P")], target=TARGET)
    before = repository.annotations(plate_id)
    assert repository.register("i1", [fileset("P")], target=TARGET) == (plate_id,)
    assert repository.annotations(plate_id) == before


def test_a_screen_is_made_once(repository: LocalRepository) -> None:
    repository.register("i1", [fileset("P")], target=Target(screen="Kinases", dataset="Week 12"))
    repository.register("i2", [fileset("Q")], target=TARGET)
    with repository._catalogue.reading() as connection:
        rows = connection.execute("SELECT kind, name, parent FROM containers ORDER BY id").fetchall()
    # The dataset of a project is another one than the dataset of the same name outside it.
    assert rows == [
        ("screen", "Kinases", 0),
        ("dataset", "Week 12", 0),
        ("project", "Screening", 0),
        ("dataset", "Week 12", 3),
    ]


def test_a_plate_that_nobody_labelled_has_empty_labels(repository: LocalRepository) -> None:
    (plate_id,) = repository.register("i1", [fileset("P")])
    assert repository.labels(plate_id) == Labels()
    with pytest.raises(PlateNotFound):
        repository.labels(plate_id + 1)


def old_catalogue(data: Path) -> None:
    """A catalogue as the first version wrote it, with one import."""
    (data / "repository" / "imports").mkdir(parents=True)
    connection = sqlite3.connect(data / "repository" / "catalogue.sqlite")
    connection.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    plate = msgspec.msgpack.encode(fileset("old").plates[0])
    connection.execute("INSERT INTO imports VALUES (1, 'i0', 'N', '/s', 'ada', 1.0)")
    connection.execute("INSERT INTO filesets VALUES (1, 1, 'test', '')")
    connection.execute("INSERT INTO files VALUES (1, 1, 'a.tif', 1, ?, 0, '0')", ("ab" * 20,))
    connection.execute("INSERT INTO plates VALUES (7, 1, '', 'old', 'plate', 1, 1, NULL, 1, 1, 1, ?)", (plate,))
    connection.commit()
    connection.close()


def test_an_older_catalogue_is_brought_up_to_date_when_it_is_opened(tmp_path: Path) -> None:
    old_catalogue(tmp_path)
    with pytest.raises(CatalogueDamaged, match="has version 1") as caught:
        LocalRepository(tmp_path, read_only=True)
    assert "hcs-mesh up" in caught.value.hint

    repository = LocalRepository(tmp_path)
    assert repository.files(7) == (StoredFile(path="a.tif", size=1, checksum="ab" * 20, algorithm="sha1"),)
    assert [(one.id, one.name, one.labels) for one in repository.plates()] == [(7, "old", Labels())]
    assert repository.register("i1", [fileset("new")], target=TARGET) == (8,)
    repository.close()
    LocalRepository(tmp_path, read_only=True).close()


def test_a_record_of_an_older_version_has_no_checksum_and_is_read_again() -> None:
    old = msgspec.msgpack.encode({"path": "a.tif", "size": 1, "sha1": "0" * 40})
    assert msgspec.msgpack.decode(old, type=StoredFile) == StoredFile(path="a.tif", size=1)
