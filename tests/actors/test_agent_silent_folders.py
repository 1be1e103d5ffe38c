"""A workstation one of whose folders does not answer: its imports wait and say so, and those of the others go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.agents import served_source
from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.served_file import ServedFile
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.agents.uplink import AgentUplink
from hcs_mesh.actors.errors import SourceSilent
from hcs_mesh.actors.imports import agent_source, looks
from hcs_mesh.actors.imports.looks import AT_ONCE
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent, ServingAgents
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.config import ImportSettings, InspectorSettings
from hcs_mesh.messages.agents import AgentOffer, Chunk, FindChanged, LookAtSource, OpenFile, ReadChunk, ScanFolder
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.messages.metadata import ListPlates
from hcs_mesh.plates.holding import Hold
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio

FOLDER_NAMES = ("nas", "own")


class Server:
    """What is behind one folder: whoever looks at anything in it waits until it answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.answers = threading.Event()
        self.n_waiting = 0

    def ask(self, path: str | Path) -> None:
        if str(path).startswith(self._folder) and not self.answers.is_set():
            self.n_waiting += 1
            self.answers.wait()
            self.n_waiting -= 1


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server(tmp_path / "nas")
    resolve, touch = ServedFolders.resolve, looks._touch

    def resolve_slowly(folders: ServedFolders, named: str) -> Path:
        found.ask(folders.path_of(named))
        return resolve(folders, named)

    def touch_slowly(path: str) -> None:
        found.ask(path)
        touch(path)

    read, changed = ServedFile.read, served_source.changed_since_held

    def look_slowly(held: Hold, *words: Any) -> tuple[str, ...]:
        found.ask(held.source)
        return changed(held, *words)

    def read_slowly(file: ServedFile, offset: int, n_bytes: int) -> Chunk:
        found.ask(file.root)
        return read(file, offset, n_bytes)

    monkeypatch.setattr(ServedFile, "read", read_slowly)
    monkeypatch.setattr(served_source, "changed_since_held", look_slowly)
    # The folder stands for a mount, which takes rights that a test has not; what is asked of it begins with these.
    monkeypatch.setattr(ServedFolders, "resolve", resolve_slowly)
    monkeypatch.setattr(looks, "_touch", touch_slowly)
    yield found
    found.answers.set()


@pytest.fixture
def served(tmp_path: Path) -> ServedSource:
    for name in FOLDER_NAMES:
        write_plate(tmp_path / name / "plate", Recipe(name=name, n_rows=1, n_columns=1, n_fields=1, size_px=64))
    folders = [ServedFolder(name=name, path=str(tmp_path / name)) for name in FOLDER_NAMES]
    return ServedSource(ServedFolders(folders), tmp_path / "agent")


def agent_of(served: ServedSource, *, silent_s: float = 0.2) -> FolderAgent:
    return FolderAgent(served, inspector=InspectorSettings(), end_inspector=lambda why: None, silent_s=silent_s)


class Lab:
    """A mesh, and a workstation that serves it one folder that answers and one that does not."""

    def __init__(self, folder: Path, served: ServedSource) -> None:
        self._folder, self._served = folder, served
        self._hub, self._workstation = Node("hub"), Node("workstation")
        self._agents = ServingAgents()
        self._repository = LocalRepository(folder / "mesh")
        self._register = self._repository.register
        self._lives: list[Any] = []
        self.imports, self.metadata = self._hub.find("imports"), self._hub.find("metadata")

    async def start(self) -> None:
        server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(self._folder, "front")
        ring = KeyRing(self._folder / "keys")
        ring.allow(Principal(name="scope", role="agent"), pair.public)
        self._agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()))
        self._hub.listen_front(endpoint, server, ring)
        settings = ImportSettings(settle_s=0.01, first_retry_s=0.01, settling_at_once=8, certify_same_disk=True)
        data, journal = self._folder / "mesh", self._folder / "journal"
        places = ImportPlaces(data, settings, agents=self._agents)
        prover = LocalProver(self._repository, data, data / "keys", settings)

        def dial() -> Dialer:
            return self._workstation.dial(endpoint, pair, ServerKey(public=server.public))

        for name, actor in (
            ("metadata", lambda: MetadataCache(self._repository)),
            ("inspector", Inspector),
            ("imports", lambda: ImportProxy(self._repository, journal, settings, places=places, prover=prover)),
            ("agents", lambda: AgentDesk(self._agents, hang_up=self._hub.hang_up)),
        ):
            self._lives.append(await self._hub.start_actor(name, actor))
        self._of_workstation = (
            ("inspector", Inspector),
            (FOLDERS, lambda: agent_of(self._served)),
            ("uplink", lambda: AgentUplink(dial, AgentOffer(folders=()), "")),
        )

    async def workstation_comes(self) -> None:
        for name, actor in self._of_workstation:
            self._lives.append(await self._workstation.start_actor(name, actor))

    async def submit(self, path: str, key: str) -> str:
        order = ImportOrder(path=path, agent="scope", forced=True)
        found: str = await self.imports.ask(SubmitImport(order=order, key=key))
        return found

    async def until(self, import_id: str, *, state: str = "", reason: str = "\0") -> ImportStatus:
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state != state and reason not in status.reason:
            assert status.state in ("running", "waiting"), status
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status

    def once_it_is_proven(self, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any]) -> None:
        """Have something happen between the proof and the plates."""

        def register_late(*words: Any, **options: Any) -> Any:
            change()
            return self._register(*words, **options)

        monkeypatch.setattr(self._repository, "register", register_late)

    async def stop(self) -> None:
        for life in reversed(self._lives):
            await life.stop()
            await life.wait()
        await self._workstation.close()
        await self._hub.close()
        self._repository.close()


@pytest.fixture
async def lab(
    tmp_path: Path, served: ServedSource, server: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lab]:
    monkeypatch.setattr(agent_source, "AGAIN_S", 0.05)
    found = Lab(tmp_path, served)
    await found.start()
    yield found
    server.answers.set()
    await found.stop()


async def test_imports_from_a_silent_folder_wait_and_say_so_and_those_from_another_go_on(
    lab: Lab, server: Server
) -> None:
    waiting = [await lab.submit("nas/plate", f"nas{n}") for n in range(AT_ONCE + 1)]
    other = await lab.submit("own/plate", "own")
    await lab.workstation_comes()
    for import_id in waiting:
        status = await lab.until(import_id, reason="has not answered for")
        assert "nas/plate" in status.reason
    assert (await lab.until(other, state="done")).state == "done"
    assert server.n_waiting
    server.answers.set()
    for import_id in waiting:
        assert (await lab.until(import_id, state="done")).state == "done"


async def test_plates_are_listed_and_an_import_says_so_while_its_folder_is_silent_at_the_last_look(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers.set()
    assert await lab.metadata.ask(ListPlates()) == ()
    lab.once_it_is_proven(monkeypatch, server.answers.clear)
    await lab.workstation_comes()
    import_id = await lab.submit("nas/plate", "nas")
    status = await lab.until(import_id, reason="has not answered for")
    assert (status.state, status.phase) == ("waiting", "annotating")
    assert len(await lab.metadata.ask(ListPlates())) == 1
    server.answers.set()
    status = await lab.until(import_id, state="done")
    assert status.certificate, status.certificate_note


async def test_a_last_look_that_takes_longer_than_it_is_waited_for_is_joined_and_fails_nothing(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_source, "READ_AGAIN_S", 0.5)
    server.answers.set()
    look, receive, ends, n_looks, n_asked = ServedSource.changed, FolderAgent.receive, threading.Event(), 0, 0

    def look_long(source: ServedSource, *words: Any, **named: Any) -> tuple[str, ...]:
        nonlocal n_looks
        n_looks += 1
        ends.wait()
        return look(source, *words, **named)

    async def count(agent: FolderAgent, message: Any) -> Any:
        nonlocal n_asked
        n_asked += isinstance(message, FindChanged)
        return await receive(agent, message)

    monkeypatch.setattr(ServedSource, "changed", look_long)
    monkeypatch.setattr(FolderAgent, "receive", count)
    await lab.workstation_comes()
    import_id = await lab.submit("own/plate", "own")
    try:
        status = await lab.until(import_id, reason="no answer in time")
        assert (status.state, status.phase, status.attempts) == ("waiting", "annotating", 0)
        await eventually(lambda: n_asked > 2, within_s=20.0, what="the asks after the first")
        assert n_looks == 1
    finally:
        ends.set()
    status = await lab.until(import_id, state="done")
    assert status.certificate, status.certificate_note


async def test_a_silent_folder_keeps_a_bounded_number_of_threads_and_an_agent_ends_all_the_same(
    served: ServedSource, server: Server
) -> None:
    node = Node("workstation")
    life = await node.start_actor(FOLDERS, lambda: agent_of(served))
    agent = node.find(FOLDERS)

    async def other_answers() -> str:
        try:
            found: str = await agent.ask(LookAtSource(path="own/plate"), timeout_s=20.0)
        except AskFailed as told:
            # On a busy computer it may be late as well, and is there again once it is asked anew.
            if told.failure.kind != SourceSilent.__name__:
                raise
            return ""
        return found

    for path in ("nas/plate", str(Path(served.folders.folders[0].path, "plate"))):
        for _ in range(AT_ONCE + 1):
            with pytest.raises(AskFailed, match="has not answered for") as told:
                await agent.ask(ScanFolder(path=path), timeout_s=20.0)
            assert told.value.failure.kind == SourceSilent.__name__
            await eventually(other_answers, 20.0, "an answer of the other folder")
    assert 0 < server.n_waiting <= AT_ONCE + 1
    await life.stop()
    await life.wait()
    await node.close()


async def test_reads_that_hang_in_one_folder_stop_none_of_another(served: ServedSource, server: Server) -> None:
    node = Node("workstation")
    # Nothing is silent here: a look that is late on a busy computer must not be told to be.
    life = await node.start_actor(FOLDERS, lambda: agent_of(served, silent_s=20.0))
    agent = node.find(FOLDERS)
    server.answers.set()
    roots = {one.name: str(Path(one.path, "plate")) for one in served.folders.folders}
    paths = {name: served.scan(f"{name}/plate").files[0].path for name in FOLDER_NAMES}

    async def opened(name: str) -> int:
        question = OpenFile(import_id="import-0001", root=roots[name], path=paths[name])
        return (await agent.ask(question, timeout_s=20.0)).handle

    handles = [await opened("nas") for _ in range(2 * AT_ONCE)]
    server.answers.clear()
    reads = [
        asyncio.ensure_future(agent.ask(ReadChunk(handle=one, offset=0, n_bytes=100), timeout_s=60.0))
        for one in handles
    ]
    try:
        await eventually(lambda: server.n_waiting == AT_ONCE, within_s=20.0, what="the reads that hang")
        chunk = await agent.ask(ReadChunk(handle=await opened("own"), offset=0, n_bytes=100), timeout_s=20.0)
        assert len(chunk.data) == 100
        assert server.n_waiting == AT_ONCE
    finally:
        server.answers.set()
        assert {len((await one).data) for one in reads} == {100}
        await life.stop()
        await life.wait()
        await node.close()
