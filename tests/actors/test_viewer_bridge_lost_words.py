"""A viewer whose words were lost, because there was no room for them, says them again: its stream goes on."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from hcs_mesh.messages.frames import Fact, Frame, PlaneUnreadable
from hcs_mesh.messages.viewing import Contents, Detach, ListViewers, Subject
from hcs_mesh.transport import Kind, Link, MailboxFull
from hcs_mesh.transport.codec import Envelope
from hcs_mesh.viewers import let_go
from hcs_mesh.viewers.follower import Follower
from hcs_mesh.viewers.let_go import LetGo

pytestmark = pytest.mark.anyio


class Screen:
    """Counts the planes it is shown; what it does first, when it begins or at a plane, the test says."""

    def __init__(self) -> None:
        self.on_begin: Callable[[], None] = lambda: None
        self.on_plane: Callable[[Frame], None] = lambda frame: None
        self.n_planes = 0
        self.states: list[str] = []

    def begin(self, contents: Contents) -> None:
        self.on_begin()

    def plane(self, frame: Frame, pixels: Any) -> None:
        self.n_planes += 1
        self.on_plane(frame)

    def unreadable(self, report: PlaneUnreadable) -> None: ...

    def fact(self, fact: Fact, *, n_waiting: int) -> None: ...

    def state(self, text: str) -> None:
        self.states.append(text)


@asynccontextmanager
async def following(mesh: Any, screen: Screen, *, kind: type[Follower] = Follower) -> AsyncIterator[Follower]:
    context: zmq.Context[Any] = zmq.Context()
    follower = kind(functools.partial(mesh.dial, context), screen, kind="recorder", subject=Subject(plate_id=1))
    task = asyncio.create_task(follower.run())
    try:
        yield follower
        assert not task.done(), "it follows still"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        context.term()


def fill(mesh: Any) -> int:
    """Have nothing more fit into the mailbox of the bridge, which is paused; how much it has refused by then."""
    cell = mesh.node.cells["viewers"]
    cell.pause()
    while True:
        try:
            # It changes nothing, and takes room.
            mesh.node.find("viewers").tell(Detach(viewer="nobody"))
        except MailboxFull:
            return int(cell.box.n_refused)


async def test_the_credits_of_planes_whose_taking_was_lost_come_back(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=1) as mesh:
        screen, cell = Screen(), mesh.node.cells["viewers"]
        n_refused: list[int] = []

        def fill_at_the_first(frame: Frame) -> None:
            if frame.sequence == 1:
                n_refused.append(fill(mesh))

        screen.on_plane = fill_at_the_first
        async with following(mesh, screen) as follower:
            # The plane that it took, and the question whether it is known, which it asks after a second.
            await streaming.until(lambda: n_refused and cell.box.n_refused >= n_refused[0] + 2)
            assert screen.n_planes == 1
            cell.resume()
            await streaming.until(lambda: screen.n_planes == 4, 30)
            await streaming.until(lambda: mesh.slots_held == 0, 30)
            assert follower.n_sessions == 1


async def test_a_stream_whose_start_was_lost_begins_all_the_same(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        screen, cell = Screen(), mesh.node.cells["viewers"]
        n_refused: list[int] = []
        screen.on_begin = lambda: n_refused.append(fill(mesh))
        async with following(mesh, screen) as follower:
            await streaming.until(lambda: n_refused and cell.box.n_refused > n_refused[0])
            cell.resume()
            await streaming.until(lambda: screen.n_planes == 4, 30)
            assert follower.n_sessions == 1


async def test_a_viewer_elsewhere_gets_its_credits_back_too(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=1) as mesh:
        screen, cell = Screen(), mesh.node.cells["viewers"]
        n_refused: list[int] = []

        def fill_at_the_first(frame: Frame) -> None:
            if frame.sequence == 1:
                n_refused.append(fill(mesh))

        screen.on_plane = fill_at_the_first
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Follower, "_is_elsewhere", lambda self, dialer: True)
            async with following(mesh, screen):
                await streaming.until(lambda: n_refused and cell.box.n_refused > n_refused[0])
                cell.resume()
                await streaming.until(lambda: screen.n_planes == 4, 30)
                (viewer,) = await mesh.node.find("viewers").ask(ListViewers())
                assert viewer.elsewhere
                await streaming.until(lambda: mesh.slots_held == 0, 30)


async def test_a_viewer_that_finds_no_room_when_it_comes_asks_again(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data") as mesh:
        screen = Screen()
        fill(mesh)
        async with following(mesh, screen):
            await streaming.until(lambda: "the mesh has too much to do" in screen.states)
            mesh.node.cells["viewers"].resume()
            await streaming.until(lambda: screen.n_planes == 4, 30)


async def test_a_viewer_waits_while_the_place_of_its_plate_is_away(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data") as mesh:
        screen = Screen()
        async with following(mesh, screen) as follower:
            await streaming.until(lambda: screen.n_planes == 4, 30)
            mesh.away.add(1)
            await mesh.restart_publisher()
            await streaming.until(lambda: any("where nobody answers" in state for state in screen.states), 30)
            mesh.away.clear()
            await streaming.until(lambda: screen.n_planes == 8, 30)
            assert follower.n_sessions == 2


async def test_a_plane_that_a_later_one_has_overtaken_is_not_said_to_be_let_go_of() -> None:
    counted = LetGo()
    for sequence, through in ((2, 0), (3, 0), (1, 3), (5, 3), (4, 5)):
        counted.note(sequence)
        assert counted.through == through


class HardOfHearing(Follower):
    """Misses the first that its first session is sent."""

    has_missed = False

    def _deliver(self, link: Link, envelope: Envelope) -> None:
        if envelope.kind == Kind.TELL and not self.has_missed:
            self.has_missed = True
        else:
            super()._deliver(link, envelope)


async def test_a_viewer_that_has_lost_something_of_its_stream_attaches_again(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(let_go, "MOST_BEYOND", 2)
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        screen = Screen()
        async with following(mesh, screen, kind=HardOfHearing) as follower:
            await streaming.until(lambda: screen.n_planes == 3 + 4, 30)
            assert follower.n_sessions == 2
            await streaming.until(lambda: mesh.slots_held == 0, 30)
