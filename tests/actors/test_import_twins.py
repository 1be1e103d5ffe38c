"""The same folder handed over twice at once: one import brings it home, whatever becomes of the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from hcs_mesh.actors.imports.driver import ImportDriver
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.readiness import manifest_digest
from hcs_mesh.actors.imports.records import Accepted, Entered, Failed, Record, Settled, Stumbled
from hcs_mesh.actors.imports.scanning import manifest
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, RetryImport, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import AskFailed

pytestmark = pytest.mark.anyio

SETTINGS = ImportSettings(settle_s=0.01, first_retry_s=0.01, longest_retry_s=0.1)


class Twins:
    """An import proxy, and one folder."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.repository = LocalRepository(folder / "data")
        self.node = Node("hub")
        self.imports = self.node.find("imports")
        self.source = folder / "source"
        write_plate(self.source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
        self.order = ImportOrder(path=str(self.source))

    async def start(self) -> None:
        await self.node.start_actor("inspector", Inspector)
        self.life = await self.node.start_actor("imports", lambda: ImportProxy(self.repository, self.journal, SETTINGS))

    async def until_over(self, import_id: str) -> ImportStatus:
        status = await self.imports.ask(GetImport(import_id=import_id))
        while status.state in ("running", "waiting"):
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status


@pytest.fixture
async def twins(tmp_path: Path) -> AsyncIterator[Twins]:
    found = Twins(tmp_path)
    yield found
    await found.life.stop()
    await found.life.wait()
    await found.node.close()
    found.repository.close()


async def test_of_two_orders_for_one_folder_that_come_to_rest_together_one_goes_on(twins: Twins) -> None:
    await twins.start()
    ids = [await twins.imports.ask(SubmitImport(order=twins.order, key=key)) for key in ("a", "b", "c")]
    states = sorted([(await twins.until_over(one)).state for one in ids])
    assert states == ["done", "failed", "failed"]
    assert len(twins.repository.plates()) == 1


async def test_a_failed_import_whose_files_came_in_otherwise_is_not_taken_up_again(twins: Twins) -> None:
    found = await asyncio.to_thread(plan, twins.source)
    files = await asyncio.to_thread(manifest, found)
    await _written(
        twins.journal,
        Accepted(import_id="import-0001", at_unix_s=1.0, key="a", order=twins.order, administrator=True),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="settling"),
        Settled(import_id="import-0001", at_unix_s=3.0, plan=found, files=files, digest=manifest_digest(files)),
        Failed(import_id="import-0001", at_unix_s=4.0, reason="no room"),
    )
    await twins.start()
    other = await twins.imports.ask(SubmitImport(order=twins.order, key="b"))
    assert (await twins.until_over(other)).state == "done"
    with pytest.raises(AskFailed, match=f"holds the files of {other}"):
        await twins.imports.ask(RetryImport(import_id="import-0001"))
    assert len(twins.repository.plates()) == 1


async def test_what_fails_while_it_is_taken_up_again_is_not_where_its_files_came_in_otherwise(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await asyncio.to_thread(plan, twins.source)
    files = await asyncio.to_thread(manifest, found)
    await _written(
        twins.journal,
        Accepted(import_id="import-0001", at_unix_s=1.0, key="a", order=twins.order, administrator=True),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="settling"),
        Settled(import_id="import-0001", at_unix_s=3.0, plan=found, files=files, digest=manifest_digest(files)),
        Stumbled(import_id="import-0001", at_unix_s=4.0, reason="no answer", wait_s=3600.0),
    )
    drive, leave, others = ImportDriver.drive, ImportDriver.leave, list[str]()

    def waits_at_first(self: ImportDriver, life: ImportLife) -> None:
        if life.state != "waiting":
            drive(self, life)

    async def fails_and_is_overtaken(self: ImportDriver, life: ImportLife) -> None:
        await leave(self, life)
        await self._means.ledger.write(Failed(import_id=life.import_id, at_unix_s=5.0, reason="no room"))
        others.append(await twins.imports.ask(SubmitImport(order=twins.order, key="b")))
        assert (await twins.until_over(others[0])).state == "done"

    monkeypatch.setattr(ImportDriver, "drive", waits_at_first)
    monkeypatch.setattr(ImportDriver, "leave", fails_and_is_overtaken)
    await twins.start()
    assert (await twins.imports.ask(GetImport(import_id="import-0001"))).state == "waiting"
    with pytest.raises(AskFailed, match="holds the files of import-0002"):
        await twins.imports.ask(RetryImport(import_id="import-0001"))
    assert others == ["import-0002"]
    assert len(twins.repository.plates()) == 1


async def test_what_failed_once_its_plates_may_have_been_there_is_not_imported_again_beside_it(twins: Twins) -> None:
    found = await asyncio.to_thread(plan, twins.source)
    files = await asyncio.to_thread(manifest, found)
    await _written(
        twins.journal,
        Accepted(import_id="import-0001", at_unix_s=1.0, key="a", order=twins.order, administrator=True),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="settling"),
        Settled(import_id="import-0001", at_unix_s=3.0, plan=found, files=files, digest=manifest_digest(files)),
        Entered(import_id="import-0001", at_unix_s=4.0, phase="annotating"),
        Failed(import_id="import-0001", at_unix_s=5.0, reason="the key that signs can be read by others"),
    )
    await twins.start()
    other = await twins.until_over(await twins.imports.ask(SubmitImport(order=twins.order, key="b")))
    assert (other.state, "holds the files of import-0001" in other.reason) == ("failed", True)
    assert "imports retry import-0001" in other.hint
    forced = replace(twins.order, forced=True)
    assert (await twins.until_over(await twins.imports.ask(SubmitImport(order=forced, key="c")))).state == "done"


async def _written(folder: Path, *records: Record) -> None:
    async with await Journal.open(folder, record_type=Record) as journal:
        await journal.append_all(records)
