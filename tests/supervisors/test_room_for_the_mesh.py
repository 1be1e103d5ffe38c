"""Whatever a key says, others and the mesh have room in a mailbox; what settles something is taken in any case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import zmq
from waiting import eventually

from hcs_mesh.messages.agents import AgentLost
from hcs_mesh.messages.compute import ExecutorDown, ExecutorUp
from hcs_mesh.messages.frames import StreamEnded
from hcs_mesh.messages.joining import NodeLost
from hcs_mesh.messages.streaming import CloseAllStreams, CloseStream, PlaneLoaded
from hcs_mesh.messages.viewing import ViewerGone
from hcs_mesh.supervisors import Actor, MailboxLimits, Node
from hcs_mesh.supervisors.cell import Cell
from hcs_mesh.transport import (
    Dialer,
    Event,
    KeyRing,
    MailboxFull,
    PeerRef,
    Principal,
    Request,
    Role,
    ServerKey,
    ipc_endpoint,
    new_pair,
)

pytestmark = pytest.mark.anyio

LIMIT = 20
OUTSIDE = 15
"""What is left of it to those who are outside."""
SHARE = 8
"""What one of them has at most while nobody else says anything: no more than is left."""


class Said(Event, frozen=True, kw_only=True, tag="room.said"):
    audience: ClassVar[Role | None] = "viewer"


class Asked(Request[int], frozen=True, kw_only=True, tag="room.asked"):
    audience: ClassVar[Role | None] = "viewer"


class Settled(Event, frozen=True, kw_only=True, tag="room.settled"):
    audience: ClassVar[Role | None] = "viewer"
    always_taken: ClassVar[bool] = True


class Desk(Actor[Said | Asked | Settled]):
    """Counts what it hears."""

    mailbox = MailboxLimits(max_messages=LIMIT)

    def __init__(self) -> None:
        self.n_settled = 0

    async def receive(self, message: Said | Asked | Settled) -> int | None:
        self.n_settled += isinstance(message, Settled)
        return self.n_settled if isinstance(message, Asked) else None


class Scene:
    """A desk that is paused, and the means to speak to it from outside."""

    def __init__(self, node: Node, ring: KeyRing, folder: Path, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.node = node
        self._ring = ring
        self._context = context
        self._endpoint = ipc_endpoint(folder, "front")
        self._server = new_pair()
        self.dialers: list[Dialer] = []
        node.listen_front(self._endpoint, self._server, ring)

    @property
    def cell(self) -> Cell:
        return self.node.cells["desk"]

    def outside(self, name: str, role: Role = "user") -> PeerRef:
        pair = new_pair()
        self._ring.allow(Principal(name=name, role=role), pair.public)
        server = ServerKey(public=self._server.public)
        dialer = Dialer(self._context, self._endpoint, lambda link, envelope: None, name=name, key=pair, server=server)
        self.dialers.append(dialer)
        return PeerRef(dialer.link, "desk")


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    node = Node("hub")
    made = Scene(node, KeyRing(folder / "keys"), folder, context)
    life = await node.start_actor("desk", Desk)
    made.cell.pause()
    try:
        yield made
    finally:
        for dialer in made.dialers:
            dialer.close()
        await life.stop()
        await life.wait()
        await node.close()
        context.term()


async def test_what_keys_say_fills_no_more_than_their_part_of_a_mailbox(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path) as here:
        n_refused = 0
        for name, n_taken in (("anna", 8), ("bert", 4), ("carl", 2), ("dora", 1)):
            desk = here.outside(name)
            for _ in range(LIMIT):
                desk.tell(Said())
            n_refused += LIMIT - n_taken
            await eventually(lambda n=n_refused: here.cell.box.n_refused == n)
            # Each has as much as there was left for the others.
            assert here.cell.box.held.of(name)[0] == n_taken
        assert len(here.cell.box) == OUTSIDE
        with pytest.raises(MailboxFull, match=f"desk has {OUTSIDE} messages"):
            await here.outside("emil").ask(Asked())
        assert [one for one in caplog.messages if f"from emil: desk has {OUTSIDE} messages" in one]
        inner = here.node.find("desk")
        answer = inner.ask(Asked())
        for _ in range(LIMIT - OUTSIDE - 1):
            inner.tell(Said())
        with pytest.raises(MailboxFull):
            inner.tell(Said())
        here.cell.resume()
        assert await answer == 0


@pytest.mark.parametrize("how", ["tell", "ask", "send"])
async def test_however_much_one_key_says_there_is_room_for_the_others_and_it_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async with scene(tmp_path) as here:
        greedy, modest = here.outside("greedy"), here.outside("modest")
        n_said = 1000
        if how == "tell":
            for _ in range(n_said):
                greedy.tell(Said())
        else:
            said = [greedy.ask(Asked()) if how == "ask" else greedy.send(Said()) for _ in range(n_said)]
        await eventually(lambda: here.cell.box.n_refused == n_said - SHARE)
        others = [modest.ask(Asked()), modest.send(Said())]
        await eventually(lambda: len(here.cell.box) == SHARE + 2)
        lines = [one for one in caplog.messages if f"from greedy: desk has {SHARE} messages" in one]
        assert len(lines) == 10, "one for each power of two"
        here.cell.resume()
        assert await asyncio.gather(*others) == [0, None]
        if how == "tell":
            await eventually(lambda: here.dialers[0].link.n_refused)
        else:
            refused = [one for one in await asyncio.gather(*said, return_exceptions=True) if one]
            assert {type(one) for one in refused} == {MailboxFull}
            assert len(refused) == n_said - SHARE
            assert "wait for the answers" in refused[0].hint
        assert await greedy.ask(Asked()) == 0, "what has been read takes no room any more"


async def test_the_nodes_that_have_joined_have_the_room_that_the_mesh_has(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        desk = here.outside("other-host", "node")
        for _ in range(LIMIT + 1):
            desk.tell(Said())
        await eventually(lambda: here.cell.box.n_refused == 1)
        assert len(here.cell.box) == LIMIT


async def test_what_settles_something_is_taken_within_the_mesh_and_refused_from_outside(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        inner, outer = here.node.find("desk"), here.outside("anna")
        for _ in range(LIMIT):
            inner.tell(Said())
        for _ in range(3):
            inner.tell(Settled())
        outer.tell(Settled())
        await eventually(lambda: here.cell.box.n_refused == 1)
        here.cell.resume()
        await eventually(lambda: not here.cell.box)
        assert await inner.ask(Asked()) == 3


@pytest.mark.parametrize(
    "kind",
    [
        AgentLost,
        CloseAllStreams,
        CloseStream,
        ExecutorDown,
        ExecutorUp,
        NodeLost,
        PlaneLoaded,
        StreamEnded,
        ViewerGone,
    ],
)
def test_what_is_told_once_of_somebody_who_came_or_went_is_always_taken(kind: type[Event]) -> None:
    assert kind.always_taken
    assert kind.audience is None
