"""A release that was left at a disk which hangs takes nothing away of what is held since for the same import."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports import local_source
from hcs_mesh.actors.imports.looks import SourceLooks
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.sweeps import Sweeps
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import (
    AwaitImport,
    CancelImport,
    GetImport,
    ImportOrder,
    ImportStatus,
    RetryImport,
    SubmitImport,
)
from hcs_mesh.plates.holding import Hold, release
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceReader
from hcs_mesh.plates.source_names import HELD_FOLDER
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

IMPORT = "import-0001"
WAITS = "what was held for it before is still being let go of"


def test_who_was_asked_to_take_links_away_before_a_hold_and_begins_after_it_spares_them() -> None:
    sweeps = Sweeps()
    before = sweeps.from_now_on()
    assert not sweeps.spare(IMPORT), "nobody takes them away"
    with before(IMPORT) as is_spared:
        assert is_spared
    with before("import-0002") as is_spared:
        assert not is_spared
    with sweeps.from_now_on()(IMPORT) as is_spared:
        assert not is_spared, "it was asked after the hold"


def test_a_hold_waits_for_who_takes_links_away_already() -> None:
    sweeps = Sweeps()
    waiting = threading.Thread(target=sweeps.wait, args=(IMPORT,))
    with sweeps.from_now_on()(IMPORT) as is_spared:
        assert not is_spared
        assert sweeps.spare(IMPORT)
        assert not sweeps.spare("import-0002")
        waiting.start()
        assert waiting.is_alive()
    waiting.join(60.0)
    assert not waiting.is_alive()
    assert not sweeps.spare(IMPORT)


class Disk:
    """A server that does not answer from its first release on, until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.releases = threading.Event()
        self.reads = threading.Event()
        self.n_releasing = self.n_reading = 0

    def touch(self, path: str) -> None:
        assert self.answers.wait(120.0)

    def release(self, held: Hold, *, data: Path | None = None) -> None:
        self.n_releasing += 1
        assert self.releases.wait(120.0)
        release(held, data=data)

    def read(self) -> None:
        self.n_reading += 1
        assert self.reads.wait(120.0)


class PlacesOnDisk(ImportPlaces):
    """Places that lie on a server; a reader of the first life that is cancelled goes on at once."""

    def __init__(self, data: Path, settings: ImportSettings, disk: Disk) -> None:
        super().__init__(data, settings)
        self._disk = disk

    def looks(self, *, patient: bool = True) -> SourceLooks:
        return SourceLooks(self._settings.silent_s, patient=patient, touch=self._disk.touch)

    def paced(self, *given: Any, **named: Any) -> SourceReader:
        self._disk.read()
        return super().paced(*given, **named)


class Lab:
    """A mesh that imports from the server."""

    def __init__(self, folder: Path) -> None:
        self.plate, self.data = folder / "plate", folder / "data"
        write_plate(self.plate, Recipe(name="plate", n_rows=1, n_columns=1, n_fields=1, size_px=64))
        self.settings = ImportSettings(settle_s=0.01, first_retry_s=0.01, silent_s=0.2)
        self.disk = Disk()
        self.repository = LocalRepository(self.data)
        self.node = Node("hub")
        self.imports = self.node.find("imports")
        self.proxy = lambda: ImportProxy(
            self.repository,
            folder / "journal",
            self.settings,
            places=PlacesOnDisk(self.data, self.settings, self.disk),
        )

    async def until(self, *, state: str = "", phase: str = "", reason: str = "\0") -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=IMPORT))
        while status.state != state and status.phase != phase and reason not in status.reason:
            status = await self.imports.ask(AwaitImport(import_id=IMPORT, revision=status.revision))
        return status

    def links(self) -> set[str]:
        found = (self.data / HELD_FOLDER).glob(f"*/{IMPORT}/**/*")
        return {str(path) for path in found if path.is_file()}


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    found = Lab(tmp_path)
    monkeypatch.setattr(local_source, "release", found.disk.release)
    lives = [
        await found.node.start_actor("inspector", Inspector),
        await found.node.start_actor("imports", found.proxy),
    ]
    yield found
    for event in (found.disk.answers, found.disk.releases, found.disk.reads):
        event.set()
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await found.node.close()
    found.repository.close()


@pytest.mark.anyio
async def test_what_is_held_anew_is_not_taken_away_by_the_release_that_a_silent_disk_kept(lab: Lab) -> None:
    assert await lab.imports.ask(SubmitImport(order=ImportOrder(path=str(lab.plate)), key="k")) == IMPORT
    await eventually(lambda: lab.disk.n_reading == 1, within_s=60.0, what="the import to read")
    links = lab.links()
    assert links
    lab.disk.answers.clear()
    # What hung ends as it is cancelled, and its links are let go of at a disk that says nothing any more.
    lab.disk.reads.set()
    assert (await lab.imports.ask(CancelImport(import_id=IMPORT))).state == "cancelled"
    await eventually(lambda: lab.disk.n_releasing >= 1, within_s=60.0, what="the release")
    lab.disk.reads.clear()
    await lab.imports.ask(RetryImport(import_id=IMPORT))
    lab.disk.answers.set()
    status = await lab.until(phase="transferring", reason=WAITS)
    assert (status.phase, status.reason) == ("held", WAITS)
    assert lab.links() == links, "nothing of it is taken away yet"
    lab.disk.releases.set()
    await eventually(lambda: lab.disk.n_reading == 2, within_s=60.0, what="the import to read again")
    assert lab.links() == links, "they were made anew"
    lab.disk.reads.set()
    assert (await lab.until(state="done")).state == "done"
