"""What a workstation holds is let go of whenever it is back, also where it came back at that very moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.agents.uplink import AgentUplink
from hcs_mesh.actors.imports.agent_source import AgentSource
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.outline import outline_of
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.actors.imports.serving_agents import FOLDERS, ServingAgent, ServingAgents
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.agents import AgentOffer, ReleaseFiles, SweepHeld
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.holding import Hold, Swept
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Dialer, KeyRing, Link, Principal, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio

HOLD = Hold(import_id="import-0001", source="/served/plate", staging="/served/held/import-0001", files=())


class Wire:
    """A link of which everything that was said is kept, and nothing is answered."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.link = Link("scope", self._write, lambda link, envelope: None)

    def _write(self, frames: Sequence[Any], bulk: bool) -> bool:
        self.said += [bytes(frame) for frame in frames]
        return True


async def test_a_release_goes_to_the_workstation_that_came_back_before_its_last_link_was_known_to_be_lost(
    tmp_path: Path,
) -> None:
    agents, before, now = ServingAgents(), Wire(), Wire()
    agent = agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()), link=before.link)
    accepted = Accepted(
        import_id="import-0001", at_unix_s=1.0, key="k", order=ImportOrder(path="/served/plate", agent="scope")
    )
    repository, life = LocalRepository(tmp_path / "data"), ImportLife(accepted)
    source = AgentSource(
        life,
        agents=agents,
        loop=asyncio.get_running_loop(),
        repository=repository.for_import(outline_of(life)),
        places=ImportPlaces(tmp_path / "data", ImportSettings(), agents=agents),
        algorithm="sha1",
    )
    releasing = asyncio.create_task(source.release(HOLD))
    await eventually(lambda: before.said, what="the question")
    agent.link = now.link
    before.link.lost("the cable was cut")
    await eventually(lambda: now.said, what="the question once more")
    assert not agent.owed
    now.link.lost("the cable was cut")
    await releasing
    assert list(agent.owed) == ["import-0001"], "it is away now, and will be told when it is back"
    repository.close()


class Folders(Actor[SweepHeld | ReleaseFiles]):
    """A workstation; while it is swept, an import of the mesh ends."""

    def __init__(self, agents: ServingAgents) -> None:
        self._agents = agents
        self.released: list[Hold] = []

    async def receive(self, message: SweepHeld | ReleaseFiles) -> Swept | None:
        if isinstance(message, ReleaseFiles):
            self.released.append(message.hold)
            return None
        self._agents.agents["scope"].owed["import-0001"] = HOLD
        return Swept()


async def test_what_a_workstation_comes_to_owe_while_it_comes_back_is_asked_of_it(tmp_path: Path) -> None:
    server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(tmp_path, "front")
    ring = KeyRing(tmp_path / "keys")
    ring.allow(Principal(name="scope", role="agent"), pair.public)
    hub, workstation, agents = Node("hub"), Node("workstation"), ServingAgents()
    agents.imports = ImportBook()
    agents.agents["scope"] = ServingAgent("scope", "scope", AgentOffer(folders=()))
    hub.listen_front(endpoint, server, ring)
    folders = Folders(agents)

    def dial() -> Dialer:
        return workstation.dial(endpoint, pair, ServerKey(public=server.public))

    lives = [
        await hub.start_actor("agents", lambda: AgentDesk(agents, hang_up=hub.hang_up)),
        await workstation.start_actor(FOLDERS, lambda: folders),
        await workstation.start_actor("uplink", lambda: AgentUplink(dial, AgentOffer(folders=()), "")),
    ]
    await eventually(lambda: agents.agents["scope"].here, within_s=30.0, what="the workstation")
    assert folders.released == [HOLD]
    assert not agents.agents["scope"].owed
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await workstation.close()
    await hub.close()
