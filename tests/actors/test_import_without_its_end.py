"""A source whose microscope did not write that it had ended, or that lacks what it declares, is not deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

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

pytestmark = pytest.mark.anyio

NOT_ENDED = 'the microscope had not written that it ended: Tiny.HTD has no line "EndFile" yet'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "scope" / "plate"
    write_plate(folder, Recipe(name="Tiny", n_rows=1, n_columns=2, n_fields=1, size_px=64))
    return folder


def images_of(source: Path) -> list[Path]:
    return sorted(source.rglob("*.TIF"))


def without_its_end(source: Path) -> None:
    htd = source / "Tiny.HTD"
    htd.write_text(htd.read_text(encoding="latin-1").replace('"EndFile"\n', ""), encoding="latin-1")


async def imported(source: Path, folder: Path, *, ended: bool) -> tuple[ImportStatus, tuple[str, ...]]:
    """How an import ends that nobody is patient with, and whose source is to be deleted; and its plate's notes."""
    settings = ImportSettings(
        settle_s=0.01,
        pending_patience_s=0.0,
        longest_patience_s=0.0,
        certify_same_disk=True,
        roots=(RootSettings(path=str(folder / "scope"), delete_source=True),),
    )
    data = folder / "data"
    node, repository = Node("hub"), LocalRepository(data)
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
    import_id = await imports.ask(SubmitImport(order=order, key="k"))
    status = await imports.ask(GetImport(import_id=import_id))
    while status.state in ("running", "waiting"):
        status = await imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
    assert status.state == "done", status.reason
    notes = repository.plate(status.plate_ids[0]).notes
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()
    repository.close()
    return status, notes


async def test_without_its_end_a_plate_says_so_and_is_neither_certified_nor_deleted(
    source: Path, tmp_path: Path
) -> None:
    without_its_end(source)
    status, notes = await imported(source, tmp_path, ended=False)
    assert NOT_ENDED in status.notes
    assert NOT_ENDED in notes
    assert status.certificate_note.startswith(f"not certified: {NOT_ENDED}; hcs-mesh import --force {source}")
    assert (status.certificate, status.source_deleted) == ("", False)
    assert images_of(source)


async def test_whom_a_person_calls_ended_is_certified_and_deleted_and_its_plate_says_so_all_the_same(
    source: Path, tmp_path: Path
) -> None:
    without_its_end(source)
    status, notes = await imported(source, tmp_path, ended=True)
    assert NOT_ENDED in status.notes
    assert NOT_ENDED in notes
    assert (bool(status.certificate), status.source_deleted) == (True, True)
    assert not images_of(source)


async def test_a_plate_that_declares_more_than_is_there_is_certified_and_its_source_stays(
    source: Path, tmp_path: Path
) -> None:
    images_of(source)[0].unlink()
    status, _ = await imported(source, tmp_path, ended=False)
    assert (bool(status.certificate), status.source_deleted) == (True, False)
    assert status.deletion_note.startswith("the source stays: Tiny.HTD declares ")
    assert images_of(source)


async def test_what_is_whole_and_has_ended_is_certified_and_deleted(source: Path, tmp_path: Path) -> None:
    status, notes = await imported(source, tmp_path, ended=False)
    assert (notes, bool(status.certificate), status.source_deleted) == ((), True, True)
