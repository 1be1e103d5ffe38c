"""Files that come after a source had settled: named in the import's notes, and no failure."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.notes import late_files
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, CameLate
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node


def test_what_is_neither_taken_nor_left_out_came_late(tmp_path: Path) -> None:
    write_plate(tmp_path, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    (tmp_path / "notes.txt").write_text("left out")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x.tif").write_text("left out with its folder")
    found = plan(tmp_path, exclude=("old",))
    now = {path.relative_to(tmp_path).as_posix(): path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    assert late_files(found, now.items()) == ()
    grown = next(file.path for fileset in found.filesets for file in fileset.files)
    assert late_files(found, {**now, "new.tif": 1, grown: now[grown] + 1}.items()) == tuple(sorted(("new.tif", grown)))


def test_an_import_says_what_came_late_and_how_it_gets_in() -> None:
    life = ImportLife(Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=ImportOrder(path="/in/p")))
    life.apply(CameLate(import_id="import-0001", at_unix_s=1.0, n_files=4, files=("a", "b", "c", "d")))
    (note,) = life.status().notes
    said = "4 files came or grew after it had settled: a, b, c, ...; hcs-mesh import --force /in/p imports it again"
    assert note == said


async def imported(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, late: Callable[[], object]
) -> ImportStatus:
    """What an import of a path says at its end, of which something comes late while it is verified."""
    repository, node = LocalRepository(folder / "data"), Node("hub")
    verify = repository.verify

    def verify_late(*words: Any, **options: Any) -> None:
        late()
        verify(*words, **options)

    monkeypatch.setattr(repository, "verify", verify_late)
    settings = ImportSettings(settle_s=0.01, pending_patience_s=0.0)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor("imports", lambda: ImportProxy(repository, folder / "journal", settings)),
    ]
    imports = node.find("imports")
    import_id = await imports.ask(SubmitImport(order=ImportOrder(path=str(path)), key="k"))

    async def done() -> ImportStatus | None:
        status = await imports.ask(GetImport(import_id=import_id))
        return status if status.state == "done" else None

    status: ImportStatus = await eventually(done, what="the end of the import")
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await node.close()
    repository.close()
    return status


@pytest.mark.anyio
async def test_what_comes_while_it_is_verified_is_named_and_the_import_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    write_plate(source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    late = source / "TimePoint_1" / "late.TIF"
    status = await imported(source, tmp_path, monkeypatch, late=lambda: late.write_bytes(b"late"))
    assert any("1 file came or grew after it had settled: TimePoint_1/late.TIF" in note for note in status.notes)


@pytest.mark.anyio
async def test_of_a_set_of_which_one_file_was_named_those_come_late_that_its_metadata_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for file in (shared_data / "ome-tiff-companion").glob("multifile*"):
        shutil.copyfile(file, source / file.name)
    elsewhere = (source / "multifile-Z5.ome.tiff").rename(tmp_path / "multifile-Z5.ome.tiff")

    def late() -> None:
        (source / "of_somebody_else.tif").write_bytes(b"late")
        shutil.copyfile(elsewhere, source / elsewhere.name)

    status = await imported(source / "multifile.companion.ome", tmp_path, monkeypatch, late=late)
    assert status.n_files == 5
    assert any("1 file came or grew after it had settled: multifile-Z5.ome.tiff" in note for note in status.notes)
