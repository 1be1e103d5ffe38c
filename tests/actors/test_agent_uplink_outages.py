"""What an agent says of a mesh that does not take its folders: once, and when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zmq
from waiting import eventually

from hcs_mesh.actors.agents.uplink import AgentUplink
from hcs_mesh.messages.agents import AgentBeat, AgentOffer, AgentTerms, OfferFolders
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Dialer, KeyRing, Principal, ServerKey, ipc_endpoint, new_pair, tcp_endpoint

pytestmark = pytest.mark.anyio


class Desk(Actor[OfferFolders | AgentBeat]):
    """Takes whatever it is offered."""

    async def receive(self, message: OfferFolders | AgentBeat) -> AgentTerms | bool:
        return AgentTerms(name="scope", beat_s=0.05) if isinstance(message, OfferFolders) else True


async def test_an_agent_whose_node_dials_nobody_any_more_is_no_fault() -> None:
    closing, agent = Node("closing"), Node("agent")
    await closing.close()
    pair, endpoint = new_pair(), tcp_endpoint("127.0.0.1", 1)
    n_dialled = 0

    def dial() -> Dialer:
        nonlocal n_dialled
        n_dialled += 1
        return closing.dial(endpoint, pair, ServerKey(public=pair.public))

    uplink = await agent.start_actor("uplink", lambda: AgentUplink(dial, AgentOffer(folders=()), ""))
    await eventually(lambda: n_dialled >= 2, within_s=60.0, what="another attempt")
    assert "dials nobody any more" in str(uplink.statistics()["state"])
    await uplink.kill()
    assert (await uplink.wait()).reason == "killed"
    await agent.close()


async def test_an_outage_is_told_once_and_its_end_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(tmp_path, "front")
    ring = KeyRing(tmp_path / "keys")
    ring.allow(Principal(name="scope", role="agent"), pair.public)
    hub, agent, context = Node("hub"), Node("agent"), zmq.Context[Any]()
    hub.listen_front(endpoint, server, ring)
    n_dialled = 0

    def dial() -> Dialer:
        nonlocal n_dialled
        n_dialled += 1
        known = ServerKey(public=server.public)
        return Dialer(context, endpoint, lambda link, envelope: None, name="agent", key=pair, server=known)

    def told(event: str) -> int:
        return sum(record.getMessage() == event for record in caplog.records)

    # Nobody at the desk: each attempt ends with a hint.
    uplink = await agent.start_actor("uplink", lambda: AgentUplink(dial, AgentOffer(folders=()), ""))
    for n_outages in (1, 2):
        n_before = n_dialled
        await eventually(lambda n=n_before: n_dialled >= n + 4, within_s=60.0, what="four attempts")  # type: ignore[misc]
        assert told("the mesh does not take these folders") == n_outages
        assert told("the mesh takes these folders again") == n_outages - 1
        desk = await hub.start_actor("agents", Desk)
        await eventually(lambda n=n_outages: told("the mesh takes these folders again") == n, within_s=60.0)  # type: ignore[misc]
        await desk.stop()
        await desk.wait()
        hub.remove_actor("agents")
    await uplink.kill()
    await uplink.wait()
    context.destroy(linger=0)
    await agent.close()
    await hub.close()
