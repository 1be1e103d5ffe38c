"""What cannot be done of a watched folder, by a fault of the mesh or not, waits alone: all else is watched on."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.errors import NoSuchSource
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.actors.watching.watcher import Watcher
from hcs_mesh.config import ImportSettings, WatchSettings
from hcs_mesh.messages.imports import ImportStatus, ListImports, SubmitImport
from hcs_mesh.messages.notices import SendNotice
from hcs_mesh.messages.watches import ListWatches, WatchStatus
from hcs_mesh.plates.errors import SourceFailing
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import Taken
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Actor, Node

pytestmark = pytest.mark.anyio

IMPORTS = ImportSettings(settle_s=0.01, pending_patience_s=0.0, first_retry_s=0.01, longest_retry_s=0.1)


class ForgetfulRepository(LocalRepository):
    """A repository that has a fault when it is asked what it has of an import."""

    fault: Exception | None = None

    def taken(self, import_id: str, *, owner: str = "", root: str = "") -> Taken:
        if self.fault is not None:
            raise self.fault
        return super().taken(import_id, owner=owner, root=root)


class Told(Actor[SendNotice]):
    """Takes what people are to be told, once for each key."""

    def __init__(self) -> None:
        self.notices: dict[str, SendNotice] = {}

    async def receive(self, message: SendNotice) -> None:
        self.notices.setdefault(message.key, message)

    def about(self, reason: str) -> list[SendNotice]:
        return [one for one in self.notices.values() if reason in one.facts.reason]


class Rooms:
    """Two watched folders and a mesh of which nobody starts an actor again when it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told, self.node = folder, Told(), Node("hub")
        self.repository = ForgetfulRepository(folder / "data")
        self.lives: list[Any] = []
        for name in ("one", "other"):
            (folder / name).mkdir()

    async def up(self, *, imports: Callable[[], Any] | None = None, without: str = "") -> None:
        quick = {"look_s": 0.02, "full_look_s": 0.02, "deep_look_s": 0.02, "quiet_s": 0.05}
        watches = tuple(WatchSettings(path=str(self.folder / name), **quick) for name in ("one", "other"))  # type: ignore[arg-type]
        journal = self.folder / "journal"
        for name, factory in (
            ("metadata", lambda: MetadataCache(self.repository)),
            ("notifier", lambda: self.told),
            ("inspector", Inspector),
            ("imports", imports or (lambda: ImportProxy(self.repository, journal / "imports", IMPORTS))),
            ("watches", lambda: Watcher(watches, journal / "watches", self.repository)),
        ):
            if name != without:
                self.lives.append(await self.node.start_actor(name, factory))

    async def down(self) -> None:
        for life in reversed(self.lives):
            await life.stop()
            await life.wait()
        self.lives.clear()
        await self.node.close()
        self.node = Node("hub")

    def acquire(self, room: str, name: str) -> Path:
        write_plate(self.folder / room / name, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        return self.folder / room / name

    async def status(self, room: str) -> WatchStatus:
        found = await self.node.find("watches").ask(ListWatches())
        return next(one for one in found if one.name == room)

    async def why_waits(self, room: str, unit: str) -> str:
        return next((one.reason for one in (await self.status(room)).waiting if one.unit == unit), "")

    async def until_waits(self, room: str, unit: str, reason: str) -> None:
        async def waits() -> bool:
            return reason in await self.why_waits(room, unit)

        await eventually(waits, within_s=30.0, what=f"that {unit} waits: {reason}")

    async def until_done(self, *plates: Path) -> None:
        async def done() -> bool:
            found: tuple[ImportStatus, ...] = await self.node.find("imports").ask(ListImports())
            return {one.source for one in found if one.state == "done"} >= {str(plate) for plate in plates}

        await eventually(done, within_s=30.0, what=f"the import of {plates}")


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    found = Rooms(tmp_path)
    yield found
    await found.down()
    await found.node.close()
    found.repository.close()


async def test_a_fault_in_the_look_at_one_folder_is_told_and_the_other_is_watched_on(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def faulty(path: Any = ".") -> Any:
        if str(path) == str(rooms.folder / "one"):
            raise RuntimeError("nobody had thought of this")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", faulty)
        plates = rooms.acquire("one", "first"), rooms.acquire("other", "second")
        await rooms.up()
        await rooms.until_done(plates[1])

        async def missing() -> WatchStatus | None:
            status = await rooms.status("one")
            return status if status.state == "missing" else None

        status = await eventually(missing, what="the word of the fault")
        assert status.reason == (
            "a fault of the mesh itself, not of the source: RuntimeError: nobody had thought of this"
        )
        await eventually(lambda: rooms.told.about(status.reason), what="the mail of it")
        assert [one.facts.source for one in rooms.told.about(status.reason)] == [f"{rooms.folder}/one/"]
    await rooms.until_done(*plates)
    assert (await rooms.status("one")).state == "there"


async def test_a_fault_over_one_unit_makes_it_wait_alone(rooms: Rooms) -> None:
    plate = rooms.acquire("one", "first")
    await rooms.up()
    await rooms.until_done(plate)
    rooms.repository.fault = RecursionError("too deep")
    (late,) = [path for path in plate.rglob("*") if path.suffix.lower() == ".htd"]
    late.with_name("late.tif").write_bytes(max(plate.rglob("*.TIF")).read_bytes())

    async def waits() -> str:
        told = {one.unit: one.reason for one in (await rooms.status("one")).waiting}
        return told["first/"] if "RecursionError: too deep" in told.get("first/", "") else ""

    reason = await eventually(waits, what="the word of the fault")
    await eventually(lambda: rooms.told.about(reason), what="the mail of it")
    assert [one.facts.source for one in rooms.told.about(reason)] == [f"{rooms.folder}/one/first/"]
    await rooms.until_done(rooms.acquire("one", "second"), rooms.acquire("other", "third"))
    assert len(rooms.told.about(reason)) == 1
    rooms.repository.fault = None

    async def over() -> bool:
        return not await waits()

    await eventually(over, within_s=30.0, what="that it is looked at again")


async def test_a_unit_that_went_away_before_it_was_taken_holds_up_nobody(rooms: Rooms) -> None:
    plate = rooms.acquire("one", "first")
    await rooms.up(without="imports")
    await rooms.until_waits("one", "first/", "the mesh does not answer")
    await rooms.down()
    shutil.rmtree(plate)
    second = rooms.acquire("one", "second")
    await rooms.up()
    await rooms.until_done(second)
    await rooms.down()
    await rooms.up()
    await rooms.until_done(second, rooms.acquire("one", "third"))

    async def nothing_waits() -> bool:
        # That the imports have taken the third is written down beside its import, which may be done before.
        status = await rooms.status("one")
        return (status.n_units, status.waiting) == (2, ())

    await eventually(nothing_waits, within_s=30.0, what="two units, of which none waits")


class BlindTo(Actor[SubmitImport]):
    """Imports that find nothing under one name, as where another host's view of a disk is older."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.taken: list[str] = []

    async def receive(self, message: SubmitImport) -> str:
        if message.order.path.endswith(self.name):
            raise NoSuchSource(f"there is nothing at {message.order.path}")
        self.taken.append(message.order.path)
        return f"import-{len(self.taken):04}"


async def test_a_unit_that_the_imports_do_not_find_waits_alone_and_says_what_they_answered(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rooms.acquire("one", "first")
    imports = BlindTo("first")
    await rooms.up(imports=lambda: imports)
    await rooms.until_waits("one", "first/", f"there is nothing at {rooms.folder}/one/first")
    second = str(rooms.acquire("one", "second"))
    await eventually(lambda: second in imports.taken, within_s=30.0, what="the second unit")
    assert (await rooms.why_waits("one", "first/")).startswith("there is nothing at")
    assert sum(record.getMessage() == "a watched folder waits" for record in caplog.records) == 1
    imports.name = "?"
    shutil.rmtree(rooms.folder / "one" / "first")
    # Another under its name is seen, and asked about.
    again = rooms.acquire("one", "first")
    await eventually(lambda: str(again) in imports.taken, within_s=30.0, what="the first unit, seen again")


async def test_an_error_over_one_unit_is_told_once_and_holds_up_nobody(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plate = rooms.acquire("one", "first")
    await rooms.up()
    await rooms.until_done(plate)
    rooms.repository.fault = SourceFailing("its disk fails")
    (late,) = [path for path in plate.rglob("*") if path.suffix.lower() == ".htd"]
    late.with_name("late.tif").write_bytes(max(plate.rglob("*.TIF")).read_bytes())
    await rooms.until_waits("one", "first/", "its disk fails")
    await rooms.until_done(rooms.acquire("one", "second"), rooms.acquire("one", "third"))
    assert await rooms.why_waits("one", "first/") == "its disk fails"
    assert sum(record.getMessage() == "a watched folder waits" for record in caplog.records) == 1
    assert not rooms.told.about("its disk fails")
    rooms.repository.fault = None

    async def over() -> bool:
        return not await rooms.why_waits("one", "first/")

    await eventually(over, within_s=30.0, what="that it is looked at again")
