"""A place of an import in place that cannot be looked at keeps the sources alone that it may be linked to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.imports import still_linked
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings, MeshError
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import AwaitImport, CancelImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    scope, data = tmp_path / "scope", tmp_path / "data"
    scope.mkdir()
    settings = ImportSettings(
        settle_s=0.01,
        first_retry_s=0.01,
        longest_retry_s=0.1,
        certify_same_disk=True,
        roots=(RootSettings(path=str(scope), delete_source=True),),
    )
    node, repository = Node("hub"), LocalRepository(data)
    prover = LocalProver(repository, data, data / "keys", settings)
    places = ImportPlaces(data, settings)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor(
            "imports",
            lambda: ImportProxy(repository, tmp_path / "journal", settings, places=places, prover=prover),
        ),
    ]
    yield node
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()
    repository.close()


async def ended(node: Node, order: ImportOrder, key: str) -> ImportStatus:
    imports = node.find("imports")
    status: ImportStatus = await imports.ask(GetImport(import_id=await imports.ask(SubmitImport(order=order, key=key))))
    while status.state in ("running", "waiting"):
        status = await imports.ask(AwaitImport(import_id=status.import_id, revision=status.revision))
    return status


def plate(folder: Path) -> ImportOrder:
    write_plate(folder, Recipe(name=folder.name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
    return ImportOrder(path=str(folder), delete_source=True)


def hide(folder: Path) -> None:
    """Put something in the place of a folder that nobody can look at, whatever his rights."""
    folder.rename(folder.with_name("hidden"))
    folder.symlink_to(folder)


async def test_a_place_of_which_other_files_were_recorded_keeps_no_source(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = LocalRepository.verify

    def refuse_the_first(repository: LocalRepository, import_id: str, *given: Any, **named: Any) -> None:
        if import_id == "import-0001":
            raise MeshError("nobody lets it")
        verify(repository, import_id, *given, **named)

    monkeypatch.setattr(LocalRepository, "verify", refuse_the_first)
    linked = tmp_path / "scope" / "linked"
    write_plate(linked, Recipe(name="linked", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    for file in linked.rglob("*"):
        os.utime(file, (1e9, 1e9))
    failed = await ended(node, ImportOrder(path=str(linked), mode="in-place"), "a")
    assert (failed.state, failed.n_files > 0) == ("failed", True)
    hide(linked)
    status = await ended(node, plate(tmp_path / "scope" / "plate"), "b")
    assert status.source_deleted, status.deletion_note


async def test_a_place_of_which_nothing_is_recorded_keeps_sources_and_it_is_said_which_it_is_and_what_to_do(
    node: Node, tmp_path: Path
) -> None:
    linked = tmp_path / "scope" / "linked"
    linked.mkdir()
    (linked / "notes.txt").write_text("no plate")
    failed = await ended(node, ImportOrder(path=str(linked), mode="in-place"), "a")
    assert (failed.state, failed.n_files) == ("failed", 0)
    hide(linked)
    status = await ended(node, plate(tmp_path / "scope" / "plate"), "b")
    assert status.certificate, status.certificate_note
    assert not status.source_deleted
    assert status.deletion_note == (
        "the source stays: whether import-0001 has it in place is not known, since its source cannot be looked at: "
        f"{linked}: Too many levels of symbolic links (errno 40); make {linked} readable for the mesh again, "
        "or give that import up: hcs-mesh imports cancel import-0001"
    )
    await node.find("imports").ask(CancelImport(import_id="import-0001"))
    status = await ended(node, plate(tmp_path / "scope" / "plate2"), "c")
    assert status.source_deleted, status.deletion_note


async def test_a_place_whose_plates_are_made_keeps_sources_in_a_repository_that_tells_no_links(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As an OMERO.server, of which only the orders are known.
    monkeypatch.setattr(LocalRepository, "kind", "omero")
    monkeypatch.setattr(LocalRepository, "links_into", lambda self, folder: {})
    monkeypatch.setattr(LocalRepository, "has_in_place", lambda self, files: "")
    linked = tmp_path / "scope" / "linked"
    write_plate(linked, Recipe(name="linked", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    assert (await ended(node, ImportOrder(path=str(linked), mode="in-place"), "a")).state == "done"
    hide(linked)
    status = await ended(node, plate(tmp_path / "scope" / "plate"), "b")
    assert not status.source_deleted
    assert "whether import-0001 has it in place is not known" in status.deletion_note
    assert status.deletion_note.endswith("once nobody needs the plates of that import any more")


S = 10**9


@pytest.mark.parametrize(
    ("file", "may_share"),
    [
        (SourceFile(path="b", size=5, inode=7, mtime_ns=100 * S), True),
        (SourceFile(path="b", size=5, inode=7, mtime_ns=900 * S), True),  # touched since
        (SourceFile(path="b", size=5, inode=8, mtime_ns=101 * S), True),  # by a server that makes up inodes
        (SourceFile(path="b", size=5), True),  # nothing is known of it
        (SourceFile(path="b", size=5, inode=8, mtime_ns=103 * S), False),
        (SourceFile(path="b", size=5, inode=8, mtime_ns=90 * S), False),
        (SourceFile(path="b", size=6, inode=7, mtime_ns=100 * S), False),
    ],
)
def test_files_are_the_same_only_where_their_size_is_and_their_inode_or_time(
    file: SourceFile, *, may_share: bool
) -> None:
    others = [
        SourceFile(path="a", size=5, inode=7, mtime_ns=100 * S),
        SourceFile(path="c", size=5, inode=9, mtime_ns=50 * S),
    ]
    assert still_linked.may_share([file], others) is may_share
    assert still_linked.may_share(others, [file]) is may_share
