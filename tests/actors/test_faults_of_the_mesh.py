"""A fault of the mesh itself, such as nobody had thought of: the one import that met it tries again, and then fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Cancelled, Entered, Record
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import (
    AwaitImport,
    CancelImport,
    ForgetImport,
    GetImport,
    ImportOrder,
    ImportStatus,
    ListImports,
    RetryImport,
    SubmitImport,
)
from hcs_mesh.messages.notices import SendNotice
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import AskFailed, Ref

pytestmark = pytest.mark.anyio

SETTINGS = ImportSettings(settle_s=0.01, first_retry_s=0.01, longest_retry_s=0.1, held_look_s=0.02)


class FaultyRepository(LocalRepository):
    """A repository with a fault that it has at some imports, in some of its calls."""

    faults: dict[tuple[str, str], Exception]
    passing: dict[str, int]
    """How many times more a call meets its fault; one that is not named always does."""

    def _meet(self, call: str, import_id: str) -> None:
        if (call, import_id) in self.faults:
            n_left = self.passing.get(call, 1)
            self.passing.update({call: n_left - 1} if call in self.passing else {})
            if n_left > 0:
                raise self.faults[call, import_id]

    def reconcile(self, import_id: str) -> Any:
        self._meet("reconcile", import_id)
        return super().reconcile(import_id)

    def transfer(self, import_id: str, *given: Any, **named: Any) -> Any:
        self._meet("transfer", import_id)
        return super().transfer(import_id, *given, **named)

    def verify(self, import_id: str, *given: Any, **named: Any) -> None:
        self._meet("verify", import_id)
        super().verify(import_id, *given, **named)

    def register(self, import_id: str, *given: Any, **named: Any) -> Any:
        self._meet("register", import_id)
        return super().register(import_id, *given, **named)

    def off_plates(self, import_id: str) -> str:
        self._meet("off_plates", import_id)
        return super().off_plates(import_id)

    def discard(self, import_id: str) -> None:
        self._meet("discard", import_id)
        super().discard(import_id)


class Told(Actor[SendNotice]):
    """Takes what people are to be told."""

    def __init__(self) -> None:
        self.notices: list[SendNotice] = []

    async def receive(self, message: SendNotice) -> None:
        self.notices.append(message)


class Place:
    """A node whose import proxy nobody starts again when it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, Told()
        self.repository = FaultyRepository(folder / "data")
        self.repository.faults, self.repository.passing = {}, {}
        self.node = Node("hub")
        self.imports: Ref = self.node.find("imports")

    async def start(self) -> None:
        await self.node.start_actor("inspector", Inspector)
        await self.node.start_actor("notifier", lambda: self.told)
        await self.start_imports()

    async def start_imports(self) -> None:
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.folder / "journal", SETTINGS)
        )

    async def next_life(self) -> None:
        await self.stop()
        await self.start_imports()

    async def stop(self) -> None:
        await self.life.stop()
        await self.life.wait()

    def source(self, name: str) -> Path:
        write_plate(self.folder / name, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        return self.folder / name

    async def ended(self, import_id: str) -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state in ("running", "waiting"):
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status

    async def imported(self, name: str) -> ImportStatus:
        order = ImportOrder(path=str(self.source(name)))
        return await self.ended(await self.imports.ask(SubmitImport(order=order, key=name)))

    async def written(self, *records: Record) -> None:
        """Leave a journal as a life before would have."""
        async with await Journal.open(self.folder / "journal", record_type=Record) as journal:
            await journal.append_all(records)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(tmp_path)
    yield found
    await found.stop()
    await found.node.close()
    found.repository.close()


@pytest.mark.parametrize("call", ["reconcile", "transfer", "verify", "register", "off_plates"])
async def test_a_fault_in_one_imports_phase_fails_that_import_alone_and_people_are_told(
    place: Place, call: str
) -> None:
    place.repository.faults[call, "import-0001"] = RecursionError("too deep \udcff\n" + "x" * 1_000)
    await place.start()
    failed = await place.imported("first")
    assert failed.state == "failed"
    assert failed.reason.startswith("a fault of the mesh itself, not of the source: RecursionError: too deep \\xff\\n")
    assert failed.reason.endswith(f"(given up after {SETTINGS.max_attempts} attempts)")
    assert len(failed.reason) < 700
    assert failed.hint.startswith("The log has its traceback")
    assert (await place.imported("second")).state == "done"
    await eventually(lambda: len(place.told.notices) == 2, what="the news of both")
    notice = next(one for one in place.told.notices if one.facts.import_id == "import-0001")
    assert (notice.kind, notice.facts.reason) == ("import.failed", failed.reason)
    await place.next_life()
    assert (await place.ended("import-0001")).state == "failed", "no life of the proxy ends over it"
    place.repository.faults.clear()
    await place.imports.ask(RetryImport(import_id="import-0001"))
    assert (await place.ended("import-0001")).state == "done"


@pytest.mark.parametrize("call", ["reconcile", "transfer", "verify", "register", "off_plates"])
async def test_a_fault_that_passes_fails_no_import_and_nobody_hears_of_a_failure(place: Place, call: str) -> None:
    place.repository.faults[call, "import-0001"] = MemoryError("short for a moment")
    place.repository.passing[call] = 2
    await place.start()
    done = await place.imported("first")
    assert (done.state, done.reason) == ("done", "")
    tries = [entry.note for entry in done.history if "MemoryError: short for a moment" in entry.note]
    assert [note.rpartition("; trying again in ")[2] for note in tries] == ["0.0 s", "0.0 s"]
    await eventually(lambda: bool(place.told.notices), what="the news of its end")
    assert [one.kind for one in place.told.notices] == ["import.done"]


async def test_what_failed_over_a_fault_is_cancelled_and_forgotten_as_any_import(place: Place) -> None:
    place.repository.faults["verify", "import-0001"] = OverflowError("int too large")
    await place.start()
    assert (await place.imported("first")).state == "failed"
    stored = place.repository.files_folder("import-0001").parent
    assert stored.exists()
    assert (await place.imports.ask(CancelImport(import_id="import-0001"))).state == "cancelled"
    await eventually(lambda: not stored.exists(), what="that what it stored is removed")
    await place.imports.ask(ForgetImport(import_id="import-0001"))
    assert await place.imports.ask(ListImports()) == ()


async def test_a_record_that_an_earlier_version_took_ends_no_life_of_the_proxy(place: Place) -> None:
    order = ImportOrder(path=str(place.source("plate")), only=("a\0b",))
    await place.written(
        Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=order, administrator=True),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="settling"),
    )
    await place.start()
    failed = await place.ended("import-0001")
    assert failed.state == "failed"
    assert "null byte" in failed.reason
    assert (await place.imported("another")).state == "done"
    await place.imports.ask(ForgetImport(import_id="import-0001"))


async def test_a_cancelled_import_that_cannot_be_cleared_up_ends_no_life_of_the_proxy(place: Place) -> None:
    place.repository.faults["discard", "import-0001"] = RecursionError("too deep")
    order = ImportOrder(path=str(place.source("plate")))
    await place.written(
        Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=order, administrator=True),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="settling"),
        Cancelled(import_id="import-0001", at_unix_s=3.0),
    )
    await place.start()
    assert (await place.imported("another")).state == "done"
    with pytest.raises(AskFailed, match="too deep"):
        await place.imports.ask(ForgetImport(import_id="import-0001"))
    place.repository.faults.clear()
    await place.imports.ask(ForgetImport(import_id="import-0001"))


async def test_an_import_whose_cancellation_meets_a_fault_goes_on(place: Place) -> None:
    place.repository.faults["verify", "import-0001"] = OverflowError("int too large")
    await place.start()
    assert (await place.imported("first")).state == "failed"
    place.repository.faults["reconcile", "import-0001"] = RecursionError("too deep")
    with pytest.raises(AskFailed, match="too deep"):
        await place.imports.ask(CancelImport(import_id="import-0001"))
    place.repository.faults.clear()
    await place.imports.ask(RetryImport(import_id="import-0001"))
    assert (await place.ended("import-0001")).state == "done"
