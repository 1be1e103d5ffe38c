"""Watched folders in the world: what appears is imported once, whatever dies, goes away or comes late."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
from waiting import eventually

from hcs_mesh.actors.errors import NoSuchSource
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.actors.watching.book import WatchedUnit
from hcs_mesh.actors.watching.watcher import Watcher
from hcs_mesh.config import ImportSettings, InspectorSettings, WatchSettings
from hcs_mesh.messages.imports import (
    CancelImport,
    GetImport,
    ImportStatus,
    ListImports,
    PlanSource,
    ProbePlanes,
    SubmitImport,
)
from hcs_mesh.messages.notices import ListNotices
from hcs_mesh.messages.watches import ListWatches, WatchStatus
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.supervisors.journal import Journal, show
from hcs_mesh.transport import Ref

pytestmark = pytest.mark.anyio

IMPORTS = ImportSettings(settle_s=0.01, pending_patience_s=0.0, first_retry_s=0.01, longest_retry_s=0.1)


class Microscope:
    """A watched folder, and the mesh that watches it, which may be taken down and up."""

    def __init__(self, folder: Path) -> None:
        self.incoming = folder / "incoming"
        self.incoming.mkdir()
        self.journal = folder / "journal"
        self.repository = LocalRepository(folder / "data")
        self.node = Node("hub")
        self.lives: list[Any] = []
        self.settings: dict[str, Any] = {}

    def watch(self, **settings: Any) -> WatchSettings:
        quick = {"look_s": 0.02, "full_look_s": 0.02, "deep_look_s": 0.02, "quiet_s": 0.05, "owner": "ada"}
        return WatchSettings(path=str(self.incoming), **{**quick, **self.settings, **settings})

    async def up(self, *, imports: bool = True, watches: bool = True, **settings: Any) -> None:
        self.settings.update(settings)
        if imports:
            await self._start("metadata", lambda: MetadataCache(self.repository))
            await self._start("notifier", lambda: Notifier(self.journal / "notices"))
            await self._start("inspector", Inspector)
            await self._start(
                "imports",
                lambda: ImportProxy(
                    self.repository, self.journal / "imports", IMPORTS, inspector=InspectorSettings(time_limit_s=20.0)
                ),
            )
        if watches:
            await self._start("watches", lambda: Watcher((self.watch(),), self.journal / "watches", self.repository))

    async def _start(self, name: str, factory: Any) -> None:
        self.lives.append(await self.node.start_actor(name, factory))

    async def down(self) -> None:
        for life in reversed(self.lives):
            await life.stop()
            await life.wait()
        self.lives.clear()
        await self.node.close()
        self.node = Node("hub")

    def find(self, name: str) -> Ref:
        return self.node.find(name)

    def acquire(self, name: str) -> Path:
        """A whole plate; no two have the same names in them."""
        plate = self.incoming / name
        write_plate(plate, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        return plate

    async def status(self) -> WatchStatus:
        (status,) = await self.find("watches").ask(ListWatches())
        return status

    async def imports(self, state: str = "") -> list[ImportStatus]:
        found = await self.find("imports").ask(ListImports())
        return [one for one in reversed(found) if not state or one.state == state]

    async def until(self, n: int, state: str = "done") -> list[ImportStatus]:
        async def reached() -> list[ImportStatus]:
            found = await self.imports(state)
            return found if len(found) == n else []

        return await eventually(reached, what=f"{n} imports {state}")

    async def until_handed_over(self, n: int) -> None:
        """Wait until the watcher has written down what the imports had said: that goes on beside its looks."""
        cell = self.node.cells["watches"]
        await eventually(lambda: int(cell.statistics()["units_handed_over"]) == n, what=f"{n} units handed over")

    async def looks(self, n: int = 6) -> None:
        """Let the folder be looked at so often."""
        cell = self.node.cells["watches"]
        upto = int(cell.statistics()["looks"]) + n
        await eventually(lambda: int(cell.statistics()["looks"]) >= upto, what="looks at the folder")


@pytest.fixture
async def microscope(tmp_path: Path) -> AsyncIterator[Microscope]:
    found = Microscope(tmp_path)
    yield found
    await found.down()
    await found.node.close()
    found.repository.close()


async def test_a_plate_that_appears_is_imported_for_its_owner(microscope: Microscope) -> None:
    await microscope.up(screen="Kinases", tags=("night",))
    await microscope.looks(1)
    plate = microscope.acquire("one")
    (done,) = await microscope.until(1)
    assert (done.owner, done.order.path, done.order.priority) == ("ada", str(plate), "low")
    assert (done.order.screen, done.order.tags) == ("Kinases", ("night",))
    await microscope.until_handed_over(1)
    status = await microscope.status()
    assert (status.state, status.n_units, status.n_handed_over, status.waiting) == ("there", 1, 1, ())


async def test_what_came_while_the_mesh_was_down_is_found(microscope: Microscope) -> None:
    microscope.acquire("one")
    await microscope.up()
    await microscope.until(1)
    await microscope.down()
    microscope.acquire("two")
    await microscope.up()
    assert len(await microscope.until(2)) == 2
    await microscope.looks()
    assert len(await microscope.imports()) == 2


async def test_touch_and_chmod_import_nothing_again(microscope: Microscope) -> None:
    plate = microscope.acquire("one")
    await microscope.up()
    await microscope.until(1)
    for path in (plate, *plate.rglob("*")):
        os.utime(path)
        path.chmod(0o700)
    await microscope.looks()
    status = await microscope.status()
    assert (len(await microscope.imports()), status.n_late_files) == (1, 0)


async def test_a_plate_that_grows_is_handed_over_once_and_whole(microscope: Microscope) -> None:
    # At rest for longer than a busy computer stands still.
    await microscope.up(quiet_s=4.0)
    whole = microscope.acquire("hidden").rename(microscope.journal.parent / "whole")
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    plate = microscope.incoming / "grows"
    plate.mkdir()
    for path in files:
        target = plate / path.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        # The look that is under way may have seen nothing of it.
        await microscope.looks(2)
        assert not await microscope.imports()
        (waiting,) = (await microscope.status()).waiting
        assert (waiting.unit, waiting.reason[:2]) in (("grows/", "it"), ("grows/", "at"))
    (done,) = await microscope.until(1)
    assert (done.n_files, done.notes) == (len(files), ())


async def test_nothing_is_concluded_while_the_sentinel_is_missing(microscope: Microscope) -> None:
    await microscope.up(sentinel=".mounted")
    microscope.acquire("one")
    await microscope.looks()
    status = await microscope.status()
    assert (status.state, status.n_units) == ("missing", 0)
    assert ".mounted" in status.reason
    (microscope.incoming / ".mounted").touch()
    await microscope.until(1)


@pytest.mark.parametrize("sentinel", ["", ".mounted"])
async def test_an_unmounted_folder_forgets_nothing(microscope: Microscope, sentinel: str) -> None:
    if sentinel:
        (microscope.incoming / sentinel).touch()
    microscope.acquire("one")
    await microscope.up(sentinel=sentinel)
    await microscope.until(1)
    await microscope.until_handed_over(1)
    away = microscope.incoming.rename(microscope.incoming.with_name("away"))
    microscope.incoming.mkdir()
    await microscope.looks()
    status = await microscope.status()
    assert (status.state, status.n_units, status.n_handed_over) == ("missing", 1, 1)
    microscope.incoming.rmdir()
    away.rename(microscope.incoming)
    await microscope.looks()
    assert (await microscope.status()).state == "there"
    assert len(await microscope.imports()) == 1


@pytest.mark.parametrize("n_records", [1, 2])
async def test_a_death_around_the_handing_over_imports_once(microscope: Microscope, n_records: int) -> None:
    microscope.acquire("one")
    await microscope.up()
    await microscope.until(1)
    await microscope.until_handed_over(1)
    await microscope.down()
    records = _records(microscope)
    assert [one.step for one in records[:2]] == ["handing over", "handed over"]
    # As a life leaves it that died before or after it wrote down what the imports had said.
    shutil.rmtree(microscope.journal / "watches")
    async with await Journal.open(microscope.journal / "watches", record_type=WatchedUnit) as journal:
        await journal.append_all(records[:n_records])
    await microscope.up()
    await microscope.until_handed_over(1)
    await microscope.looks()
    assert ((await microscope.status()).n_handed_over, len(await microscope.imports())) == (1, 1)


async def test_a_life_that_died_before_it_wrote_anything_hands_over_once(microscope: Microscope) -> None:
    microscope.acquire("one")
    await microscope.up()
    await microscope.until(1)
    await microscope.down()
    shutil.rmtree(microscope.journal / "watches")
    await microscope.up()
    await microscope.until_handed_over(1)
    await microscope.looks()
    assert ((await microscope.status()).n_handed_over, len(await microscope.imports())) == (1, 1)


async def test_loose_files_of_a_set_are_one_import_and_single_ones_one_each(
    microscope: Microscope, shared_data: Path
) -> None:
    for path in (shared_data / "ome-tiff-companion").iterdir():
        shutil.copy(path, microscope.incoming)
    await microscope.up()
    done = await microscope.until(2)
    assert sorted(one.n_files for one in done) == [1, 6]
    await microscope.until_handed_over(2)
    await microscope.looks()
    status = await microscope.status()
    assert status.n_handed_over == 2
    assert [one.unit for one in status.waiting] == ["LICENSE.viv.txt", "SOURCE.md"]


class SilentInspector(Actor[PlanSource | ProbePlanes]):
    """An inspector that comes to no end."""

    async def receive(self, message: PlanSource | ProbePlanes) -> Any:
        return self.defer(asyncio.Event().wait())


async def test_a_loose_image_over_which_the_inspector_was_stopped_is_imported_once_it_reads_it(
    microscope: Microscope,
) -> None:
    tifffile.imwrite(microscope.incoming / "exp1.ome.tif", np.zeros((8, 8), np.uint8))
    await microscope._start("inspector", SilentInspector)
    limits = InspectorSettings(time_limit_s=0.5)
    await microscope._start(
        "watches",
        lambda: Watcher((microscope.watch(),), microscope.journal / "watches", microscope.repository, inspector=limits),
    )

    async def waiting() -> str:
        (found,) = (await microscope.status()).waiting or (None,)
        return found.reason if found is not None and "took longer" in found.reason else ""

    await eventually(waiting, what="the reason that it is not imported")
    silent = microscope.lives.pop(0)
    await silent.stop()
    await silent.wait()
    await microscope.up(watches=False)
    await microscope.until(1)


async def test_late_files_are_told_once_and_nothing_is_imported_again(microscope: Microscope) -> None:
    plate = microscope.acquire("one")
    await microscope.up()
    (done,) = await microscope.until(1)
    n_late = _wider(microscope, plate)
    await eventually(lambda: microscope.node.cells["watches"].statistics()["late_files"] == n_late, what="late files")
    ((late,), _) = (await microscope.status()).late, await microscope.down()
    assert (late.unit, late.import_id, late.n_files) == ("one/", done.import_id, n_late)
    await microscope.up()
    await microscope.looks()
    assert ((await microscope.status()).n_late_files, len(await microscope.imports())) == (n_late, 1)


async def test_late_files_are_imported_with_all_the_others_where_that_is_set(microscope: Microscope) -> None:
    plate = microscope.acquire("one")
    await microscope.up(late="import")
    await microscope.until(1)
    _wider(microscope, plate)
    first, second = await microscope.until(2)
    assert second.n_files > first.n_files
    await microscope.looks()
    assert len(await microscope.imports()) == 2


async def test_a_failed_import_is_handed_over_again_when_its_unit_changes(microscope: Microscope) -> None:
    (microscope.incoming / "one").mkdir()
    (microscope.incoming / "one" / "readme.txt").write_text("no images here")
    await microscope.up()
    await microscope.until(1, "failed")
    await microscope.looks()
    assert len(await microscope.imports()) == 1
    microscope.acquire("one")
    (done,) = await microscope.until(1)
    assert done.order.path == str(microscope.incoming / "one")


async def test_a_cancelled_import_is_never_handed_over_again(microscope: Microscope) -> None:
    (microscope.incoming / "one").mkdir()
    (microscope.incoming / "one" / "readme.txt").write_text("no images here")
    await microscope.up()
    (failed,) = await microscope.until(1, "failed")
    await microscope.find("imports").ask(CancelImport(import_id=failed.import_id))
    microscope.acquire("one")
    await microscope.looks(12)
    assert [one.state for one in await microscope.imports()] == ["cancelled"]


async def test_another_plate_under_the_name_of_one_that_was_taken_away_is_imported(microscope: Microscope) -> None:
    plate = microscope.acquire("one")
    microscope.acquire("two")
    await microscope.up()
    await microscope.until(2)
    shutil.rmtree(plate)
    await eventually(lambda: microscope.node.cells["watches"].statistics()["units"] == 1, what="its end")
    write_plate(plate, Recipe(name="one", n_rows=1, n_columns=2, n_fields=1, size_px=64))
    await microscope.until(3)


async def test_a_new_acquisition_of_the_same_names_and_sizes_is_imported_and_what_was_only_moved_is_not(
    microscope: Microscope,
) -> None:
    plate = microscope.acquire("one")
    microscope.acquire("two")
    await microscope.up()
    await microscope.until(2)

    async def until_there(n: int) -> None:
        await eventually(lambda: microscope.node.cells["watches"].statistics()["units"] == n, what=f"{n} units")

    aside = plate.rename(microscope.incoming.parent / "aside")
    await until_there(1)
    aside.rename(plate)
    await until_there(2)
    assert len(await microscope.imports()) == 2
    shutil.rmtree(plate)
    await until_there(1)
    # One protocol, uncompressed images: only the pixels and the times are others.
    microscope.acquire("one")
    *_, again = await microscope.until(3)
    assert again.order.path == str(plate)


async def test_a_plate_that_was_replaced_while_nobody_looked_is_imported_and_what_was_touched_or_moved_is_not(
    microscope: Microscope,
) -> None:
    aside = microscope.incoming.parent / "aside"
    plate = microscope.acquire("one")
    await microscope.up()
    await microscope.until(1)
    await microscope.until_handed_over(1)
    await microscope.down()
    plate.rename(aside).rename(plate)
    _make_newer(plate, 10)
    await microscope.up()
    await microscope.looks()
    assert len(await microscope.imports()) == 1
    await microscope.down()
    # The old one stays beside, and with it its inode.
    plate.rename(aside)
    _make_newer(microscope.acquire("one"), 20)
    await microscope.up()
    first, again = await microscope.until(2)
    assert again.order.path == first.order.path == str(plate)
    await microscope.until_handed_over(1)
    await microscope.looks()
    assert len(await microscope.imports()) == 2


async def test_a_journal_of_an_earlier_version_imports_nothing_again_and_tells_the_next_folder_from_the_old_one(
    microscope: Microscope,
) -> None:
    plate = microscope.acquire("one")
    await microscope.up()
    await microscope.until(1)
    await microscope.until_handed_over(1)
    await microscope.down()
    before = [msgspec.structs.replace(one, inode=0, born_ns=0, newest_ns=1) for one in _records(microscope)]
    shutil.rmtree(microscope.journal / "watches")
    async with await Journal.open(microscope.journal / "watches", record_type=WatchedUnit) as journal:
        await journal.append_all(before)
    await microscope.up()
    await eventually(lambda: _records(microscope)[-1].inode, what="the folder's mark in the journal")
    await microscope.looks()
    assert len(await microscope.imports()) == 1
    await microscope.down()
    plate.rename(microscope.incoming.parent / "aside")
    _make_newer(microscope.acquire("one"), 10)
    await microscope.up()
    await microscope.until(2)


class AwayAtFirst(Actor[SubmitImport | GetImport]):
    """Imports that find nothing there when they are asked for the first time."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def receive(self, message: SubmitImport | GetImport) -> Any:
        assert isinstance(message, SubmitImport)
        self.keys.append(message.key)
        if len(self.keys) == 1:
            raise NoSuchSource(f"there is nothing at {message.order.path}")
        return "import-0001"


async def test_a_unit_that_was_away_when_it_was_handed_over_is_handed_over_once_it_is_back(
    microscope: Microscope,
) -> None:
    imports = AwayAtFirst()
    await microscope._start("notifier", lambda: Notifier(microscope.journal / "notices"))
    await microscope._start("imports", lambda: imports)
    microscope.acquire("one")
    await microscope.up(imports=False)
    await eventually(lambda: len(imports.keys) == 2, what="the second time")
    assert imports.keys[0] == imports.keys[1]
    await microscope.until_handed_over(1)
    await microscope.looks()
    status = await microscope.status()
    assert (status.n_handed_over, status.waiting, len(imports.keys)) == (1, (), 2)
    assert not await microscope.find("notifier").ask(ListNotices()), "nobody has to do anything"


async def test_a_refused_unit_is_asked_about_again_by_the_next_life(microscope: Microscope) -> None:
    microscope.acquire("one")
    await microscope.up(delete_source=True)

    async def refused() -> bool:
        return any("refused" in one.reason for one in (await microscope.status()).waiting)

    await eventually(refused, what="the refusal")
    assert not await microscope.imports()
    await microscope.down()
    await microscope.up(delete_source=False)
    await microscope.until(1)
    await microscope.until_handed_over(1)
    assert not (await microscope.status()).waiting


def _records(microscope: Microscope) -> list[WatchedUnit]:
    told = [one["record"] for one in show(microscope.journal / "watches")]
    return [msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=WatchedUnit) for one in told]


def _make_newer(plate: Path, by_s: int) -> None:
    """Put all times forward, whatever the disk's clock counts in."""
    for path in plate.rglob("*"):
        at_ns = path.stat().st_mtime_ns + by_s * 10**9
        os.utime(path, ns=(at_ns, at_ns))


def _wider(microscope: Microscope, plate: Path) -> int:
    """Acquire one more well of a plate; returns how many files are new or of another size."""
    made = microscope.journal.parent / "wider"
    write_plate(made, Recipe(name=plate.name, n_rows=1, n_columns=2, n_fields=1, size_px=64))
    n_late = 0
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        target = plate / path.relative_to(made)
        if not target.exists() or target.stat().st_size != path.stat().st_size:
            n_late += 1
            path.rename(target)
    return n_late
