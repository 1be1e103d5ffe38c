"""Agents under one name: the workstation that has it keeps it as long as anything waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from waiting import eventually

from hcs_mesh.actors.agents.desk import AgentDesk, AgentThere, ImportsUnread
from hcs_mesh.actors.agents.uplink import AgentUplink, Standing
from hcs_mesh.actors.imports.agent_line import AgentLine
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.records import Accepted, Cancelled, Failed, Finished, Forgotten, Record
from hcs_mesh.actors.imports.serving_agents import FOLDERS, AgentAway, ServingAgent, ServingAgents
from hcs_mesh.messages.agents import (
    AgentBeat,
    AgentOffer,
    AgentTerms,
    LookAtSource,
    OfferFolders,
    ReleaseFiles,
    SweepHeld,
)
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.holding import Hold, Swept
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    AskFailed,
    Dialer,
    KeyRing,
    Link,
    PeerRef,
    Principal,
    ServerKey,
    ipc_endpoint,
    new_pair,
)

pytestmark = pytest.mark.anyio

FIRST = AgentOffer(folders=(), host="pc1", place="/var/agent")
OTHER = AgentOffer(folders=(), host="pc2", place="/var/agent")
ORDER = ImportOrder(path="plates/run7", agent="scope")
ACCEPTED = Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ORDER, workstation=FIRST.workstation)
FAILED = Failed(import_id="import-0001", at_unix_s=2.0, reason="no room")
FINISHED = Finished(import_id="import-0001", at_unix_s=2.0, plate_ids=())
CANCELLED = Cancelled(import_id="import-0001", at_unix_s=3.0)
FORGOTTEN = Forgotten(import_id="import-0001", at_unix_s=3.0)
HOLD = Hold(import_id="import-0001", source="/served/plate", staging="/served/held/import-0001", files=())


class Folders(Actor[SweepHeld | ReleaseFiles]):
    """A workstation, which sweeps once it may."""

    def __init__(self, swept: asyncio.Event, asked: list[str]) -> None:
        self._swept = swept
        self._asked = asked

    async def receive(self, message: SweepHeld | ReleaseFiles) -> Swept | None:
        self._asked.append(type(message).__name__)
        if isinstance(message, ReleaseFiles):
            return None
        await self._swept.wait()
        return Swept()


class Desk:
    """The desk of a mesh, and workstations that reach it with one key."""

    def __init__(self, folder: Path) -> None:
        self.agents = ServingAgents(folder / "agents.json")
        self.may_sweep = asyncio.Event()
        self.may_sweep.set()
        self.asked: list[str] = []
        self.hub = Node("hub")
        self._endpoint = ipc_endpoint(folder, "front")
        self._server, self._pair = new_pair(), new_pair()
        self._nodes: list[Node] = []
        self._lives: list[Any] = []
        ring = KeyRing(folder / "keys")
        ring.allow(Principal(name="scope", role="agent"), self._pair.public)
        self.hub.listen_front(self._endpoint, self._server, ring)

    async def start(self) -> None:
        self._lives.append(
            await self.hub.start_actor("agents", lambda: AgentDesk(self.agents, hang_up=self.hub.hang_up))
        )

    def began(self, *records: Record) -> None:
        self.agents.imports = ImportBook(records)

    async def workstation(self, name: str) -> PeerRef:
        node = Node(name)
        self._nodes.append(node)
        self._lives.append(await node.start_actor(FOLDERS, lambda: Folders(self.may_sweep, self.asked)))
        link = node.dial(self._endpoint, self._pair, ServerKey(public=self._server.public)).link
        return PeerRef(link, "agents")

    async def offered(self, offer: AgentOffer) -> str:
        """What becomes of an offer by a workstation that comes with it: nothing, or the kind of its refusal."""
        return await offered(await self.workstation(offer.host), offer)

    async def close(self) -> None:
        for life in reversed(self._lives):
            await life.stop()
            await life.wait()
        for node in (*self._nodes, self.hub):
            await node.close()


async def offered(there: PeerRef, offer: AgentOffer, *, trial: bool = False) -> str:
    try:
        await there.ask(OfferFolders(offer=offer, trial=trial), timeout_s=30.0)
    except AskFailed as refusal:
        return refusal.failure.kind
    return ""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    await made.start()
    yield made
    await made.close()


async def test_of_two_that_offer_at_the_same_moment_one_has_the_name(desk: Desk) -> None:
    desk.began()
    desk.may_sweep.clear()
    there = {offer.host: await desk.workstation(offer.host) for offer in (FIRST, OTHER)}
    asked = {offer.host: asyncio.create_task(offered(there[offer.host], offer)) for offer in (FIRST, OTHER)}
    await eventually(lambda: desk.asked == ["SweepHeld"] * 2, within_s=30.0, what="the middle of both offers")
    desk.may_sweep.set()
    answers = {host: await answer for host, answer in asked.items()}
    assert sorted(answers.values()) == ["", AgentThere.__name__]
    agent = desk.agents.agents["scope"]
    assert agent.here
    assert answers[agent.offer.host] == "", "the one that was told so has it"


@pytest.mark.parametrize("is_remembered", [True, False], ids=["remembered", "only in the journal"])
@pytest.mark.parametrize("records", [(ACCEPTED,), (ACCEPTED, FAILED)], ids=["open", "failed"])
async def test_the_name_is_kept_for_whom_an_import_waits(
    desk: Desk, records: tuple[Record, ...], is_remembered: bool
) -> None:
    desk.began(*records)
    if is_remembered:
        desk.agents.met("scope", "scope", FIRST)
    other = await desk.workstation("pc2")
    assert await offered(other, OTHER, trial=True) == AgentThere.__name__
    with pytest.raises(AskFailed, match="as it was on pc1 in /var/agent: import-0001") as refused:
        await other.ask(OfferFolders(offer=OTHER), timeout_s=30.0)
    assert "imports cancel" in refused.value.failure.hint
    assert desk.asked == [], "nothing was asked of a workstation that is not meant"
    # At once, as after a kill: the one that is waited for.
    assert await desk.offered(FIRST) == ""


@pytest.mark.parametrize("end", [CANCELLED, FORGOTTEN], ids=["cancelled", "forgotten"])
async def test_a_workstation_is_replaced_once_nothing_waits_for_it(desk: Desk, end: Record, tmp_path: Path) -> None:
    desk.agents.met("scope", "scope", FIRST).owed[HOLD.import_id] = HOLD
    desk.began(ACCEPTED, FAILED, end)
    assert await desk.offered(OTHER) == ""
    assert desk.asked == ["SweepHeld"], "what the other holds is nothing that this one could let go of"
    remembered = ServingAgents(tmp_path / "agents.json").agents["scope"]
    assert (remembered.offer, remembered.owed) == (OTHER, {})


async def test_the_name_is_kept_for_who_owes_links_to_files(desk: Desk, tmp_path: Path) -> None:
    # As the file has it after a restart of the mesh.
    before = ServingAgents(tmp_path / "agents.json")
    before.met("scope", "scope", FIRST).owed[HOLD.import_id] = HOLD
    before.remember()
    desk.agents.agents.update(ServingAgents(tmp_path / "agents.json").agents)
    desk.began(ACCEPTED, FINISHED)
    assert await desk.offered(OTHER) == AgentThere.__name__
    assert await desk.offered(FIRST) == ""
    assert desk.asked == ["SweepHeld", "ReleaseFiles"]


async def test_an_order_that_was_accepted_while_another_came_keeps_it_out(desk: Desk) -> None:
    desk.agents.met("scope", "scope", FIRST)
    desk.began()
    desk.may_sweep.clear()
    other = await desk.workstation("pc2")
    answer = asyncio.create_task(offered(other, OTHER))
    await eventually(lambda: desk.asked, within_s=30.0, what="the middle of the offer")
    desk.began(ACCEPTED)
    desk.may_sweep.set()
    assert await answer == AgentThere.__name__
    assert desk.agents.agents["scope"].offer == FIRST


@pytest.mark.parametrize("before", [FIRST, AgentOffer(folders=())], ids=["known", "not known either"])
async def test_an_import_of_which_the_journal_names_no_workstation_keeps_nobody_out(
    desk: Desk, before: AgentOffer
) -> None:
    written = msgspec.json.encode(ACCEPTED).replace(b',"workstation":{"host":"pc1","place":"/var/agent"}', b"")
    older = msgspec.json.decode(written, type=Accepted)
    assert older != ACCEPTED
    desk.agents.met("scope", "scope", before)
    desk.began(older)
    assert await desk.offered(OTHER) == ""


async def test_while_imports_are_started_anew_another_is_asked_to_come_again(desk: Desk) -> None:
    desk.agents.met("scope", "scope", FIRST)
    assert await desk.offered(OTHER) == ImportsUnread.__name__
    assert await desk.offered(FIRST) == ""


async def test_an_import_asks_no_other_workstation_that_has_the_name() -> None:
    said: list[bytes] = []

    def write(frames: Sequence[Any], bulk: bool) -> bool:
        said.extend(bytes(frame) for frame in frames)
        return True

    agent = ServingAgent("scope", "scope", OTHER, link=Link("scope", write, lambda link, envelope: None))
    line = AgentLine(agent, asyncio.get_running_loop(), FIRST.workstation)
    with pytest.raises(AgentAway, match="scope is away \\(another one, on pc2, has its name\\)"):
        await line.ask(LookAtSource(path="plates/run7"), timeout_s=30.0)
    assert not said
    coming = asyncio.create_task(line.reached())
    agent.stirred()
    await asyncio.sleep(0)
    assert not coming.done()
    agent.offer = FIRST
    agent.stirred()
    await coming
    asking = asyncio.create_task(line.ask(LookAtSource(path="plates/run7"), timeout_s=30.0))
    await eventually(lambda: said, what="the question")
    asking.cancel()


class Refusing(Actor[OfferFolders | AgentBeat]):
    """A desk that takes the first offers and then has another agent."""

    def __init__(self, n_taken: int) -> None:
        self.n_left = n_taken

    async def receive(self, message: OfferFolders | AgentBeat) -> AgentTerms | bool:
        if isinstance(message, AgentBeat):
            return False
        if not self.n_left:
            raise AgentThere("an agent scope is there already, on pc2")
        self.n_left -= 1
        return AgentTerms(name="scope", beat_s=0.01)


@pytest.mark.parametrize("n_taken", [0, 1])
async def test_who_never_had_the_name_ends_and_who_had_it_goes_on_offering(tmp_path: Path, n_taken: int) -> None:
    server, pair, endpoint = new_pair(), new_pair(), ipc_endpoint(tmp_path, "front")
    ring = KeyRing(tmp_path / "keys")
    ring.allow(Principal(name="scope", role="agent"), pair.public)
    hub, workstation, standing, n_dialled = Node("hub"), Node("workstation"), Standing(), 0
    hub.listen_front(endpoint, server, ring)

    def dial() -> Dialer:
        nonlocal n_dialled
        n_dialled += 1
        return workstation.dial(endpoint, pair, ServerKey(public=server.public))

    lives = [
        await hub.start_actor("agents", lambda: Refusing(n_taken)),
        await workstation.start_actor("uplink", lambda: AgentUplink(dial, FIRST, "", standing)),
    ]
    uplink = lives[-1]
    if n_taken:
        await eventually(lambda: n_dialled >= n_taken + 3, within_s=60.0, what="another offer")
        assert str(uplink.statistics()["state"]).startswith("offering again: an agent scope is there already")
        # Its next life was in as well.
        await uplink.stop()
        await uplink.wait()
        workstation.remove_actor("uplink")
        lives[-1] = await workstation.start_actor("uplink", lambda: AgentUplink(dial, FIRST, "", standing))
        n_before = n_dialled
        await eventually(lambda: n_dialled >= n_before + 2, within_s=60.0, what="another offer of its next life")
    else:
        assert "an agent scope is there already, on pc2" in str(await asyncio.wait_for(standing.refused(), 60.0))
        assert n_dialled == 1
        assert str(uplink.statistics()["state"]).startswith("refused: an agent scope is there already")
    for life in reversed(lives):
        await life.stop()
        await life.wait()
    await workstation.close()
    await hub.close()
