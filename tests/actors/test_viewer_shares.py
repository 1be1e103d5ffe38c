"""The ring's slots are shared by key, and who is of this host is known by the way that it came."""

import asyncio
import functools
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from free_ports import free_port

from hcs_mesh.messages.frames import Fact, FactTold, Frame, FrameTaken, PlaneUnreadable, StreamEnded
from hcs_mesh.messages.planes import PlaneAddress
from hcs_mesh.messages.viewing import Attach, Attached, Contents, ListViewers, StartStream, StillAttached, Subject
from hcs_mesh.transport import KeyPair, Kind, codec, tcp_endpoint
from hcs_mesh.viewers.follower import Follower

pytestmark = pytest.mark.anyio

STREAM = codec.union_decoder((Frame, FactTold, PlaneUnreadable, StreamEnded))
N_SLOTS, N_CREDITS = 16, 4
"""As a mesh has them where nothing is set."""
N_GREEDY = 8
"""Viewers of one key; four would hold every slot, if each had its credits."""


class Notes:
    """A screen that keeps what it was shown."""

    def __init__(self) -> None:
        self.planes: set[PlaneAddress] = set()

    def begin(self, contents: Contents) -> None: ...

    def plane(self, frame: Frame, pixels: Any) -> None:
        self.planes.add(frame.header.address)

    def unreadable(self, report: PlaneUnreadable) -> None: ...

    def fact(self, fact: Fact, *, n_waiting: int) -> None: ...

    def state(self, text: str) -> None: ...


@asynccontextmanager
async def following(mesh: Any, key: KeyPair) -> AsyncIterator[Notes]:
    notes, context = Notes(), zmq.Context()
    dial = functools.partial(mesh.dial, context, key=key)
    task = asyncio.create_task(Follower(dial, notes, kind="recorder", subject=Subject(plate_id=1)).run())
    try:
        yield notes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        context.term()


@asynccontextmanager
async def attached(mesh: Any, key: KeyPair, pid: int) -> AsyncIterator[Attached]:
    """A viewer that says to be of this host, and lets nothing go that it is shown."""
    context = zmq.Context()
    dialer = mesh.dial(context, lambda link, envelope: None, key=key)
    try:
        ask = Attach(kind="recorder", pid=pid, subject=Subject(plate_id=1))
        answer = await dialer.link.ask("viewers", ask, timeout_s=30.0)
        dialer.link.tell("viewers", StartStream(viewer=answer.viewer))
        yield answer
    finally:
        dialer.close()
        context.term()


@pytest.mark.parametrize(("greedy", "n_held"), [("mallory", 6), ("ada", 8)], ids=["a key", "the owner's key"])
async def test_the_viewers_of_one_key_never_keep_the_planes_of_others_from_coming(
    tmp_path: Path, streaming: Any, greedy: str, n_held: int
) -> None:
    async with streaming.mesh(tmp_path, n_credits=N_CREDITS, n_slots=N_SLOTS) as mesh, AsyncExitStack() as frozen:
        keys = {name: mesh.let_in(name) for name in ("mallory", "eva", "carl")} | {"ada": mesh.viewer_key}
        for _ in range(N_GREEDY):
            await frozen.enter_async_context(attached(mesh, keys[greedy], os.getpid()))
        await streaming.until(lambda: mesh.slots_held == n_held, 30)
        for name in keys.keys() - {greedy}:
            async with following(mesh, keys[name]) as seen:
                await streaming.until(lambda: len(seen.planes) == 4, 30)
        await streaming.until(lambda: mesh.slots_held == n_held, 30)


async def test_slots_are_kept_for_the_owner_though_many_other_keys_take_what_they_can(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path, n_credits=N_CREDITS, n_slots=N_SLOTS) as mesh, AsyncExitStack() as frozen:
        # As many as there are slots: each of them takes one that is free.
        for n in range(N_SLOTS):
            await frozen.enter_async_context(attached(mesh, mesh.let_in(f"mallory{n}"), os.getpid()))
        await streaming.until(lambda: mesh.slots_held == N_SLOTS - N_SLOTS // 4, 30)
        async with following(mesh, mesh.viewer_key) as seen:
            await streaming.until(lambda: len(seen.planes) == 4, 30)


@pytest.mark.parametrize(("n_slots", "name", "n_credits"), [(8, "eva", 2), (8, "ada", 3), (4, "eva", 1), (3, "eva", 1)])
async def test_one_viewer_that_freezes_stops_no_other_of_its_key_in_a_small_ring_either(
    tmp_path: Path, streaming: Any, caplog: pytest.LogCaptureFixture, n_slots: int, name: str, n_credits: int
) -> None:
    async with streaming.mesh(tmp_path, n_credits=N_CREDITS, n_slots=n_slots) as mesh:
        key = mesh.viewer_key if name == "ada" else mesh.let_in(name)
        async with attached(mesh, key, os.getpid()) as frozen:
            assert frozen.credits == n_credits
            await streaming.until(lambda: mesh.slots_held == n_credits, 30)
            async with following(mesh, key) as seen:
                await streaming.until(lambda: len(seen.planes) == 4, 30)
    assert "fewer credits than are set" in caplog.text


class Slow:
    """A viewer that lets a plane go when the test says so."""

    def __init__(self, mesh: Any, key: KeyPair, context: zmq.Context[Any]) -> None:
        self.frames: list[Frame] = []
        self._dialer = mesh.dial(context, self._hear, key=key)

    def _hear(self, link: Any, envelope: Any) -> None:
        if envelope.kind == Kind.TELL:
            message = codec.decode(envelope.body, STREAM)
            if isinstance(message, Frame):
                self.frames.append(message)

    async def attach(self) -> None:
        ask = Attach(kind="recorder", pid=os.getpid(), subject=Subject(plate_id=1))
        answer = await self._dialer.link.ask("viewers", ask, timeout_s=30.0)
        self._dialer.link.tell("viewers", StartStream(viewer=answer.viewer))
        # Answered behind it: whatever another viewer says from now on, this one is waiting by then.
        assert await self._dialer.link.ask("viewers", StillAttached(viewer=answer.viewer), timeout_s=30.0)

    def let_go(self) -> None:
        frame = self.frames[-1]
        self._dialer.link.tell("viewers", FrameTaken(viewer=frame.viewer, sequence=frame.sequence, held_s=0.0))

    def close(self) -> None:
        self._dialer.close()


async def test_a_slot_that_comes_back_goes_to_the_viewer_of_a_key_that_has_waited_for_one(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path, n_credits=1, n_slots=4) as mesh:
        key, context = mesh.let_in("eva"), zmq.Context()
        first, second, third = viewers = [Slow(mesh, key, context) for _ in range(3)]
        try:
            for viewer in (first, second):
                await viewer.attach()
                await streaming.until(lambda viewer=viewer: len(viewer.frames) == 1, 30)
            assert mesh.slots_held == 2, "all that a key may have"
            await third.attach()
            await streaming.until(lambda: mesh.statistics("publisher")["streams"] == 3, 30)
            first.let_go()
            await streaming.until(lambda: third.frames or len(first.frames) == 2, 30)
            assert (len(first.frames), len(third.frames)) == (1, 1)
            third.let_go()
            await streaming.until(lambda: len(first.frames) == 2, 30)
        finally:
            for viewer in viewers:
                viewer.close()
            context.term()


@pytest.mark.parametrize("here", [True, False], ids=["the loopback", "another address"])
async def test_who_is_of_this_host_is_known_by_the_way_that_it_came_and_not_by_what_it_says(
    tmp_path: Path, streaming: Any, *, here: bool
) -> None:
    def listen(mesh: Any) -> None:
        host = "127.0.0.1" if here else address_of_this_host()
        mesh.endpoint = tcp_endpoint(host, free_port(host))

    async with (
        streaming.mesh(tmp_path, before=listen) as mesh,
        attached(mesh, mesh.viewer_key, pid=os.getpid() if here else 1) as answer,
    ):
        assert bool(answer.ring) == here
        (viewer,) = await mesh.node.find("viewers").ask(ListViewers())
        assert viewer.elsewhere == (not here)


def address_of_this_host() -> str:
    """An address under which a peer is not known to be of this host."""
    found = [
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    ]
    assert found, "this test needs an address beside the loopback"
    return found[0]
