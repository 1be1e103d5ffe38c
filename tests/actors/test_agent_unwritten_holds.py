"""Links on a workstation of which no hold was written down: given up only when somebody says so."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.agents.folder_agent import FolderAgent
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.actors.agents.uplink import AgentUplink
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent, ServingAgents
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings, InspectorSettings
from hcs_mesh.messages.agents import AgentOffer, AskUnwritten
from hcs_mesh.messages.imports import AwaitImport, CancelImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio


class Lab:
    """A mesh, and a workstation that comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.served = folder / "own"
        write_plate(self.served / "plate", Recipe(name="plate", n_rows=1, n_columns=1, n_fields=1, size_px=64))
        self._folder = folder
        self._hub, self._workstation = Node("hub"), Node("workstation")
        self._agents = ServingAgents()
        self._repository = LocalRepository(folder / "mesh")
        self._of_hub: list[Any] = []
        self._of_workstation: list[Any] = []
        self.imports = self._hub.find("imports")
        self.folders = self._workstation.find(FOLDERS)

    async def start(self) -> None:
        server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(self._folder, "front")
        ring = KeyRing(self._folder / "keys")
        ring.allow(Principal(name="scope", role="agent"), pair.public)
        self._agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()))
        self._hub.listen_front(endpoint, server, ring)
        settings = ImportSettings(settle_s=0.01, first_retry_s=0.01, max_attempts=2)
        places = ImportPlaces(self._folder / "mesh", settings, agents=self._agents)
        journal = self._folder / "journal"
        for name, actor in (
            ("imports", lambda: ImportProxy(self._repository, journal, settings, places=places)),
            ("agents", lambda: AgentDesk(self._agents, hang_up=self._hub.hang_up)),
        ):
            self._of_hub.append(await self._hub.start_actor(name, actor))

        def dial() -> Dialer:
            return self._workstation.dial(endpoint, pair, ServerKey(public=server.public))

        folders = ServedFolders([ServedFolder(name="own", path=str(self.served))])
        source = ServedSource(folders, self._folder / "agent")
        self._actors = (
            ("inspector", Inspector),
            (FOLDERS, lambda: FolderAgent(source, inspector=InspectorSettings(), end_inspector=lambda why: None)),
            ("uplink", lambda: AgentUplink(dial, AgentOffer(folders=()), "")),
        )

    def is_there(self) -> bool:
        return self._agents.agents["scope"].here

    async def workstation_comes(self) -> None:
        for name, actor in self._actors:
            self._of_workstation.append(await self._workstation.start_actor(name, actor))
        await eventually(self.is_there, within_s=30.0, what="the workstation")

    async def workstation_goes(self) -> None:
        await _stop(self._of_workstation)
        await eventually(lambda: not self.is_there(), within_s=30.0, what="that the workstation is known to be away")

    async def failed(self) -> str:
        """An import from the workstation, once it has failed for good."""
        order = ImportOrder(path="own/plate", agent="scope")
        import_id: str = await self.imports.ask(SubmitImport(order=order, key="key"))
        status: ImportStatus = await self.imports.ask(GetImport(import_id=import_id))
        while status.state in ("running", "waiting"):
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        assert (status.state, status.phase) == ("failed", "held")
        return import_id

    def files(self) -> list[Path]:
        return [path for path in self.served.glob("plate/**/*") if path.is_file()]

    def links(self) -> list[Path]:
        return [path for path in self.served.glob(".hcs-mesh-held/*/import-*/**/*") if path.is_file()]

    async def stop(self) -> None:
        await _stop(self._of_workstation)
        await _stop(self._of_hub)
        await self._workstation.close()
        await self._hub.close()
        self._repository.close()


async def _stop(lives: list[Any]) -> None:
    while lives:
        life = lives.pop()
        await life.stop()
        await life.wait()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    found = Lab(tmp_path)
    await found.start()
    await found.workstation_comes()
    yield found
    await found.stop()


@pytest.fixture
def one_link(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold that is cut short once it has made one link; what the mesh itself links as it starts is no hold's."""
    link, n_left = os.link, [1]

    def dying(*given: Any, **named: Any) -> None:
        n_left[0] -= 1
        if n_left[0] < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        link(*given, **named)

    monkeypatch.setattr(os, "link", dying)


@pytest.mark.usefixtures("one_link")
async def test_what_a_hold_that_was_cut_short_has_linked_there_is_not_given_up_unasked(lab: Lab) -> None:
    import_id = await lab.failed()
    [linked] = [path for path in lab.files() if path.stat().st_nlink == 2]
    linked.unlink()
    with pytest.raises(AskFailed, match=f"1 of its files are nowhere any more but in .*{import_id} on scope"):
        await lab.imports.ask(CancelImport(import_id=import_id))
    await lab.workstation_goes()
    with pytest.raises(AskFailed, match="nobody can say whether what is held"):
        await lab.imports.ask(CancelImport(import_id=import_id))
    await lab.workstation_comes()
    assert len(lab.links()) == 1
    await lab.imports.ask(CancelImport(import_id=import_id, discard_held=True))
    await eventually(lambda: not lab.links(), within_s=30.0, what="the links to go")


@pytest.mark.usefixtures("one_link")
async def test_what_a_hold_that_was_cut_short_has_linked_there_goes_where_the_source_has_it_too(lab: Lab) -> None:
    import_id = await lab.failed()
    assert len(lab.links()) == 1
    await lab.imports.ask(CancelImport(import_id=import_id))
    await eventually(lambda: not lab.links(), within_s=30.0, what="the links to go")


async def test_a_workstation_counts_links_to_what_it_serves_alone(lab: Lab, tmp_path: Path) -> None:
    for root, import_id in ((str(tmp_path), "import-0001"), (str(lab.served), "../import-0001")):
        with pytest.raises(AskFailed):
            await asyncio.wait_for(lab.folders.ask(AskUnwritten(import_id=import_id, root=root)), 30.0)
