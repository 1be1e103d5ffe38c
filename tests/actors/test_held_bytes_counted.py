"""What is held is counted while an import wants it: a look that was under way when that ended counts nothing."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports import local_source
from hcs_mesh.actors.imports.holds import ImportHolds
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import CancelImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.holding import HeldSpace, Hold
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import StoredFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio


class SlowRepository(LocalRepository):
    """A repository that begins to copy when it is told to."""

    may_copy: threading.Event

    def transfer(self, *given: Any, **named: Any) -> tuple[StoredFile, ...]:
        assert self.may_copy.wait(60.0)
        return super().transfer(*given, **named)


class SlowLook:
    """A look at what is held that has seen it, and comes back with that when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deleted, self.seen, self.may_end = threading.Event(), threading.Event(), threading.Event()
        self.n_ended = 0
        look_at_space, look = local_source.held_space, ImportHolds.look

        def held_space(hold: Hold) -> HeldSpace:
            space = look_at_space(hold)
            if self.deleted.is_set() and space.n_bytes:
                self.seen.set()
                assert self.may_end.wait(60.0)
            return space

        async def count(holds: ImportHolds) -> None:
            had_seen = self.seen.is_set()
            await look(holds)
            self.n_ended += self.seen.is_set() and not had_seen

        monkeypatch.setattr(local_source, "held_space", held_space)
        monkeypatch.setattr(ImportHolds, "look", count)


@pytest.fixture
async def repository(tmp_path: Path) -> AsyncIterator[SlowRepository]:
    found = SlowRepository(tmp_path / "data")
    found.may_copy = threading.Event()
    yield found
    found.close()


async def test_a_look_that_ends_after_its_import_was_cancelled_counts_nothing_as_held(
    tmp_path: Path, repository: SlowRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, source = SlowLook(monkeypatch), tmp_path / "plate"
    write_plate(source, Recipe(name="plate", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    settings, node = ImportSettings(settle_s=0.01, held_look_s=0.02), Node("hub")
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor("imports", lambda: ImportProxy(repository, tmp_path / "journal", settings)),
    ]
    imports = node.find("imports")

    async def status() -> ImportStatus:
        found: ImportStatus = await imports.ask(GetImport(import_id="import-0001"))
        return found

    async def transferring() -> bool:
        return (await status()).phase == "transferring"

    try:
        await imports.ask(SubmitImport(order=ImportOrder(path=str(source)), key="a"))
        await eventually(transferring, what="the import that is copied")
        for path in source.rglob("*.TIF"):
            path.unlink()
        slow.deleted.set()
        await eventually(slow.seen.is_set, what="a look that has seen what is held")
        repository.may_copy.set()
        await imports.ask(CancelImport(import_id="import-0001", discard_held=True))
        slow.may_end.set()
        await eventually(lambda: slow.n_ended, what="the end of that look")
        found = await status()
        assert (found.state, found.n_bytes_held) == ("cancelled", 0)
    finally:
        slow.may_end.set()
        repository.may_copy.set()
        for life in reversed(lives):
            await life.stop()
            await life.wait()
        await node.close()
