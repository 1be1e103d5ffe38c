"""Imports in place: links in the server's own folder, or a refusal that says what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from omero_imports import METAXPRESS, Importing, counted, importable, importing, n_of

from hcs_mesh.plates.omero.errors import OmeroNotInPlace
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


@pytest.fixture
def desk(omero: RunningServer) -> Iterator[Importing]:
    with importing(omero, managed=omero.managed) as one:
        yield one


def links_below(folder: Path) -> set[Path]:
    return {path.resolve() for path in folder.rglob("*") if path.is_symlink()}


def test_the_servers_entries_are_links_to_the_source_and_none_of_its_bytes_travel(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("in-place", importable(shared_data / METAXPRESS))
    stored = one.adopt()
    one.verify()
    [plate_id] = one.register()
    assert plate_id
    assert {file.links_to for file in stored} == {str((one.root / file.path).resolve()) for file in one.files}
    assert links_below(omero.managed) == {(one.root / file.path).resolve() for file in one.files}
    assert one.bytes_at(omero) == one.bytes_here()
    assert counted(omero, "RawFileStore.write") < 40 * len(stored)
    assert one.reconcile().registered


def test_what_was_only_linked_to_stays_when_the_import_is_given_up(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("in-place-given-up", importable(shared_data / METAXPRESS))
    n_before = n_of(omero, "Fileset")
    before = one.bytes_here()
    one.adopt()
    one.discard()
    assert n_of(omero, "Fileset") == n_before
    assert one.bytes_here() == before


def test_a_repository_that_is_not_mounted_is_told_of(omero: RunningServer, tmp_path: Path, shared_data: Path) -> None:
    with importing(omero) as desk, pytest.raises(OmeroNotInPlace, match="not mounted") as error:
        desk.of("not-mounted", importable(shared_data / METAXPRESS)).adopt()
    assert "omero.managed_repository" in error.value.hint
    with (
        importing(omero, managed=tmp_path / "nowhere") as desk,
        pytest.raises(OmeroNotInPlace, match="nowhere is no folder"),
    ):
        desk.of("no-folder", importable(shared_data / METAXPRESS)).adopt()


def test_another_folder_than_the_servers_is_not_written_to(
    omero: RunningServer, tmp_path: Path, shared_data: Path
) -> None:
    with importing(omero, managed=tmp_path) as desk, pytest.raises(OmeroNotInPlace):
        desk.of("another-folder", importable(shared_data / METAXPRESS)).adopt()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_told_of(
    omero: RunningServer, desk: Importing, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # By root, as whom tests may run, everything may be written to.
    monkeypatch.setattr(Path, "symlink_to", refused)
    with pytest.raises(OmeroNotInPlace, match=r"No link can be put.*Permission denied"):
        desk.of("not-writable", importable(shared_data / METAXPRESS)).adopt()
