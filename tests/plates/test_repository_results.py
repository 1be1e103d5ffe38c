from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hcs_mesh.plates.local import (
    BadName,
    LocalRepository,
    PlateNotFound,
    ResultNotFound,
    ResultNotSealed,
    read_record,
    seal_well,
    write_ome_tiff,
)
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.repository import ResultFile, StoredFile, StoredFileset, StoredResult


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[LocalRepository]:
    """A repository with plate 1 (wells A01, AA48) and image 2."""
    repository = LocalRepository(tmp_path / "data")
    images = [Image(well, 1, 0, 0, 0, "plane", "a.tif", 0, 4, 4, "uint8") for well in ("A01", "AA48")]
    plate = build_plate(images, id=0, name="plate")
    image = build_plate([images[0]._replace(well="")], id=0, name="image", kind="image")
    files = (StoredFile(path="a.tif", size=1, checksum="0" * 40),)
    repository.register("i1", [StoredFileset(planner="test", files=files, plates=(plate, image))])
    yield repository
    repository.close()


def compute(
    folder: Path, *, well: str = "A01", attempt: int = 1, plate_id: int = 1, n_objects: int = 3
) -> StoredResult:
    """What an executor does with the folder it was given."""
    write_ome_tiff(folder / "labels/nuclei.ome.tiff", np.eye(8, dtype=np.int32), labels=True)
    (folder / "objects.csv").write_text("label,area\n1,1\n")
    return seal_well(
        folder,
        StoredResult(
            job="j1",
            plate_id=plate_id,
            well=well,
            attempt=attempt,
            n_objects=n_objects,
            measurements=(("area_mean", 1.5), ("ratio", float("nan"))),
            files=(
                ResultFile(path="labels/nuclei.ome.tiff", kind="label", output="nuclei", field=1, height=8, width=8),
                ResultFile(path="objects.csv", kind="table"),
            ),
        ),
    )


def test_a_committed_well_is_found_with_its_files(repository: LocalRepository) -> None:
    sealed = compute(repository.results_folder(1, "j1", "A01", 1))
    with pytest.raises(ResultNotFound):
        repository.well_result("j1", "A01")

    committed = repository.commit_well(1, "j1", "A01", 1)

    folder = repository.folder / "imports/i1/results/plate_1/j1/A01"
    assert committed.folder == str(folder)
    assert committed.files == sealed.files
    assert {file.path: file.size for file in committed.files} == {
        file.path: (folder / file.path).stat().st_size for file in committed.files
    }
    (listed,) = repository.results("j1")
    assert (listed.well, listed.n_objects, listed.folder) == ("A01", 3, str(folder))
    assert repository.well_result("j1", "A01").files == sealed.files


@pytest.mark.parametrize(("plate_id", "well", "name"), [(1, "AA48", "AA48"), (2, "", "image")])
def test_a_result_lies_in_a_folder_named_after_its_well(
    repository: LocalRepository, plate_id: int, well: str, name: str
) -> None:
    compute(repository.results_folder(plate_id, "j1", well, 1), well=well, plate_id=plate_id)

    assert Path(repository.commit_well(plate_id, "j1", well, 1).folder).name == name
    assert repository.well_result("j1", well).well == well


def test_committing_twice_changes_nothing(repository: LocalRepository) -> None:
    compute(repository.results_folder(1, "j1", "A01", 1))

    first = repository.commit_well(1, "j1", "A01", 1)

    assert repository.commit_well(1, "j1", "A01", 1).files == first.files
    assert len(repository.results("j1")) == 1


def test_a_later_attempt_gets_the_first_result_and_leaves_nothing(repository: LocalRepository) -> None:
    first, second = (repository.results_folder(1, "j1", "A01", attempt) for attempt in (1, 2))
    compute(first, attempt=1, n_objects=3)
    compute(second, attempt=2, n_objects=99)

    repository.commit_well(1, "j1", "A01", 1)
    late = repository.commit_well(1, "j1", "A01", 2)

    assert (late.attempt, late.n_objects) == (1, 3)
    assert [path.name for path in first.parent.iterdir()] == ["A01"]


def test_many_threads_commit_each_well_once(repository: LocalRepository) -> None:
    for attempt in range(1, 17):
        compute(repository.results_folder(1, "j1", "A01", attempt), attempt=attempt, n_objects=attempt)

    with ThreadPoolExecutor(8) as pool:
        committed = set(pool.map(lambda n: repository.commit_well(1, "j1", "A01", n).attempt, range(1, 17)))

    assert committed == {repository.well_result("j1", "A01").attempt}


def test_an_unsealed_attempt_is_refused(repository: LocalRepository) -> None:
    folder = repository.results_folder(1, "j1", "A01", 1)
    (folder / "half.csv").write_text("label,ar")

    with pytest.raises(ResultNotSealed, match="no finished result"):
        repository.commit_well(1, "j1", "A01", 1)
    assert repository.results("j1") == ()


def test_an_attempt_cannot_pass_for_another_well(repository: LocalRepository) -> None:
    compute(repository.results_folder(1, "j1", "AA48", 1), well="A01")

    with pytest.raises(ResultNotSealed, match="holds well 'A01'"):
        repository.commit_well(1, "j1", "AA48", 1)


def test_a_result_that_names_a_missing_file_is_not_sealed(repository: LocalRepository) -> None:
    folder = repository.results_folder(1, "j1", "A01", 1)
    result = StoredResult(
        job="j1", plate_id=1, well="A01", attempt=1, files=(ResultFile(path="gone.csv", kind="table"),)
    )

    with pytest.raises(ResultNotSealed, match=r"gone\.csv"):
        seal_well(folder, result)
    with pytest.raises(ResultNotSealed):
        read_record(folder)


def test_an_attempt_that_begins_again_begins_empty(repository: LocalRepository) -> None:
    folder = repository.results_folder(1, "j1", "A01", 1)
    (folder / "half.csv").write_text("label,ar")

    assert repository.results_folder(1, "j1", "A01", 1) == folder
    assert list(folder.iterdir()) == []


def test_sweeping_removes_dead_attempts_and_keeps_live_ones(repository: LocalRepository) -> None:
    compute(repository.results_folder(1, "j1", "A01", 1))
    repository.commit_well(1, "j1", "A01", 1)
    dead, alive = (repository.results_folder(1, "j1", "AA48", attempt) for attempt in (1, 2))
    other_job = repository.results_folder(1, "j2", "AA48", 1)

    assert repository.sweep("j1", alive={("AA48", 2)}) == ()

    assert (dead.exists(), alive.exists(), other_job.exists()) == (False, True, True)
    assert Path(repository.well_result("j1", "A01").folder).is_dir()


def test_sweeping_commits_what_was_renamed_before_a_crash(repository: LocalRepository) -> None:
    folder = repository.results_folder(1, "j1", "A01", 1)
    compute(folder)
    folder.rename(folder.with_name("A01"))

    (found,) = repository.sweep("j1")

    assert found.well == "A01"
    assert repository.well_result("j1", "A01").folder == found.folder
    assert repository.sweep("j1") == ()


def test_a_retry_adopts_what_was_renamed_before_a_crash(repository: LocalRepository) -> None:
    folder = repository.results_folder(1, "j1", "A01", 1)
    compute(folder, n_objects=3)
    folder.rename(folder.with_name("A01"))
    retry = repository.results_folder(1, "j1", "A01", 2)
    compute(retry, attempt=2, n_objects=99)

    assert repository.commit_well(1, "j1", "A01", 2).n_objects == 3
    assert not retry.exists()


@pytest.mark.parametrize("well", ["a01", "../A01", "A", "image", "A01/x", "A1"])
def test_a_result_cannot_leave_its_job(repository: LocalRepository, well: str) -> None:
    with pytest.raises(BadName):
        repository.results_folder(1, "j1", well, 1)
    with pytest.raises(BadName):
        repository.results_folder(1, "../j1", "A01", 1)


def test_an_unknown_plate_has_no_results_folder(repository: LocalRepository) -> None:
    with pytest.raises(PlateNotFound):
        repository.results_folder(9, "j1", "A01", 1)
