"""Files that nothing here reads: stored when the user says so, or when they are a microscope's own."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from hcs_mesh.plates import NothingToImport, Plan, plan
from hcs_mesh.plates.local import FolderReader, LocalRepository
from hcs_mesh.plates.planners.plain_fileset import STORED_ONLY, is_container
from hcs_mesh.plates.repository import SourceFile, StoredFileset


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def filesets(found: Plan) -> list[tuple[str, str, list[str], int]]:
    return [(one.planner, one.root, [file.path for file in one.files], len(one.plates)) for one in found.filesets]


def test_every_file_is_stored_where_the_user_says_so(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", ".hidden", "deep/er/b.bin")
    (tmp_path / "image.tif").write_bytes(b"not one")
    found = plan(tmp_path, as_files=True)
    assert filesets(found) == [("files", "", [".hidden", "a.txt", "deep/er/b.bin", "image.tif"], 0)]
    assert found.filesets[0].notes == (STORED_ONLY,)
    assert filesets(plan(tmp_path / "a.txt", as_files=True)) == [("files", "", ["a.txt"], 0)]


def test_an_empty_folder_holds_nothing_to_store(tmp_path: Path) -> None:
    with pytest.raises(NothingToImport, match="is empty"):
        plan(tmp_path, as_files=True)


@pytest.mark.parametrize("source", ["", "notes.txt"])
def test_text_is_refused_with_the_word_that_stores_it(tmp_path: Path, source: str) -> None:
    make(tmp_path, "notes.txt")
    with pytest.raises(NothingToImport) as refused:
        plan(tmp_path / source)
    assert "--as-files" in refused.value.hint


@pytest.mark.parametrize(
    ("names", "container", "together"),
    [
        (["s.czi", "s.txt"], "s.czi", ["s.czi"]),
        (["s.VSI", "_s_/stack1/frame_t_0.ets", "_other_/x"], "s.VSI", ["_s_/stack1/frame_t_0.ets", "s.VSI"]),
        (["s.oif", "s.oif.files/s_C001.tif"], "s.oif", ["s.oif", "s.oif.files/s_C001.tif"]),
        (["s.ics", "s.ids"], "s.ics", ["s.ics", "s.ids"]),
        (["s.mrxs", "s/Slidedat.ini", "s/Data0000.dat"], "s.mrxs", ["s.mrxs", "s/Data0000.dat", "s/Slidedat.ini"]),
    ],
)
def test_a_microscopes_own_file_is_stored_with_what_belongs_to_it(
    tmp_path: Path, names: list[str], container: str, together: list[str]
) -> None:
    make(tmp_path, *names)
    for source in (tmp_path, tmp_path / container):
        assert filesets(plan(source)) == [("files", "", together, 0)]


def test_each_container_of_a_folder_is_a_fileset(tmp_path: Path) -> None:
    make(tmp_path, "day/one.nd2", "day/two.nd2", "README")
    found = plan(tmp_path)
    assert [one[2] for one in filesets(found)] == [["day/one.nd2"], ["day/two.nd2"]]
    assert [one.path for one in found.left_out] == ["README"]


def test_a_container_beside_a_known_layout_is_left_out_and_told_why(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.ome.tif", np.ones((4, 4), np.uint8), metadata={"axes": "YX"}, ome=True)
    make(tmp_path, "two.lif")
    found = plan(tmp_path)
    assert [one.planner for one in found.filesets] == ["ome-tiff"]
    assert [(one.path, "its own path" in one.reason) for one in found.left_out] == [("two.lif", True)]


def test_tiff_and_text_are_no_containers() -> None:
    assert [name for name in ("a.tif", "a.txt", "czi", "a.czi.txt", "a.h5") if is_container(name)] == []


def test_an_import_without_plates_is_registered_once_and_lists_none(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make(source, "s.czi")
    (fileset,) = plan(source).filesets
    repository = LocalRepository(tmp_path / "data")
    try:
        files = [SourceFile(path=file.path, size=file.n_bytes) for file in fileset.files]
        stored = repository.transfer("imp-1", FolderReader(source), files)
        kept = (StoredFileset(planner=fileset.planner, files=stored),)
        assert repository.register("imp-1", kept, source=str(source)) == ()
        assert repository.register("imp-1", kept, source=str(source)) == ()
        standing = repository.reconcile("imp-1")
        assert (standing.registered, standing.plate_ids, standing.complete) == (True, (), ("s.czi",))
        assert repository.plates() == ()
        assert (repository.files_folder("imp-1") / "s.czi").read_bytes() == b"s.czi"
    finally:
        repository.close()
