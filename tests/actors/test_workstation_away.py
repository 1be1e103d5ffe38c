"""What is known of a workstation that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted, Record
from hcs_mesh.actors.imports.serving_agents import NoSuchAgent, ServingAgent, ServingAgents
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.agents import AgentOffer
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.transport import AskFailed


def test_a_workstation_that_left_was_seen_last_when_it_left() -> None:
    agent = ServingAgent("scope", "pc3", AgentOffer(folders=()))
    agent.left("its network is gone", 1_800_000_000.0)
    assert not agent.here
    assert agent.info().seen_at_unix_s == 1_800_000_000.0


@pytest.mark.anyio
async def test_an_accepted_import_waits_for_a_workstation_of_which_the_mesh_remembers_nothing(tmp_path: Path) -> None:
    # As a life leaves it that died before it had written down what the workstation offers.
    order = ImportOrder(path="plates/one", agent="scope/left")
    async with await Journal.open(tmp_path / "journal", record_type=Record) as journal:
        await journal.append(Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=order, owner="ada"))
    node, repository, agents = Node("hub"), LocalRepository(tmp_path / "data"), ServingAgents()
    places = ImportPlaces(tmp_path / "data", ImportSettings(), agents=agents)
    life = await node.start_actor(
        "imports", lambda: ImportProxy(repository, tmp_path / "journal", ImportSettings(), places=places)
    )
    imports = node.find("imports")
    status = await imports.ask(GetImport(import_id="import-0001"))
    while "scope/left is away" not in status.reason:
        assert status.state in ("running", "waiting"), status
        status = await imports.ask(AwaitImport(import_id="import-0001", revision=status.revision))
    assert not agents.agents, "it has offered nothing yet"
    with pytest.raises(AskFailed, match="no workstation 'scope/left' has offered folders") as refused:
        await imports.ask(SubmitImport(order=order, key="another"))
    assert refused.value.failure.kind == NoSuchAgent.__name__
    awaited = agents.awaited("scope/left")
    assert agents.met("scope/left", "scope", AgentOffer(folders=(), users=("ida",))) is awaited
    assert (agents.agent("scope/left").key, awaited.offer.users) == ("scope", ("ida",))
    await life.stop()
    await life.wait()
    await node.close()
    repository.close()
