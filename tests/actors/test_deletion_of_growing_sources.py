"""A source of which files came after it had settled is not deleted: its acquisition may go on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.imports.notes import late_notes, stays_for_late
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "scope" / "a plate"
    write_plate(folder, Recipe(name="Tiny", n_rows=1, n_columns=2, n_fields=1, size_px=64))
    return folder


@pytest.fixture
def late(source: Path) -> Path:
    return source / "TimePoint_1" / "late.TIF"


def files_of(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file())


async def imported(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, meanwhile: Callable[[], object], ended: bool = False
) -> ImportStatus:
    """How an import ends whose source is to be deleted, and of which something happens while it is verified."""
    settings = ImportSettings(
        settle_s=0.01,
        pending_patience_s=0.0,
        certify_same_disk=True,
        roots=(RootSettings(path=str(folder / "scope"), delete_source=True),),
    )
    data = folder / "data"
    node, repository = Node("hub"), LocalRepository(data)
    verify = repository.verify

    def verify_meanwhile(*words: Any, **options: Any) -> None:
        meanwhile()
        verify(*words, **options)

    monkeypatch.setattr(repository, "verify", verify_meanwhile)
    prover = LocalProver(repository, data, data / "keys", settings)
    places = ImportPlaces(data, settings)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor(
            "imports", lambda: ImportProxy(repository, folder / "journal", settings, places=places, prover=prover)
        ),
    ]
    imports = node.find("imports")
    order = ImportOrder(path=str(source), delete_source=True, ended=ended)
    status = await imports.ask(GetImport(import_id=await imports.ask(SubmitImport(order=order, key="k"))))
    while status.state in ("running", "waiting"):
        status = await imports.ask(AwaitImport(import_id=status.import_id, revision=status.revision))
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()
    repository.close()
    assert (status.state, bool(status.certificate)) == ("done", True), status.reason
    return status


@pytest.mark.anyio
async def test_what_came_since_it_had_settled_keeps_the_source_and_is_told_with_what_to_do(
    source: Path, late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(source)
    status = await imported(source, tmp_path, monkeypatch, meanwhile=lambda: late.write_bytes(b"late"))
    assert not status.source_deleted
    assert status.deletion_note == (
        "the source stays: 1 file came or grew after it had settled: TimePoint_1/late.TIF, so that it may not have "
        f"ended; once nothing more comes, hcs-mesh import --force --delete-source '{source}' imports and deletes all "
        "of it"
    )
    assert files_of(source) == sorted([*before, late])


@pytest.mark.anyio
async def test_a_source_that_a_person_calls_ended_is_deleted_whatever_came(
    source: Path, late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = await imported(source, tmp_path, monkeypatch, meanwhile=lambda: late.write_bytes(b"late"), ended=True)
    assert (status.source_deleted, status.deletion_note) == (True, "")
    # What came is in no repository, and nobody's to delete.
    assert files_of(source) == [late]


@pytest.mark.anyio
async def test_a_source_of_which_nobody_can_tell_whether_more_came_stays(
    source: Path, late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(source)

    def of_a_time_to_come() -> None:
        late.write_bytes(b"late")
        os.utime(late, (10_413_792_000, 10_413_792_000))

    status = await imported(source, tmp_path, monkeypatch, meanwhile=of_a_time_to_come)
    assert not status.source_deleted
    assert status.deletion_note.startswith("the source stays: ")
    assert "late.TIF" in status.deletion_note
    assert files_of(source) == sorted([*before, late])


@pytest.mark.anyio
async def test_a_source_that_was_taken_away_meanwhile_is_no_source_that_grew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = await imported(source, tmp_path, monkeypatch, meanwhile=lambda: source.rename(tmp_path / "taken"))
    assert "came or grew" not in status.deletion_note
    assert files_of(tmp_path / "taken")


def test_the_command_that_is_told_names_the_workstation() -> None:
    order = ImportOrder(path="in/one plate", agent="scope 3", delete_source=True)
    (note,) = late_notes(1, ("a",), order)
    for told, more in ((note, []), (stays_for_late(1, ("a",), order), ["--delete-source"])):
        words = shlex.split(told[told.index("hcs-mesh import") : told.index(" imports ")])
        assert words == ["hcs-mesh", "import", "--force", *more, "--agent", "scope 3", "in/one plate"]
