"""A part of a stream that cannot travel ends the stream that it is of, and neither the bridge nor another stream."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from free_ports import free_port

from hcs_mesh.messages.frames import Fact, FactTold, Frame, PlaneUnreadable, WellStateChanged
from hcs_mesh.messages.viewing import Contents, ListViewers, Subject
from hcs_mesh.transport import tcp_endpoint
from hcs_mesh.viewers.follower import Follower

pytestmark = pytest.mark.anyio


class Screen:
    """Counts what it is shown."""

    def __init__(self) -> None:
        self.n_planes = 0

    def begin(self, contents: Contents) -> None: ...

    def plane(self, frame: Frame, pixels: Any) -> None:
        self.n_planes += 1

    def unreadable(self, report: PlaneUnreadable) -> None: ...

    def fact(self, fact: Fact, *, n_waiting: int) -> None: ...

    def state(self, text: str) -> None: ...


@asynccontextmanager
async def following(mesh: Any, title: str) -> AsyncIterator[tuple[Screen, Follower]]:
    context: zmq.Context[Any] = zmq.Context()
    screen = Screen()
    follower = Follower(
        functools.partial(mesh.dial, context), screen, kind="recorder", subject=Subject(plate_id=1), title=title
    )
    task = asyncio.create_task(follower.run())
    try:
        yield screen, follower
        assert not task.done(), "it follows still"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        context.term()


def over_tcp(mesh: Any) -> None:
    mesh.endpoint = tcp_endpoint("127.0.0.1", free_port())


def in_place(mesh: Any) -> None:
    """By the socket that the mesh has anyhow."""


@pytest.mark.parametrize("how", [in_place, over_tcp])
async def test_a_part_of_a_stream_that_cannot_travel_ends_this_stream_alone(
    tmp_path: Path, streaming: Any, how: Any
) -> None:
    async with (
        streaming.mesh(tmp_path, before=how, n_slots=12) as mesh,
        following(mesh, "struck") as (seen, struck),
        following(mesh, "other") as (_, other),
    ):
        await streaming.until(lambda: seen.n_planes == 4, 30)
        bridge = mesh.node.cells["viewers"].life
        viewers = {one.title: one.viewer for one in await mesh.node.find("viewers").ask(ListViewers())}
        # As a path whose bytes are no text; one that is larger than a message may be is as good.
        fact = WellStateChanged(plate_id=1, job="", well="A01", state="failed", error="\udcff")
        mesh.node.find("viewers").tell(FactTold(viewer=viewers["struck"], sequence=5, fact=fact))
        await streaming.until(lambda: struck.n_sessions == 2 and seen.n_planes == 8, 30)
        assert other.n_sessions == 1
        assert mesh.node.cells["viewers"].life is bridge
