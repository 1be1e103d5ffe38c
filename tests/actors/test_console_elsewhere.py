"""What the console has a joined host do is given the time that it is given here, and answered once it is done."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from host_lab import Hosts, hosts
from waiting import eventually

from hcs_mesh.actors.console.console_desk import ConsoleDesk, Inside, OtherDesk
from hcs_mesh.actors.nodes.joined_nodes import RemoteNode
from hcs_mesh.messages.console import RESTART_S, InspectActor, RestartActor, WhoAmI
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import ASK_TIMEOUT_S, AskTimedOut, Link, codec

pytestmark = pytest.mark.anyio


class Elsewhere:
    """A mesh of which everything runs on another host."""

    def __init__(self) -> None:
        self.heard: list[codec.Envelope] = []
        self.link = Link("hostb", self._write, lambda link, envelope: None)

    def elsewhere(self, actor: str) -> OtherDesk:
        return OtherDesk(self.link, RemoteNode("hostb", link=self.link), actor.removesuffix("@hostb"))

    def answers_first(self, actor: str) -> bool:
        return False

    def _write(self, frames: Sequence[Any], bulk: bool) -> bool:
        self.heard += codec.split(bytes(frames[0]))
        return True


async def test_a_restart_elsewhere_may_take_as_long_as_one_here() -> None:
    node, elsewhere = Node("hub"), Elsewhere()
    life = await node.start_actor("console", lambda: ConsoleDesk(cast(Inside, elsewhere)))
    try:
        asked = [
            asyncio.ensure_future(node.find("console").ask(request, timeout_s=RESTART_S))
            for request in (RestartActor(actor="slot.cuda0@hostb"), InspectActor(actor="slot.cuda0@hostb"))
        ]
        await eventually(lambda: len(elsewhere.heard) == 2)
        assert sorted(one.ttl_s for one in elsewhere.heard) == [ASK_TIMEOUT_S, RESTART_S]
        for one in asked:
            one.cancel()
    finally:
        elsewhere.link.lost("the end")
        await life.stop()
        await life.wait()
        await node.close()


class TwoInsides:
    """What the desks of both hosts have to do with, where the uplink of host B is restarted when it may be."""

    def __init__(self, made: Hosts) -> None:
        self._made = made
        self.may_begin = asyncio.Event()

    def elsewhere(self, actor: str) -> OtherDesk | None:
        node = self._made.nodes.node("hostb")
        if "@" not in actor:
            return None
        assert node.link is not None
        return OtherDesk(node.link, node, actor.removesuffix("@hostb"))

    def answers_first(self, actor: str) -> bool:
        return actor == "uplink"

    async def restart(self, actor: str) -> None:
        await self._made.uplink.stop()
        await self._made.uplink.wait()
        await self.may_begin.wait()
        self._made.uplink = await self._made.begin()


@asynccontextmanager
async def two_desks(folder: Path) -> AsyncIterator[tuple[Hosts, TwoInsides]]:
    async with hosts(folder) as made:
        insides = TwoInsides(made)
        lives = [
            await node.start_actor("console", lambda: ConsoleDesk(cast(Inside, insides))) for node in (made.a, made.b)
        ]
        try:
            yield made, insides
        finally:
            insides.may_begin.set()
            for life in lives:
                await life.stop()
                await life.wait()


async def test_the_restart_of_a_hosts_uplink_is_answered_once_the_host_has_joined_anew(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (made, insides):
        host, console = made.nodes.node("hostb"), made.a.find("console")
        joined_when_told: list[tuple[bool, int]] = []
        asked = asyncio.ensure_future(console.ask(RestartActor(actor="uplink@hostb"), timeout_s=RESTART_S))
        asked.add_done_callback(lambda _: joined_when_told.append((host.link is not None, host.n_joins)))
        await eventually(lambda: host.link is None, what="its leaving")
        # The host has answered before it left, and what is asked of the desk behind that has been heard too.
        await console.ask(WhoAmI())
        assert joined_when_told == []
        insides.may_begin.set()
        await asyncio.wait_for(asked, 30)
        assert joined_when_told == [(True, 2)]


async def test_of_a_host_that_is_not_back_after_the_restart_of_its_uplink_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcs_mesh.actors.console.console_desk.REJOIN_S", 0.1)
    async with two_desks(tmp_path) as (made, _):
        with pytest.raises(AskTimedOut, match=r"hostb has not joined anew within 0\.1 s of the restart of its uplink"):
            await made.a.find("console").ask(RestartActor(actor="uplink@hostb"), timeout_s=RESTART_S)
