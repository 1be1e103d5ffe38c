"""Disks that do not answer: whose imports wait, and that nobody else's do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from waiting import eventually

from hcs_mesh.actors.errors import SourceSilent
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.looks import AT_ONCE, SourceLooks
from hcs_mesh.actors.imports.means import ImportMeans
from hcs_mesh.actors.imports.news import ImportNews
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Held
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import (
    AwaitImport,
    CancelImport,
    ForgetImport,
    GetImport,
    ImportOrder,
    ImportStatus,
    SubmitImport,
)
from hcs_mesh.plates.certificate import Device
from hcs_mesh.plates.devices import mount_above
from hcs_mesh.plates.holding import Hold
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceReader
from hcs_mesh.plates.source_names import HELD_FOLDER
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed

pytestmark = pytest.mark.anyio


class Server:
    """A server that stops answering, and answers again."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.n_waiting = 0

    def ask(self, path: str = "") -> None:
        self.n_waiting += 1
        self.answers.wait()
        self.n_waiting -= 1


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.answers.set()


def first_folder(path: str) -> str:
    return f"/{path.split('/')[1]}"


async def test_a_silent_mount_holds_a_bounded_number_of_threads_and_no_other_mount(server: Server) -> None:
    def touch(path: str) -> None:
        # The other mount answers, though its look may come late on a busy computer.
        if path.startswith("/nas/"):
            server.ask()

    looks = SourceLooks(0.05, mount_of=first_folder, touch=touch)
    asked = [looks.run("/nas/a", server.ask) for _ in range(3 * AT_ONCE)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in told] == [SourceSilent] * len(asked)
    assert "/nas/a has not answered for 0.05 s" in str(told[0])
    with pytest.raises(SourceSilent):
        await looks.run("/nas/b", server.ask)
    # Those that look and the one that asks whether it is there.
    await eventually(lambda: server.n_waiting > AT_ONCE, what="threads that wait")
    assert server.n_waiting == AT_ONCE + 1
    assert await looks.run("/here", lambda: 7) == 7
    await looks.close()


async def test_a_mount_that_answers_again_is_looked_at_again(server: Server) -> None:
    looks = SourceLooks(0.05, mount_of=first_folder, touch=server.ask)
    with pytest.raises(SourceSilent):
        await looks.run("/nas/a", server.ask)
    again = asyncio.create_task(looks.answered("/nas/a"))
    done, _ = await asyncio.wait({again}, timeout=0.05)
    assert not done
    server.answers.set()
    await again
    assert await looks.run("/nas/a", lambda: 7) == 7
    await looks.close()


async def test_what_takes_long_on_a_mount_that_answers_is_waited_for(server: Server) -> None:
    touched: list[str] = []

    def touch(path: str) -> None:
        touched.append(path)
        if len(touched) == 3:
            server.answers.set()

    looks = SourceLooks(0.05, mount_of=first_folder, touch=touch)
    assert await looks.run("/nas/a", lambda: server.ask() or 7) == 7
    # It may be asked once more before the look, which goes on at the third time, has come to its end.
    assert touched == ["/nas/a"] * max(3, len(touched))
    await looks.close()


async def test_what_must_not_be_left_behind_is_waited_for(server: Server) -> None:
    looks = SourceLooks(0.05, mount_of=first_folder, touch=server.ask)
    holding = asyncio.create_task(looks.run("/nas/a", server.ask, group="import-0001"))
    done, _ = await asyncio.wait({holding}, timeout=0.3)
    assert not done
    ended = asyncio.create_task(looks.finish("import-0001"))
    done, _ = await asyncio.wait({ended}, timeout=0.05)
    assert not done
    server.answers.set()
    await ended
    await holding
    await looks.close()


async def test_the_news_of_a_failure_do_not_say_that_all_is_there_while_nobody_can_tell(server: Server) -> None:
    looks = SourceLooks(0.05, mount_of=first_folder, touch=server.ask)
    with pytest.raises(SourceSilent):
        await looks.run("/nas/plate", server.ask)
    accepted = Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ImportOrder(path="/nas/plate"))
    hold = Hold(import_id="import-0001", source="/nas/plate", staging="/nas/held/import-0001")
    book = ImportBook([accepted, Held(import_id="import-0001", at_unix_s=2.0, hold=hold, source_device=Device())])
    news = ImportNews(cast(ImportMeans, SimpleNamespace(book=book, looks=looks)))
    told = await news._only_copy(book.lives["import-0001"].status())
    assert told == "It cannot be told now whether files of it lie anywhere but in /nas/held/import-0001"
    server.answers.set()
    await looks.close()


class PlacesOnServer(ImportPlaces):
    """Places of which those below one folder lie on a server; what is asked of it waits for its answer."""

    def __init__(self, data: Path, settings: ImportSettings, server: Server, mount: Path) -> None:
        super().__init__(data, settings)
        self._server = server
        self._mount = mount
        self.asked_at_intake = False
        self.readers: Server | None = None

    def looks(self, *, patient: bool = True) -> SourceLooks:
        # The folder stands for a mount, which takes rights that a test has not.
        return SourceLooks(self._settings.silent_s, patient=patient, mount_of=self._mount_of, touch=self._touch)

    def _touch(self, path: str) -> None:
        if self._mount_of(path) == str(self._mount):
            self._server.ask()

    def _mount_of(self, path: str) -> str:
        return str(self._mount) if Path(path).is_relative_to(self._mount) else "/"

    def check(self, order: ImportOrder, *others: Any) -> None:
        if self.asked_at_intake and Path(order.path).is_relative_to(self._mount):
            self._server.ask()
        super().check(order, *others)

    def check_files(self, owner: str, root: Path, *others: Any, **more: Any) -> None:
        if root.is_relative_to(self._mount):
            self._server.ask()
        super().check_files(owner, root, *others, **more)

    def paced(self, reader: SourceReader, source: Path | None, *others: Any, **more: Any) -> SourceReader:
        if self.readers is not None and source is not None and source.is_relative_to(self._mount):
            self.readers.ask()
        return super().paced(reader, source, *others, **more)


class Lab:
    """A mesh that imports from its own disk and from a server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.settings = ImportSettings(settle_s=0.01, first_retry_s=0.01, settling_at_once=4, silent_s=0.2)
        self.server = server
        self.mount = folder / "nas"
        self.plate = folder / "plate"
        for source in (self.mount / "plate", self.plate):
            write_plate(source, Recipe(name=source.parent.name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
        self.places = PlacesOnServer(folder / "data", self.settings, server, self.mount)
        self.repository = LocalRepository(folder / "data")
        self.journal = folder / "journal"
        self.node = Node("hub")
        self.imports = self.node.find("imports")

    async def start(self) -> None:
        await self.node.start_actor("metadata", lambda: MetadataCache(self.repository))
        await self.node.start_actor("inspector", Inspector)
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.journal, self.settings, places=self.places)
        )

    async def submit(self, path: Path, key: str) -> str:
        found: str = await self.imports.ask(SubmitImport(order=ImportOrder(path=str(path), forced=True), key=key))
        return found

    async def until(self, import_id: str, *, state: str = "", reason: str = "\0") -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state != state and reason not in status.reason:
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status

    async def until_phase(self, import_id: str, phase: str) -> None:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.phase != phase:
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))


@pytest.fixture
async def lab(tmp_path: Path, server: Server) -> AsyncIterator[Lab]:
    found = Lab(tmp_path, server)
    await found.start()
    yield found
    server.answers.set()
    await found.life.stop()
    await found.life.wait()
    await found.node.close()
    found.repository.close()


async def test_imports_of_a_silent_server_wait_and_say_so_and_all_others_go_on(lab: Lab) -> None:
    waiting = [await lab.submit(lab.mount / "plate", f"nas{n}") for n in range(12)]
    other = await lab.submit(lab.plate, "other")
    assert (await lab.until(other, state="done")).state == "done"
    for import_id in waiting:
        status = await lab.until(import_id, reason="has not answered for")
        assert str(lab.mount / "plate") in status.reason
    cancelled = await lab.imports.ask(CancelImport(import_id=waiting[-1]))
    assert cancelled.state == "cancelled"
    lab.server.answers.set()
    for import_id in waiting[:-1]:
        assert (await lab.until(import_id, state="done")).state == "done"


async def test_a_server_that_is_silent_once_all_is_certified_keeps_no_import_from_its_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.server.answers.set()
    annotate = lab.repository.annotate

    def annotate_last(*words: Any, **options: Any) -> Any:
        lab.server.answers.clear()
        return annotate(*words, **options)

    monkeypatch.setattr(lab.repository, "annotate", annotate_last)
    import_id = await lab.submit(lab.mount / "plate", "nas")
    status = await lab.until(import_id, state="done")
    assert status.held.startswith(("hard link", "reflink"))
    held = [path for path in (lab.mount.parent / "data").rglob(import_id) if HELD_FOLDER in path.parts]
    assert held
    lab.server.answers.set()
    await eventually(lambda: not any(path.exists() for path in held), what="the links to go")


async def test_who_hands_over_from_a_silent_server_is_told_and_keeps_nobody_waiting(lab: Lab) -> None:
    lab.places.asked_at_intake = True
    refused = [asyncio.create_task(lab.submit(lab.mount / "plate", f"nas{n}")) for n in range(12)]
    other = await lab.submit(lab.plate, "other")
    for one in refused:
        with pytest.raises(AskFailed, match="has not answered for") as told:
            await one
        assert told.value.failure.kind == SourceSilent.__name__
    assert (await lab.until(other, state="done")).state == "done"


async def test_an_import_whose_disk_hangs_while_it_is_read_can_be_cancelled_and_keeps_no_place(lab: Lab) -> None:
    lab.server.answers.set()
    lab.places.readers = hung = Server()
    try:
        waiting = [await lab.submit(lab.mount / "plate", f"nas{n}") for n in range(lab.settings.copying_at_once)]
        for import_id in waiting:
            await lab.until_phase(import_id, "transferring")
        await eventually(lambda: hung.n_waiting == len(waiting), what="the readers that hang")
        for import_id in waiting:
            async with asyncio.timeout(20):
                assert (await lab.imports.ask(CancelImport(import_id=import_id))).state == "cancelled"
        with pytest.raises(AskFailed, match=r"does not answer, at which import .* is still at work"):
            await lab.imports.ask(ForgetImport(import_id=waiting[0]))
        other = await lab.submit(lab.plate, "other")
        assert (await lab.until(other, state="done")).state == "done"
        assert list(lab.places.data.glob(f".hcs-mesh-held/*/{waiting[0]}"))
    finally:
        hung.answers.set()
    for import_id in waiting:
        await eventually(
            lambda name=import_id: not list(lab.places.data.glob(f".hcs-mesh-held/*/{name}")),  # type: ignore[misc]
            what="what it held to be let go of",
        )
    await lab.imports.ask(ForgetImport(import_id=waiting[0]))


async def test_a_mesh_ends_although_a_server_is_silent(lab: Lab) -> None:
    import_id = await lab.submit(lab.mount / "plate", "nas")
    await lab.until(import_id, reason="has not answered for")
    await lab.life.stop()
    async with asyncio.timeout(20):
        await lab.life.wait()


def test_a_mount_is_told_without_asking_it(tmp_path: Path) -> None:
    assert mount_above("/proc/self/status") == "/proc"
    link = tmp_path / "link"
    link.symlink_to("/proc/self")
    assert mount_above(str(link / "status")) == "/proc"
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with suppress(OSError):
        assert mount_above(str(circle / "x"))
    assert mount_above(str(tmp_path / "gone")) == mount_above(str(tmp_path))
