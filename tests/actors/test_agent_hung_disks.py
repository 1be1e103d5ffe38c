"""A workstation one of whose disks does not answer: it is there all the same, with its other folders."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.agents import desk, served_source
from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.agents.uplink import AgentUplink
from hcs_mesh.actors.imports.agent_source import AgentSource
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.outline import outline_of
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent, ServingAgents
from hcs_mesh.config import ImportSettings, InspectorSettings
from hcs_mesh.messages.agents import AgentOffer, HoldFiles, LookAtSource, ReleaseFiles, SweepHeld
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.holding import Hold, Swept, staging_of
from hcs_mesh.plates.holding.private_folder import OpenFolder
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.plates.source_names import HELD_FOLDER
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Actor, Deferred, Node
from hcs_mesh.transport import AskTimedOut, Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair

HOLD = Hold(import_id="import-0001", source="/served/plate", staging="/served/held/import-0001", files=())
OVER = ("import-0001", "import-0002")
N_THREADS = 4
"""Of an agent, for all that it is asked."""


class Silent(Actor[SweepHeld | ReleaseFiles | HoldFiles]):
    """A workstation whose disk lets go of nothing."""

    async def receive(self, message: SweepHeld | ReleaseFiles | HoldFiles) -> Hold | Deferred[Any]:
        return HOLD if isinstance(message, HoldFiles) else self.defer_wait(asyncio.Event().wait())


def source_of(agents: ServingAgents, repository: LocalRepository, folder: Path) -> AgentSource:
    """The source of an import from a workstation."""
    order = ImportOrder(path="/served/plate", agent="scope")
    life = ImportLife(Accepted(import_id=HOLD.import_id, at_unix_s=1.0, key="k", order=order))
    return AgentSource(
        life,
        agents=agents,
        loop=asyncio.get_running_loop(),
        repository=repository.for_import(outline_of(life)),
        places=ImportPlaces(folder, ImportSettings(), agents=agents),
        algorithm="sha1",
    )


@pytest.mark.anyio
async def test_a_workstation_is_there_though_one_of_its_disks_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "RELEASE_S", 0.3)
    server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(tmp_path, "front")
    ring = KeyRing(tmp_path / "keys")
    ring.allow(Principal(name="scope", role="agent"), pair.public)
    hub, workstation, agents = Node("hub"), Node("workstation"), ServingAgents()
    agents.imports = ImportBook()
    agent = agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()))
    agent.owed["import-0001"] = HOLD
    hub.listen_front(endpoint, server, ring)

    def dial() -> Dialer:
        return workstation.dial(endpoint, pair, ServerKey(public=server.public))

    lives = [
        await hub.start_actor("agents", lambda: AgentDesk(agents, hang_up=hub.hang_up)),
        await workstation.start_actor(FOLDERS, Silent),
        await workstation.start_actor("uplink", lambda: AgentUplink(dial, AgentOffer(folders=()), "")),
    ]
    await eventually(lambda: agent.here, within_s=20.0, what="the workstation")
    assert agent.owed == {"import-0001": HOLD}, "it is asked again when it comes anew"
    write_plate(tmp_path / "plate", Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    # The import was taken up again: what it holds now must not go when the workstation comes anew.
    repository = LocalRepository(tmp_path / "mesh")
    assert await source_of(agents, repository, tmp_path / "mesh").hold((), plan(tmp_path / "plate"), print) == HOLD
    assert not agent.owed
    repository.close()
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await workstation.close()
    await hub.close()


class Disk:
    """The disk of one home, which does not answer whoever sweeps there until it does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.n_waiting = 0
        self._sweep = served_source.sweep

    def sweep(self, staging: Path, over_ids: Collection[str], **how: Any) -> Swept:
        if staging == self.home:
            self.n_waiting += 1
            self.asked.set()
            self.answers.wait()
            self.n_waiting -= 1
        return self._sweep(staging, over_ids, **how)


@pytest.fixture
def served(tmp_path: Path) -> ServedSource:
    for name in ("nas", "own"):
        (tmp_path / name / "plate").mkdir(parents=True)
        (tmp_path / name / "plate" / "index.xml").write_bytes(b"plate" * 1000)
    folders = [ServedFolder(name=name, path=str(tmp_path / name)) for name in ("nas", "own")]
    return ServedSource(ServedFolders(folders), tmp_path / "data")


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    found = Disk(staging_of(tmp_path / "data", tmp_path / "nas" / HELD_FOLDER))
    monkeypatch.setattr(served_source, "sweep", found.sweep)
    yield found
    found.answers.set()


def hold(served: ServedSource, import_id: str, name: str) -> Hold:
    found = served.hold(import_id, f"{name}/plate", served.scan(f"{name}/plate").files)
    assert found.staging
    return found


def is_held(held: Hold) -> bool:
    return Path(held.staging).exists()


@pytest.mark.anyio
async def test_a_disk_that_hangs_keeps_one_thread_and_none_that_others_need(served: ServedSource, nas: Disk) -> None:
    over = hold(served, "import-0001", "own")
    node = Node("workstation")
    life = await node.start_actor(
        FOLDERS, lambda: FolderAgent(served, inspector=InspectorSettings(), end_inspector=lambda why: None)
    )
    agent = node.find(FOLDERS)
    try:
        with pytest.raises(AskTimedOut):
            await agent.ask(SweepHeld(over=OVER), timeout_s=1.0)
        await eventually(lambda: not is_held(over), within_s=20.0, what="the sweep of the other disk")
        later = hold(served, "import-0002", "own")

        async def swept() -> bool:
            await agent.ask(SweepHeld(over=OVER), timeout_s=20.0)
            return not is_held(later)

        await eventually(swept, within_s=20.0, what="another sweep of the other disk")
        # As whenever its uplink offers its folders again.
        for _ in range(N_THREADS):
            assert await agent.ask(SweepHeld(over=OVER), timeout_s=20.0) == Swept()
        assert nas.n_waiting == 1
        assert await agent.ask(LookAtSource(path="own/plate"), timeout_s=20.0)
    finally:
        nas.answers.set()
        await life.stop()
        await life.wait()
        await node.close()


def test_a_sweep_that_was_held_up_keeps_what_was_held_meanwhile(served: ServedSource, nas: Disk) -> None:
    over = hold(served, "import-0001", "nas")
    with ThreadPoolExecutor() as threads:
        # Of a list from before the other import, which was cancelled, was taken up again.
        sweeping = threads.submit(served.sweep, nas.home, OVER)
        try:
            assert nas.asked.wait(20.0)
            held = hold(served, "import-0002", "nas")
        finally:
            nas.answers.set()
        assert sweeping.result(timeout=20.0) == Swept(("import-0001",))
    assert (is_held(over), is_held(held)) == (False, True)


def test_nothing_is_held_for_an_import_while_its_links_are_taken_away(
    served: ServedSource, nas: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(served, "import-0001", "nas")
    removing, goes_on, remove = threading.Event(), threading.Event(), OpenFolder.remove

    def remove_slowly(folder: OpenFolder, name: str) -> None:
        removing.set()
        goes_on.wait()
        remove(folder, name)

    monkeypatch.setattr(OpenFolder, "remove", remove_slowly)
    nas.answers.set()
    with ThreadPoolExecutor() as threads:
        sweeping = threads.submit(served.sweep, nas.home, OVER)
        try:
            assert removing.wait(20.0)
            # Taken up again.
            holding = threads.submit(hold, served, "import-0001", "nas")
            # It must not come to its end; one that did would find the links that are going.
            wait([holding], timeout=0.5)
        finally:
            goes_on.set()
        assert sweeping.result(timeout=20.0) == Swept(("import-0001",))
        held = holding.result(timeout=20.0)
    assert all(Path(held.path_of(file)).exists() for file in held.files)
