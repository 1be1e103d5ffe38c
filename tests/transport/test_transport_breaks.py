"""Connections that end without a word: half open, or over a cable that was pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import zmq
from free_ports import free_port
from waiting import eventually

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    Dialer,
    Endpoint,
    Envelope,
    KeyRing,
    Link,
    PeerGone,
    Principal,
    Request,
    Role,
    ServerKey,
    new_pair,
    tcp_endpoint,
)

pytestmark = pytest.mark.anyio


class WhoAmI(Request[str], frozen=True, kw_only=True, tag="breaks.who"):
    audience: ClassVar[Role | None] = "viewer"


class Desk(Actor[WhoAmI]):
    async def receive(self, message: WhoAmI) -> str:
        return self.context.principal.name


class Cable:
    """Carries bytes between dialers and one port of the listener; can be pulled without either end being told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._near: list[asyncio.StreamWriter] = []
        self._far: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._held: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._laying: set[asyncio.Future[None]] = set()
        self.port = 0
        self.n_connections = 0

    async def lay(self) -> int:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        laid: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._laying.add(laid)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        finally:
            self._laying.discard(laid)
            laid.set_result(None)
        self._near.append(writer)
        self._far.append(far_writer)
        self._tasks += [
            asyncio.ensure_future(self._pump(reader, far_writer)),
            asyncio.ensure_future(self._pump(far_reader, writer)),
        ]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    def pull(self, *, told: bool) -> None:
        """Carry nothing more on the connections there are; the dialer is told by an end, or nobody is."""
        for task in self._tasks:
            task.cancel()
        near, far = self._near, self._far
        self._tasks, self._near, self._far = [], [], []
        for one in near if told else ():
            one.transport.abort()
        self._held += far if told else [*near, *far]

    async def take_away(self) -> None:
        # Who has just dialled again is connected half-way, and would be left so.
        while self._laying:
            await asyncio.wait(self._laying)
        self.pull(told=False)
        for one in self._held:
            one.transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class Ends:
    """A listener, a dialer, and a cable for each of their channels."""

    def __init__(self, node: Node, dialer: Dialer, cables: tuple[Cable, Cable]) -> None:
        self.node = node
        self.dialer = dialer
        self.cables = cables

    async def name(self) -> str:
        return await self.dialer.link.ask("desk", WhoAmI(), timeout_s=20.0)

    async def is_heard(self) -> bool:
        """Whether it is heard now; what it says before it has noticed itself that its connection broke is lost."""
        try:
            return await self.name() == "anna"
        except PeerGone:
            return False

    def pull(self, *, told: bool) -> None:
        for cable in self.cables:
            cable.pull(told=told)

    def links(self) -> list[Link]:
        return list(self.node.fronts[0].links.values())


def ignore(link: Link, envelope: Envelope) -> None:
    """A client holds no actors."""


@asynccontextmanager
async def ends(folder: Path, *, silence_s: float) -> AsyncIterator[Ends]:
    endpoint = tcp_endpoint("127.0.0.1", free_port())
    server, anna = new_pair(), new_pair()
    ring = KeyRing(folder / "keys")
    ring.allow(Principal(name="anna", role="user"), anna.public)
    node = Node("hub")
    node.listen_front(endpoint, server, ring, silence_s=silence_s)
    life = await node.start_actor("desk", Desk)
    cables = (Cable(int(endpoint.control.rpartition(":")[2])), Cable(int(endpoint.data.rpartition(":")[2])))
    control, data = [f"tcp://127.0.0.1:{await cable.lay()}" for cable in cables]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dialer = Dialer(
        context,
        Endpoint(control=control, data=data),
        ignore,
        name="test",
        key=anna,
        server=ServerKey(public=server.public),
        silence_s=silence_s,
    )
    try:
        yield Ends(node, dialer, cables)
    finally:
        dialer.close()
        context.destroy(linger=0)
        for cable in cables:
            await cable.take_away()
        await life.stop()
        await life.wait()
        await node.close()


async def test_who_comes_back_before_the_end_of_the_former_connection_is_noticed_is_heard(tmp_path: Path) -> None:
    async with ends(tmp_path, silence_s=60.0) as both:
        assert await both.name() == "anna"
        before = set(both.node.fronts[0].links)
        both.pull(told=True)
        # libzmq may have dialled by itself before the dialer did, which makes one more.
        await eventually(lambda: both.cables[0].n_connections >= 2)
        await eventually(both.is_heard, 20.0, "an answer over another connection")
        # The former connection is still there for the listener: nothing was heard of its end.
        assert before < set(both.node.fronts[0].links)


async def test_a_peer_that_vanishes_without_a_word_is_noticed_after_the_silence_that_is_set(tmp_path: Path) -> None:
    async with ends(tmp_path, silence_s=1.0) as both:
        await eventually(both.is_heard, 20.0, "an answer")
        link = both.links()[-1]
        lost: list[str] = []
        link.on_lost["test"] = lost.append
        n_looks = 0

        def is_lost() -> bool:
            # Looks of this loop, a hundred in a second and fewer where the computer stands still.
            nonlocal n_looks
            n_looks += 1
            return bool(lost)

        both.pull(told=False)
        await eventually(is_lost, 30.0, "the loss of the peer")
        assert n_looks < 400
        # Its own side notices as well, and is back.
        await eventually(both.is_heard, 20.0, "an answer over another connection")
