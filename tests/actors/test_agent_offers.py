"""What agents offer is remembered, and so it has an end: for each of them, and for all of one key."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.agents.desk import MOST_OF_ONE_KEY, AgentDesk
from hcs_mesh.actors.imports.serving_agents import ServingAgents
from hcs_mesh.messages.agents import AgentOffer, OfferFolders
from hcs_mesh.plates.served_folders import ServedFolder
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, KeyRing, PeerRef, Principal, ServerKey, ipc_endpoint, new_pair

pytestmark = pytest.mark.anyio

OFFER = AgentOffer(folders=(ServedFolder(name="own", path="/data/own"),), host="scope", place="/var/agent")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[tuple[PeerRef, ServingAgents]]:
    """The desk of a mesh as somebody with an agent's key reaches it, and whom it remembers."""
    hub, workstation, agents = Node("hub"), Node("workstation"), ServingAgents()
    server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(tmp_path, "front")
    ring = KeyRing(tmp_path / "keys")
    ring.allow(Principal(name="scope", role="agent"), pair.public)
    hub.listen_front(endpoint, server, ring)
    life: Any = await hub.start_actor("agents", lambda: AgentDesk(agents, hang_up=hub.hang_up))
    yield PeerRef(workstation.dial(endpoint, pair, ServerKey(public=server.public)).link, "agents"), agents
    await life.stop()
    await life.wait()
    await workstation.close()
    await hub.close()


@pytest.mark.parametrize(
    "offer",
    [
        AgentOffer(folders=(), host="x" * 300_000),
        AgentOffer(folders=(), users=("anna",) * 60_000),
        AgentOffer(folders=(ServedFolder(name="own", path="/data/own"),) * 20_000),
    ],
    ids=["host", "users", "folders"],
)
async def test_an_offer_without_end_is_refused(desk: tuple[PeerRef, ServingAgents], offer: AgentOffer) -> None:
    there, agents = desk
    with pytest.raises(AskFailed, match="no more than 262144 are kept"):
        await there.ask(OfferFolders(offer=offer), timeout_s=30.0)
    assert not agents.agents
    assert (await there.ask(OfferFolders(offer=OFFER), timeout_s=30.0)).name == "scope"
    assert agents.agents["scope"].offer == OFFER


async def test_one_key_has_a_hundred_agents_and_no_more(desk: tuple[PeerRef, ServingAgents]) -> None:
    there, agents = desk
    for number in range(MOST_OF_ONE_KEY):
        agents.met(f"scope/{number}", "scope", OFFER)
    agents.met("other", "other", OFFER)
    with pytest.raises(AskFailed, match=f"scope has {MOST_OF_ONE_KEY} workstations here already"):
        await there.ask(OfferFolders(offer=OFFER, label="further"), timeout_s=30.0)
    # Whoever is remembered may come back.
    assert (await there.ask(OfferFolders(offer=OFFER, label="7"), timeout_s=30.0)).name == "scope/7"
