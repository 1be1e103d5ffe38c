"""Metadata that came without its images: waited for, refused with what is missing, and taken up once it is there."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from waiting import eventually

from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportStatus, RetryImport, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def importing(folder: Path, *, pending_patience_s: float = 1e6) -> AsyncIterator[Node]:
    node, repository = Node("hub"), LocalRepository(folder / "data")
    # Longer ago than the test data can have been fetched.
    settings = ImportSettings(settle_s=0.01, pending_patience_s=pending_patience_s, longest_patience_s=1e6)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor("imports", lambda: ImportProxy(repository, folder / "journal", settings)),
    ]
    try:
        yield node
    finally:
        for life in reversed(lives):
            await life.stop()
            await life.wait()
        await node.close()
        repository.close()


async def until(node: Node, import_id: str, *, state: str, says: str = "") -> ImportStatus:
    async def reached() -> ImportStatus | None:
        status: ImportStatus = await node.find("imports").ask(GetImport(import_id=import_id))
        return status if status.state == state and says in status.reason else None

    found: ImportStatus = await eventually(reached, what=f"{import_id} that is {state}")
    return found


async def test_metadata_alone_are_waited_for_and_ended_does_not_help(tmp_path: Path, shared_data: Path) -> None:
    source = tmp_path / "plate"
    shutil.copytree(shared_data / "phenix-index-metadata-only" / "Version5", source)
    async with importing(tmp_path) as node:
        imports = node.find("imports")
        import_id = await imports.ask(SubmitImport(order=ImportOrder(path=str(source)), key="1"))
        waits = await until(node, import_id, state="waiting", says="the acquisition has not ended")
        assert "declares 6 images and none of their files is there, for example images/" in waits.reason
        assert "--ended" not in waits.reason, "it would fail at once"

        import_id = await imports.ask(SubmitImport(order=ImportOrder(path=str(source), ended=True), key="2"))
        failed = await until(node, import_id, state="failed")
        assert "none of their files is there, for example images/" in failed.reason
        assert failed.hint.startswith("Copy the images to where the metadata name them")

        example = failed.reason.partition("for example ")[2]
        tifffile.imwrite(source / example, np.zeros((6, 8), np.uint16))
        await imports.ask(RetryImport(import_id=import_id))
        done = await until(node, import_id, state="done")
        assert len(done.plate_ids) == 1
        assert any("5 images that the metadata declares are missing" in note for note in done.notes)


def cut(htd: Path, *, at: str) -> None:
    """Leave an .HTD as it is while it is written."""
    htd.write_bytes(htd.read_bytes().partition(at.encode())[0])


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("no image", "declares 2 images and none of their files is there, for example"),
        ("no image, and the .HTD to its last line", 'has no line "EndFile" yet'),
        ("half of the .HTD", 'ends before its line "EndFile"'),
        ("nothing of the .HTD", 'ends before its line "EndFile"'),
    ],
)
async def test_a_metaxpress_folder_without_images_is_waited_for_as_an_acquisition_that_has_only_begun(
    tmp_path: Path, written: str, says: str
) -> None:
    whole, source = tmp_path / "whole", tmp_path / "plate"
    write_plate(whole, Recipe(name="plate", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    for htd in whole.rglob("*.HTD"):
        target = source / htd.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(htd, target)
        if "its last line" in written:
            cut(target, at='"EndFile"')
        elif "half" in written:
            cut(target, at='"XWells"')
        elif "nothing" in written:
            target.write_bytes(b"")
    async with importing(tmp_path, pending_patience_s=0.0) as node:
        order = ImportOrder(path=str(source))
        import_id = await node.find("imports").ask(SubmitImport(order=order, key="1"))
        waits = await until(node, import_id, state="waiting", says="the acquisition has not ended")
        assert says in waits.reason
        assert "--ended" not in waits.reason, "it would fail at once"
        shutil.copytree(whole, source, dirs_exist_ok=True)
        assert len((await until(node, import_id, state="done")).plate_ids) == 1
