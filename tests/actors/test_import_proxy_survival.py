"""The import proxy in the world: an inspector that is away, people who decide twice, and what a death leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh.actors.errors import ImportEnded
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Cancelled, Entered, Failed, Finished, Record, Retried
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.config import ImportSettings, InspectorSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, RetryImport, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import Journal, JournalPoisoned, show
from hcs_mesh.transport import AskFailed, AskTimedOut, Ref

pytestmark = pytest.mark.anyio

SETTINGS = ImportSettings(settle_s=0.01, first_retry_s=0.01, longest_retry_s=0.1)


class Place:
    """A node with a repository and a metadata cache; the import proxy and the inspector come when asked."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.repository = LocalRepository(folder / "data")
        self.node = Node("hub")
        self.imports: Ref = self.node.find("imports")
        self.source = folder / "source"
        write_plate(self.source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))

    async def start(self) -> None:
        await self.node.start_actor("metadata", lambda: MetadataCache(self.repository))

    async def start_imports(self) -> None:
        self.life = await self.node.start_actor(
            "imports",
            lambda: ImportProxy(
                self.repository, self.journal, SETTINGS, inspector=InspectorSettings(time_limit_s=20.0)
            ),
        )

    async def start_inspector(self) -> None:
        await self.node.start_actor("inspector", Inspector)

    async def written(self, *records: Record) -> None:
        """Leave a journal as a life before would have."""
        async with await Journal.open(self.journal, record_type=Record) as journal:
            await journal.append_all(records)

    async def until_over(self, import_id: str) -> ImportStatus:
        status = await self.imports.ask(GetImport(import_id=import_id))
        while status.state in ("running", "waiting"):
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(tmp_path)
    await found.start()
    yield found
    await found.life.stop()
    await found.life.wait()
    await found.node.close()
    found.repository.close()


async def test_an_import_waits_for_an_inspector_that_is_between_two_lives(place: Place) -> None:
    await place.start_imports()
    import_id = await place.imports.ask(SubmitImport(order=ImportOrder(path=str(place.source)), key="k"))
    status = await place.imports.ask(GetImport(import_id=import_id))
    while "inspector" not in status.reason:
        status = await place.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
    await place.start_inspector()
    assert (await place.until_over(import_id)).state == "done"


async def test_the_same_key_is_the_same_import_even_after_a_restart(place: Place) -> None:
    await place.written(
        Accepted(
            import_id="import-0004",
            at_unix_s=1.0,
            key="k",
            order=ImportOrder(path=str(place.source)),
            owner="mesh",
            by="mesh",
            administrator=True,
        )
    )
    await place.start_inspector()
    await place.start_imports()
    asked = [
        place.imports.ask(SubmitImport(order=ImportOrder(path=str(place.source)), key=key))
        for key in ("k", "new", "k", "new")
    ]
    assert await asyncio.gather(*asked) == ["import-0004", "import-0005", "import-0004", "import-0005"]


async def test_two_people_who_retry_at_once_start_one_import(place: Place) -> None:
    await place.written(
        Accepted(
            import_id="import-0001",
            at_unix_s=1.0,
            key="k",
            order=ImportOrder(path=str(place.source)),
            administrator=True,
        ),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="settling"),
        Failed(import_id="import-0001", at_unix_s=3.0, reason="no disk"),
    )
    await place.start_inspector()
    await place.start_imports()
    asked = [place.imports.ask(RetryImport(import_id="import-0001")) for _ in range(2)]
    first, second = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, ImportStatus)
    assert isinstance(second, ImportEnded) or "nothing to retry" in str(second)
    assert (await place.until_over("import-0001")).state == "done"
    tags = [one["tag"] for one in show(place.journal)]
    assert (tags.count(Retried.__struct_config__.tag), tags.count(Finished.__struct_config__.tag)) == (1, 1)


async def test_what_a_cancelled_import_left_behind_goes_at_the_next_start(place: Place) -> None:
    left = place.repository.files_folder("import-0001")
    left.mkdir(parents=True)
    (left / "a.tif.part").write_bytes(b"half")
    await place.written(
        Accepted(
            import_id="import-0001",
            at_unix_s=1.0,
            key="k",
            order=ImportOrder(path=str(place.source)),
            administrator=True,
        ),
        Entered(import_id="import-0001", at_unix_s=2.0, phase="transferring"),
        Cancelled(import_id="import-0001", at_unix_s=3.0),
    )
    await place.start_imports()
    await eventually(lambda: not left.exists(), what="the end of what was left")


async def test_who_has_no_time_left_to_wait_for_an_import_is_not_waited_for(place: Place) -> None:
    await place.start_inspector()
    await place.start_imports()
    import_id = await place.imports.ask(SubmitImport(order=ImportOrder(path=str(place.source)), key="k"))
    revision = (await place.until_over(import_id)).revision
    with pytest.raises(AskTimedOut):
        await place.imports.ask(AwaitImport(import_id=import_id, revision=revision, wait_s=86_400.0), timeout_s=0.1)
    await eventually(lambda: place.node.cells["imports"].statistics()["deferred"] == 0, what="the end of the wait")


async def test_a_journal_whose_disk_failed_is_opened_anew_by_the_next_life(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(journal: Journal[Record], record: Record) -> int:
        raise JournalPoisoned(str(journal.folder), "input/output error")

    await place.start_imports()
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "append", fail)
        with pytest.raises(AskFailed, match="disk failed"):
            await place.imports.ask(SubmitImport(order=ImportOrder(path=str(place.source)), key="k"))
        assert "JournalPoisoned" in str(await place.life.wait())
    await place.start_imports()
    assert await place.imports.ask(SubmitImport(order=ImportOrder(path=str(place.source)), key="k")) == "import-0001"
