"""A source is not deleted for one import while another has it in place: its plates are read from there."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hcs_mesh.actors.imports import still_linked
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Cancelled, Finished, Forgotten
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.retention import Retention
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import (
    AwaitImport,
    ForgetImport,
    GetImport,
    ImportOrder,
    ImportStatus,
    SubmitImport,
)
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    scope, data = tmp_path / "scope", tmp_path / "data"
    settings = ImportSettings(
        settle_s=0.01,
        first_retry_s=0.01,
        longest_retry_s=0.1,
        certify_same_disk=True,
        roots=(RootSettings(path=str(scope), delete_source=True), RootSettings(path=str(tmp_path / "mounted"))),
    )
    node, repository = Node("hub"), LocalRepository(data)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor(
            "imports",
            lambda: ImportProxy(
                repository,
                tmp_path / "journal",
                settings,
                places=ImportPlaces(data, settings),
                prover=LocalProver(repository, data, data / "keys", settings),
            ),
        ),
    ]
    yield node
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()
    repository.close()


@contextmanager
def second_mount(folder: Path, at: Path) -> Iterator[None]:
    at.mkdir()
    subprocess.run(["mount", "--bind", str(folder), str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


async def imported(node: Node, order: ImportOrder, key: str) -> ImportStatus:
    imports = node.find("imports")
    status = await imports.ask(GetImport(import_id=await imports.ask(SubmitImport(order=order, key=key))))
    while status.state in ("running", "waiting"):
        status = await imports.ask(AwaitImport(import_id=status.import_id, revision=status.revision))
    assert status.state == "done", status.reason
    return status


@pytest.mark.parametrize("forgotten", [False, True], ids=["", "off the list"])
async def test_what_another_import_has_in_place_is_not_deleted(node: Node, tmp_path: Path, *, forgotten: bool) -> None:
    source = tmp_path / "scope" / "plate"
    write_plate(source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    files = sorted(source.rglob("*"))
    linked = await imported(node, ImportOrder(path=str(source), mode="in-place"), "a")
    if forgotten:
        await node.find("imports").ask(ForgetImport(import_id=linked.import_id))
    order = ImportOrder(path=str(source), delete_source=True, forced=True)
    status = await imported(node, order, "b")
    assert status.certificate, status.certificate_note
    assert (status.source_deleted, sorted(source.rglob("*"))) == (False, files)
    assert status.deletion_note == (
        f"the source stays: {linked.import_id} has it in place, and its plates are read from there"
    )


@pytest.mark.parametrize("forgotten", [False, True], ids=["", "off the list"])
async def test_what_is_in_place_by_another_name_in_a_repository_that_tells_no_links_is_not_deleted(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, forgotten: bool
) -> None:
    # As an OMERO.server, of which only the orders are known.
    monkeypatch.setattr(LocalRepository, "kind", "omero")
    monkeypatch.setattr(LocalRepository, "links_into", lambda self, folder: {})
    source, alias = tmp_path / "scope" / "plate", tmp_path / "scope" / "alias"
    write_plate(source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    alias.symlink_to(source)
    files = sorted(source.rglob("*"))
    linked = await imported(node, ImportOrder(path=str(alias), mode="in-place"), "a")
    if forgotten:
        await node.find("imports").ask(ForgetImport(import_id=linked.import_id))
    order = ImportOrder(path=str(source), delete_source=True, forced=True)
    status = await imported(node, order, "b")
    assert status.certificate, status.certificate_note
    assert (status.source_deleted, sorted(source.rglob("*"))) == (False, files)
    assert status.deletion_note.startswith(f"the source stays: {linked.import_id} has it in place")


@pytest.mark.parametrize(
    ("path", "has_any"),
    [
        ("/in", True),
        ("/in/plate", True),
        ("/in/plate/a", True),
        ("/in/plate/a/1.tif", True),
        ("/in/plate/2.tif", True),
        ("/in/plate/b", False),
        ("/in/plate/2", False),
        ("/in/plat", False),
        ("/in/plate2", False),
    ],
)
def test_what_is_in_place_is_told_from_what_lies_beside_it(path: str, *, has_any: bool) -> None:
    assert still_linked._has_any(path, "/in/plate", ("a/1.tif", "2.tif")) is has_any


async def test_what_is_in_place_by_names_that_share_nothing_with_the_source_is_not_deleted(
    node: Node, tmp_path: Path
) -> None:
    # Second names of the same files, as another mount of their disk gives them.
    source, elsewhere = tmp_path / "scope" / "plate", tmp_path / "scope" / "mounted"
    write_plate(source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    files = sorted(source.rglob("*"))
    for file in (one for one in files if one.is_file()):
        name = elsewhere / file.relative_to(source)
        name.parent.mkdir(parents=True, exist_ok=True)
        name.hardlink_to(file)
    linked = await imported(node, ImportOrder(path=str(elsewhere), mode="in-place"), "a")
    status = await imported(node, ImportOrder(path=str(source), delete_source=True, forced=True), "b")
    assert status.certificate, status.certificate_note
    assert (status.source_deleted, sorted(source.rglob("*"))) == (False, files)
    assert status.deletion_note.startswith(f"the source stays: {linked.import_id} has it in place")


@pytest.mark.needs("root")
async def test_what_is_in_place_through_a_second_mount_is_not_deleted_where_the_repository_tells_no_links(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalRepository, "kind", "omero")
    monkeypatch.setattr(LocalRepository, "links_into", lambda self, folder: {})
    monkeypatch.setattr(LocalRepository, "has_in_place", lambda self, files: "")
    source, mounted = tmp_path / "scope" / "plate", tmp_path / "mounted"
    write_plate(source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    files = sorted(source.rglob("*"))
    with second_mount(tmp_path / "scope", mounted):
        linked = await imported(node, ImportOrder(path=str(mounted / "plate"), mode="in-place"), "a")
        status = await imported(node, ImportOrder(path=str(source), delete_source=True, forced=True), "b")
    assert status.certificate, status.certificate_note
    assert (status.source_deleted, sorted(source.rglob("*"))) == (False, files)
    assert status.deletion_note.startswith(f"the source stays: {linked.import_id} has it in place")


@pytest.mark.parametrize(
    ("path", "is_marked"),
    [(".", True), ("plate", True), ("plate/a", True), ("plate/a/1.tif", True), ("plate/b", False), ("beside", False)],
)
def test_a_folder_is_told_by_its_device_and_inode_however_it_is_called(
    tmp_path: Path, path: str, *, is_marked: bool
) -> None:
    for folder in ("plate/a", "plate/b", "beside"):
        (tmp_path / folder).mkdir(parents=True)
    file = tmp_path / "plate" / "a" / "1.tif"
    file.write_bytes(b"x")
    files = [SourceFile(path="a/1.tif", size=1, inode=file.stat().st_ino)]
    _, marks = still_linked._marks(str(tmp_path / "plate"), files)
    (led,) = still_linked._real([("import-0001", str(tmp_path / path))])
    assert (led.mark in marks) is is_marked


async def test_what_lies_beside_a_linked_source_is_deleted(node: Node, tmp_path: Path) -> None:
    for name in ("plate", "plate2"):
        write_plate(tmp_path / "scope" / name, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
    await imported(node, ImportOrder(path=str(tmp_path / "scope" / "plate"), mode="in-place"), "a")
    order = ImportOrder(path=str(tmp_path / "scope" / "plate2"), delete_source=True)
    status = await imported(node, order, "b")
    assert status.source_deleted, status.deletion_note


def test_what_is_about_to_be_in_place_counts_and_what_was_given_up_does_not() -> None:
    order = ImportOrder(path="/in/plates/one", mode="in-place")
    book = ImportBook([Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=order)])
    found = {path: book.in_place_at(path, ended=False) for path in ("/in/plates", "/in/plates/one/a", "/in/plates/on")}
    assert found == {"/in/plates": "import-0001", "/in/plates/one/a": "import-0001", "/in/plates/on": ""}
    book.apply(Finished(import_id="import-0001", at_unix_s=1.0, plate_ids=(1,)))
    assert [book.in_place_at("/in/plates", ended=ended) for ended in (False, True)] == ["", "import-0001"]
    given_up = ImportBook([Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=order)])
    given_up.apply(Cancelled(import_id="import-0001", at_unix_s=1.0))
    assert not given_up.in_place_at("/in/plates", ended=True)


def test_what_is_in_place_counts_for_good_once_it_is_off_the_list_though_its_key_does_not() -> None:
    book = ImportBook()
    for n, mode in enumerate(("in-place", "upload", "upload"), 1):
        import_id, order = f"import-{n:04d}", ImportOrder(path=f"/in/{n}", mode=mode)
        book.apply(Accepted(import_id=import_id, at_unix_s=0.0, key=f"k{n}", order=order, owner="ada"))
        book.apply(Finished(import_id=import_id, at_unix_s=1.0, plate_ids=(n,)))
        book.apply(Forgotten(import_id=import_id, at_unix_s=2.0))
    assert book.by_key("ada", "k1") == "import-0001"
    book.drop_old_keys(Retention(), 1e12)
    for one in (book, ImportBook(book.compacted()), ImportBook(ImportBook(book.compacted()).compacted())):
        assert [one.in_place_at(f"/in/{n}", ended=True) for n in (1, 2, 3)] == ["import-0001", "", ""]
        assert one.by_key("ada", "k1") is None
        assert len(one.compacted()) == 2
        assert not one.in_place_at("/in/1", ended=False)
