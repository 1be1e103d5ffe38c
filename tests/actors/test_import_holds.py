"""Held sources while they are held: a deleted source is still imported, and a filling disk is relieved."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.imports.driver import _grown
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings, RootSettings
from hcs_mesh.messages.imports import (
    AwaitImport,
    CancelImport,
    ForgetImport,
    GetImport,
    ImportOrder,
    ImportStatus,
    SubmitImport,
)
from hcs_mesh.messages.notices import SendNotice
from hcs_mesh.plates.holding import own_name, staging
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import RepositoryFailed
from hcs_mesh.plates.repository import StoredFile
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import AskFailed, Ref

pytestmark = pytest.mark.anyio


class SlowRepository(LocalRepository):
    """A repository that begins to copy when it is told to."""

    may_copy: threading.Event
    once_copied: Callable[[], None] | None = None
    n_refusals = 0
    """How often it cannot remove what it has taken over."""

    def discard(self, import_id: str) -> None:
        if self.n_refusals:
            self.n_refusals -= 1
            raise RepositoryFailed("the disk refuses to remove it")
        super().discard(import_id)

    def transfer(self, *given: Any, **named: Any) -> tuple[StoredFile, ...]:
        assert self.may_copy.wait(30.0)
        stored = super().transfer(*given, **named)
        if self.once_copied is not None:
            self.once_copied()
        return stored


class Place:
    """A node that imports into a repository which waits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = SlowRepository(folder / "data")
        self.repository.may_copy = threading.Event()
        self.node = Node("hub")
        self.imports: Ref = self.node.find("imports")
        self.has_inspector = False

    async def start(self, settings: ImportSettings) -> None:
        if not self.has_inspector:
            # It outlives the proxy, as a process of its own does.
            self.has_inspector = True
            await self.node.start_actor("inspector", Inspector)
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.folder / "journal", settings)
        )

    def source(self, name: str) -> Path:
        write_plate(self.folder / name, Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        return self.folder / name

    async def submitted(self, source: Path) -> str:
        import_id: str = await self.imports.ask(SubmitImport(order=ImportOrder(path=str(source)), key=source.name))
        return import_id

    async def status(self, import_id: str) -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        return status

    async def until_over(self, import_id: str) -> ImportStatus:
        status = await self.status(import_id)
        while status.state in ("running", "waiting"):
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status


class Told(Actor[SendNotice]):
    """Takes what people are to be told."""

    def __init__(self) -> None:
        self.notices: list[SendNotice] = []

    async def receive(self, message: SendNotice) -> None:
        self.notices.append(message)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(tmp_path)
    yield found
    found.repository.may_copy.set()
    await found.life.stop()
    await found.life.wait()
    await found.node.close()
    found.repository.close()


async def test_a_source_that_is_deleted_once_it_is_held_is_imported_all_the_same(place: Place) -> None:
    await place.start(ImportSettings(settle_s=0.01, held_look_s=0.02))
    source = place.source("plate")
    before = {path.name: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    import_id = await place.submitted(source)

    async def transferring() -> bool:
        return (await place.status(import_id)).phase == "transferring"

    await eventually(transferring)
    shutil.rmtree(source)

    async def told() -> bool:
        return (await place.status(import_id)).n_bytes_held > 0

    await eventually(told, what="that bytes are held which nothing else names")
    place.repository.may_copy.set()
    status = await place.until_over(import_id)
    assert (status.state, status.held) == ("done", "hard link")
    stored = place.repository.files_folder(import_id)
    assert {path.name: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before
    assert not list(place.folder.rglob(".hcs-mesh-held/*/import-*")), "what is stored is held no longer"


async def test_a_full_disk_takes_no_links_which_cost_nothing(place: Place) -> None:
    settings = ImportSettings(
        settle_s=0.01, held_look_s=0.02, held_floor_gib=1e6, copying_at_once=1, first_retry_s=0.01
    )
    await place.start(settings)
    first = await place.submitted(place.source("first"))

    async def copying() -> bool:
        return (await place.status(first)).phase == "transferring"

    await eventually(copying)
    second = await place.submitted(place.source("second"))

    async def waits() -> bool:
        return "waiting for its turn at copying" in (await place.status(second)).reason

    await eventually(waits)
    # Links cost nothing while the source names their files: there is nothing to let go of.
    assert (await place.status(second)).held == "hard link"
    place.repository.may_copy.set()
    assert (await place.until_over(first)).state == "done"
    assert (await place.until_over(second)).state == "done"


async def test_what_is_put_in_the_place_of_the_links_is_not_deleted_with_them(place: Place) -> None:
    repository = place.repository

    def swap() -> None:
        (home,) = (place.folder / "journal" / ".hcs-mesh-held").iterdir()
        home.rename(home.with_name("aside"))
        home.symlink_to(repository.files_folder(import_id).parent)

    repository.once_copied = swap
    await place.start(ImportSettings(settle_s=0.01))
    source = place.source("plate")
    before = {path.name: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    import_id = await place.submitted(source)
    repository.may_copy.set()
    status = await place.until_over(import_id)
    assert (status.state, status.reason) == ("done", "")
    stored = repository.files_folder(import_id)
    assert {path.name: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before
    # Nor by the next life, which sweeps what is held for nobody.
    await place.life.stop()
    await place.life.wait()
    await place.start(ImportSettings(settle_s=0.01))
    assert {path.name: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before


async def held_and_deleted(place: Place, *, n_left: int = 0) -> tuple[str, list[Path]]:
    """An import that waits to copy, whose source is deleted once it is held; and the files that are left of it."""
    await place.start(ImportSettings(settle_s=0.01, held_look_s=0.02, first_retry_s=0.01))
    source = place.source("plate")
    import_id = await place.submitted(source)

    async def transferring() -> bool:
        return (await place.status(import_id)).phase == "transferring"

    await eventually(transferring)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for path in files[n_left:]:
        path.unlink()
    return import_id, files[:n_left]


def links(place: Place) -> list[str]:
    """The names of all files that are held."""
    return sorted(path.name for path in place.folder.rglob(".hcs-mesh-held/*/import-*/**/*") if path.is_file())


async def test_an_import_is_not_cancelled_while_it_holds_the_only_copy(place: Place) -> None:
    import_id, _ = await held_and_deleted(place)
    held = links(place)
    with pytest.raises(AskFailed, match=f"{len(held)} of its {len(held)} files are nowhere any more but in .*-0001"):
        await place.imports.ask(CancelImport(import_id=import_id))
    assert held
    assert links(place) == held
    place.repository.may_copy.set()
    assert (await place.until_over(import_id)).state == "done", "it goes on as if nobody had asked"


async def test_what_lies_nowhere_else_is_given_up_when_that_is_said(place: Place) -> None:
    import_id, _ = await held_and_deleted(place)
    place.repository.may_copy.set()
    status = await place.imports.ask(CancelImport(import_id=import_id, discard_held=True))
    assert (status.state, status.n_bytes_held) == ("cancelled", 0)
    assert not links(place)


async def test_a_changed_file_does_not_cost_the_only_copy_of_the_others(place: Place) -> None:
    import_id, [changed] = await held_and_deleted(place, n_left=1)
    held = links(place)
    changed.chmod(0o600)
    place.repository.may_copy.set()
    status = await place.until_over(import_id)
    assert status.state == "failed"
    assert f"{len(held) - 1} of its {len(held)} files are nowhere any more but in" in status.reason
    assert links(place) == held

    async def counted() -> bool:
        return (await place.status(import_id)).n_bytes_held > 0

    await eventually(counted, what="that what a failed import holds is counted")
    with pytest.raises(AskFailed, match="nowhere any more"):
        await place.imports.ask(ForgetImport(import_id=import_id))
    await place.imports.ask(ForgetImport(import_id=import_id, discard_held=True))
    assert not links(place)


async def test_the_news_of_a_failure_name_the_only_copy_and_say_nothing_of_one_that_is_none(place: Place) -> None:
    told = Told()
    life = await place.node.start_actor("notifier", lambda: told)
    import_id, [changed] = await held_and_deleted(place, n_left=1)
    empty = place.folder / "empty"
    empty.mkdir()
    harmless = await place.submitted(empty)
    assert (await place.until_over(harmless)).state == "failed"
    changed.chmod(0o600)
    place.repository.may_copy.set()
    assert (await place.until_over(import_id)).state == "failed"

    async def heard() -> dict[str, SendNotice] | None:
        return {one.facts.import_id: one for one in told.notices} if len(told.notices) == 2 else None

    notices = await eventually(heard, what="the news of both")
    (home,) = place.folder.rglob(f".hcs-mesh-held/*/{import_id}")
    assert notices[import_id].facts.only_copy == f"2 of its 3 files are nowhere any more but in {home}"
    assert (notices[harmless].facts.only_copy, notices[harmless].facts.source_deleted) == ("", False)
    await life.stop()
    await life.wait()


async def test_nothing_is_given_up_while_the_disk_is_away_that_may_hold_the_only_copy(place: Place) -> None:
    import_id, [changed] = await held_and_deleted(place, n_left=1)
    changed.chmod(0o600)
    place.repository.may_copy.set()
    assert (await place.until_over(import_id)).state == "failed"
    [home] = place.folder.rglob(".hcs-mesh-held")
    held = links(place)
    home.rename(place.folder / "unmounted")
    with pytest.raises(AskFailed, match="nowhere any more but in"):
        await place.imports.ask(ForgetImport(import_id=import_id))
    (place.folder / "unmounted").rename(home)
    assert links(place) == held


async def test_an_import_is_not_forgotten_before_what_it_stored_is_removed(place: Place) -> None:
    import_id, [changed] = await held_and_deleted(place, n_left=1)
    changed.chmod(0o600)
    place.repository.may_copy.set()
    assert (await place.until_over(import_id)).state == "failed"
    stored = place.repository.files_folder(import_id).parent
    assert stored.exists()
    place.repository.n_refusals = 1
    with pytest.raises(AskFailed, match="the disk refuses to remove it"):
        await place.imports.ask(ForgetImport(import_id=import_id, discard_held=True))
    assert (await place.status(import_id)).state == "failed", "it is on the list for as long as its files are there"
    await place.imports.ask(ForgetImport(import_id=import_id, discard_held=True))
    assert not stored.exists()


async def test_what_a_hold_that_was_cut_short_has_linked_is_neither_lost_unasked_nor_left_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, n_left = os.link, [1]

    def dying(*given: Any, **named: Any) -> None:
        n_left[0] -= 1
        if n_left[0] < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        link(*given, **named)

    monkeypatch.setattr(os, "link", dying)
    await place.start(ImportSettings(settle_s=0.01, held_look_s=0.02, first_retry_s=0.01))
    source = place.source("plate")
    import_id = await place.submitted(source)
    assert (await place.until_over(import_id)).state == "failed"
    assert len(links(place)) == 1
    [linked] = [path for path in source.rglob("*") if path.is_file() and path.stat().st_nlink == 2]
    linked.unlink()
    with pytest.raises(AskFailed, match=f"1 of its files are nowhere any more but in .*{import_id}"):
        await place.imports.ask(CancelImport(import_id=import_id))
    assert len(links(place)) == 1
    await place.imports.ask(CancelImport(import_id=import_id, discard_held=True))
    assert not links(place)


async def test_what_a_lost_journal_knew_of_stays_and_is_not_taken_for_a_new_import_s(place: Place) -> None:
    before, _ = await held_and_deleted(place)
    held = links(place)
    stopping = asyncio.create_task(place.life.stop())
    place.repository.may_copy.set()
    await stopping
    await place.life.wait()
    place.repository.discard(before)
    for path in (place.folder / "journal").iterdir():
        # Of the data folder, which is the journal's here, the journal alone is lost.
        if path.name not in (".hcs-mesh-held", "held-as"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    await place.start(ImportSettings(settle_s=0.01))
    assert links(place) == held
    # The same names below a folder of the same name: under the same id they would have the links' place.
    after = await place.submitted(place.source("plate"))
    assert after != before
    assert (await place.until_over(after)).state == "done"
    assert links(place) == held


async def test_what_an_earlier_version_holds_on_a_share_is_imported_and_let_go_of(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ImportSettings(settle_s=0.01, first_retry_s=0.01, roots=(RootSettings(path=str(place.folder)),))
    with monkeypatch.context() as earlier:
        earlier.setattr(staging, "staging_of", lambda data, above: above / own_name._earlier_name(data))
        await place.start(settings)
        source = place.source("plate")
        import_id = await place.submitted(source)

        async def transferring() -> bool:
            return (await place.status(import_id)).phase == "transferring"

        await eventually(transferring)
    n_files = len(links(place))
    assert n_files
    (home,) = (path for path in (place.folder / ".hcs-mesh-held").iterdir())
    shutil.rmtree(source)
    stopping = asyncio.create_task(place.life.stop())
    place.repository.may_copy.set()
    await stopping
    await place.life.wait()
    await place.start(settings)
    assert (await place.until_over(import_id)).state == "done"
    assert len([path for path in place.repository.files_folder(import_id).rglob("*") if path.is_file()]) == n_files
    assert not list(home.glob("import-*"))


async def test_a_change_is_recovered_from_once_what_was_stored_can_be_removed(place: Place) -> None:
    await place.start(ImportSettings(settle_s=0.01, held_look_s=0.02, first_retry_s=0.01))
    place.repository.n_refusals = 2
    source = place.source("plate")
    import_id = await place.submitted(source)

    async def transferring() -> bool:
        return (await place.status(import_id)).phase == "transferring"

    await eventually(transferring)
    min(path for path in source.rglob("*") if path.is_file()).chmod(0o600)
    place.repository.may_copy.set()
    status = await place.until_over(import_id)
    assert status.state == "done"
    told = [entry.note for entry in status.history if "the disk refuses to remove it" in entry.note]
    assert told, "the proxy lives on, and says what it could not do"


def test_a_wait_grows_to_a_bound_however_often_it_was_waited() -> None:
    assert [_grown(n) for n in (0, 1, 5)] == [1.0, 2.0, 32.0]
    assert _grown(100_000) == _grown(32)
