"""What the console has a joined host do is given the time that it is given here."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from waiting import eventually

from hcs_mesh.actors.console.console_desk import ConsoleDesk, Inside, OtherDesk
from hcs_mesh.messages.console import RESTART_S, InspectActor, RestartActor
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import ASK_TIMEOUT_S, Link, codec

pytestmark = pytest.mark.anyio


class Elsewhere:
    """A mesh of which everything runs on another host."""

    def __init__(self) -> None:
        self.heard: list[codec.Envelope] = []
        self.link = Link("hostb", self._write, lambda link, envelope: None)

    def elsewhere(self, actor: str) -> OtherDesk:
        return OtherDesk(self.link, "hostb", actor.removesuffix("@hostb"))

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
