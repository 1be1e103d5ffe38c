"""What people decide about an import while its disk hangs: nobody else waits for it, and it is driven once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
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
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import RepositoryFailed
from hcs_mesh.plates.repository import ImportStanding, StoredFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed

pytestmark = pytest.mark.anyio

AT_WORK = "does not answer, at which import import-0001 is still at work"


class HungRepository(LocalRepository):
    """A repository that copies from a disk which hangs."""

    answers: threading.Event
    n_waiting = 0
    refuses = False
    """Whether it cannot say what has become of an import."""

    def reconcile(self, import_id: str) -> ImportStanding:
        if self.refuses:
            raise RepositoryFailed("the catalogue cannot be read")
        return super().reconcile(import_id)

    def transfer(self, *given: Any, **named: Any) -> tuple[StoredFile, ...]:
        self.n_waiting += 1
        assert self.answers.wait(120.0)
        return super().transfer(*given, **named)


class Lab:
    """A node that imports from a disk which hangs once it is read."""

    def __init__(self, folder: Path, silent_s: float) -> None:
        self.folder = folder
        self.settings = ImportSettings(settle_s=0.01, first_retry_s=0.01, copying_at_once=4, silent_s=silent_s)
        self.repository = HungRepository(folder / "data")
        self.repository.answers = threading.Event()
        self.node = Node("hub")
        self.imports = self.node.find("imports")

    async def start(self) -> None:
        await self.node.start_actor("inspector", Inspector)
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.folder / "journal", self.settings)
        )

    async def submitted(self, name: str) -> str:
        source = self.folder / name
        write_plate(source, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        import_id: str = await self.imports.ask(SubmitImport(order=ImportOrder(path=str(source)), key=name))
        return import_id

    async def hung(self, name: str) -> str:
        """An import whose disk does not answer while it is read."""
        import_id = await self.submitted(name)
        await eventually(lambda: self.repository.n_waiting == 1, within_s=30.0, what="the thread that hangs")
        return import_id

    async def until(self, import_id: str, *, state: str = "", phase: str = "") -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state != state and status.phase != phase:
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status

    async def cancel_refused(self, import_id: str) -> None:
        """A cancellation that cannot be carried out: the import is to go on."""
        self.repository.refuses = True
        with pytest.raises(AskFailed, match="catalogue cannot be read"):
            await self.imports.ask(CancelImport(import_id=import_id))
        self.repository.refuses = False


@asynccontextmanager
async def opened(folder: Path, *, silent_s: float = 0.2) -> AsyncIterator[Lab]:
    lab = Lab(folder, silent_s)
    await lab.start()
    try:
        yield lab
    finally:
        lab.repository.answers.set()
        await lab.life.stop()
        await lab.life.wait()
        await lab.node.close()
        lab.repository.close()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path) as found:
        yield found


def n_copied(status: ImportStatus) -> int:
    """How often an import was read."""
    return sum(entry.phase == "transferring" and entry.state == "running" for entry in status.history)


async def test_a_retry_while_the_disk_hangs_is_refused_and_keeps_no_other_import_from_settling(lab: Lab) -> None:
    import_id = await lab.hung("hung")
    assert (await lab.imports.ask(CancelImport(import_id=import_id))).state == "cancelled"
    async with asyncio.timeout(60):
        with pytest.raises(AskFailed, match=AT_WORK):
            await lab.imports.ask(RetryImport(import_id=import_id))
    other = await lab.submitted("other")
    async with asyncio.timeout(60):
        await lab.until(other, phase="transferring")
    lab.repository.answers.set()
    assert (await lab.until(other, state="done")).state == "done"
    assert (await lab.until(import_id, state="cancelled")).state == "cancelled"


async def test_an_import_is_driven_once_when_its_disk_answers_however_often_it_could_not_be_cancelled(lab: Lab) -> None:
    import_id = await lab.hung("hung")
    for _ in range(3):
        await lab.cancel_refused(import_id)
    lab.repository.answers.set()
    status = await lab.until(import_id, state="done")
    assert n_copied(status) == 2, "what hung, and what followed"


async def test_a_retry_that_is_refused_leaves_an_import_to_go_on_once_by_itself(lab: Lab) -> None:
    import_id = await lab.hung("hung")
    await lab.cancel_refused(import_id)
    await lab.until(import_id, state="waiting")
    with pytest.raises(AskFailed, match=AT_WORK):
        await lab.imports.ask(RetryImport(import_id=import_id))
    lab.repository.answers.set()
    status = await lab.until(import_id, state="done")
    assert n_copied(status) == 2, "what hung, and what followed"


async def test_a_retry_that_gets_in_before_the_clearing_clears_up_first(tmp_path: Path) -> None:
    async with opened(tmp_path, silent_s=60.0) as lab:
        import_id = await lab.hung("hung")
        stored = lab.repository.files_folder(import_id)
        stored.mkdir(parents=True, exist_ok=True)
        (stored / "of before.tif").write_bytes(b"what was stored of it")
        cancelling = lab.imports.ask(CancelImport(import_id=import_id))
        retrying = lab.imports.ask(RetryImport(import_id=import_id))
        await eventually(lambda: lab.node.cells["imports"].statistics()["imports_driving"] == 0, what="the driver")
        lab.repository.answers.set()
        await asyncio.gather(cancelling, retrying)
        assert (await lab.until(import_id, state="done")).state == "done"
        names = {path.name for path in stored.iterdir()}
        assert names
        assert "of before.tif" not in names


async def test_a_cancelled_import_of_which_something_stays_is_not_taken_up_again(lab: Lab) -> None:
    import_id = await lab.hung("hung")
    lab.repository.answers.set()
    assert (await lab.imports.ask(CancelImport(import_id=import_id))).state == "cancelled"
    lab.repository.refuses = True
    with pytest.raises(AskFailed, match="catalogue cannot be read"):
        await lab.imports.ask(RetryImport(import_id=import_id))
    lab.repository.refuses = False
    assert (await lab.until(import_id, state="cancelled")).state == "cancelled"
    await lab.imports.ask(RetryImport(import_id=import_id))
    assert (await lab.until(import_id, state="done")).state == "done"
