"""A copy that rots before it is proven is made anew from what is held, whether its source is there still or not."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, RetryImport, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import StoredFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import show

pytestmark = pytest.mark.anyio

MAX_ATTEMPTS = 3
SETTINGS = ImportSettings(settle_s=0.01, first_retry_s=0.01, longest_retry_s=0.1, max_attempts=MAX_ATTEMPTS)


class RottingRepository(LocalRepository):
    """A repository whose disk loses a byte of a file just before it is read again, so often as it is told to."""

    n_rots = 0
    once_copied: Callable[[], None]

    def verify(self, import_id: str, files: tuple[StoredFile, ...], **rest: Any) -> None:
        self.once_copied()
        if self.n_rots:
            self.n_rots -= 1
            rotten = self.files_folder(import_id) / max(file.path for file in files)
            content = bytearray(rotten.read_bytes())
            content[-5] ^= 0xFF
            rotten.write_bytes(content)
        super().verify(import_id, files, **rest)


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder, self.node = folder, Node("hub")
        self.repository = RottingRepository(folder / "data")
        self.source = folder / "plate"
        write_plate(self.source, Recipe(n_rows=1, n_columns=1, n_fields=2, size_px=64))
        self.wanted = {str(path.relative_to(self.source)): path.read_bytes() for path in self._files(self.source)}
        self.repository.once_copied = self.delete_source

    def delete_source(self) -> None:
        """What people may do once it is held."""
        shutil.rmtree(self.source, ignore_errors=True)

    async def imported(self) -> ImportStatus:
        await self.node.start_actor("inspector", Inspector)
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.folder / "journal", SETTINGS)
        )
        await self.node.find("imports").ask(SubmitImport(order=ImportOrder(path=str(self.source)), key="k"))
        return await self.ended()

    async def ended(self) -> ImportStatus:
        imports = self.node.find("imports")
        status: ImportStatus = await imports.ask(GetImport(import_id="import-0001"))
        while status.state in ("running", "waiting"):
            status = await imports.ask(AwaitImport(import_id="import-0001", revision=status.revision))
        return status

    def stored(self) -> dict[str, bytes]:
        folder = self.repository.files_folder("import-0001")
        return {str(path.relative_to(folder)): path.read_bytes() for path in self._files(folder)}

    def held(self) -> list[Path]:
        return [path for path in self.folder.rglob(".hcs-mesh-held/*/import-0001/**/*") if path.is_file()]

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(tmp_path)
    yield found
    await found.life.stop()
    await found.life.wait()
    await found.node.close()
    found.repository.close()


async def test_a_byte_that_rots_is_copied_from_what_is_held_of_a_source_that_is_gone(place: Place) -> None:
    place.repository.n_rots = 1
    status = await place.imported()
    assert (status.state, status.reason) == ("done", "")
    assert place.stored() == place.wanted
    assert any(entry.phase == "transferring" and "not what was read" in entry.note for entry in status.history)
    copied = [len(one["record"]["files"]) for one in show(place.folder / "journal") if one["tag"] == "import.stored"]
    assert copied == [len(place.wanted), 1], "what is whole is not copied again"
    assert not place.held()


async def test_a_disk_that_loses_every_copy_is_given_up_with_what_is_held_kept(place: Place) -> None:
    place.repository.n_rots = MAX_ATTEMPTS
    failed = await place.imported()
    assert failed.state == "failed"
    assert f"given up after {MAX_ATTEMPTS} attempts" in failed.reason
    assert len(place.held()) == len(place.wanted)
    await place.node.find("imports").ask(RetryImport(import_id="import-0001"))
    assert (await place.ended()).state == "done"
    assert place.stored() == place.wanted


async def test_a_byte_that_rots_does_no_harm_to_a_source_that_is_there(place: Place) -> None:
    place.repository.n_rots, place.repository.once_copied = 1, lambda: None
    status = await place.imported()
    assert (status.state, place.stored()) == ("done", place.wanted)
    assert not any(entry.note and entry.phase == "accepted" for entry in status.history), "it settles no second time"
