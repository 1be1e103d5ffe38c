"""What is known of a workstation that is away."""

from __future__ import annotations

from hcs_mesh.actors.imports.serving_agents import ServingAgent
from hcs_mesh.messages.agents import AgentOffer


def test_a_workstation_that_left_was_seen_last_when_it_left() -> None:
    agent = ServingAgent("scope", "pc3", AgentOffer(folders=()))
    agent.left("its network is gone", 1_800_000_000.0)
    assert not agent.here
    assert agent.info().seen_at_unix_s == 1_800_000_000.0
