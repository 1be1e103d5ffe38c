"""Whatever one viewer says, the slots of those that are gone come back, and the others are shown their planes."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from hcs_mesh.actors.viewing.viewer_bridge import ViewerBridge
from hcs_mesh.messages.frames import FactTold, FrameTaken, WellStateChanged
from hcs_mesh.messages.streaming import BeginStream, ListStreams
from hcs_mesh.messages.viewing import Attach, ListViewers, StartStream, Subject
from hcs_mesh.supervisors import MailboxLimits
from hcs_mesh.transport import Dialer, Event, KeyPair, MailboxFull
from hcs_mesh.transport.codec import Envelope

pytestmark = pytest.mark.anyio

ATTACH = Attach(kind="recorder", elsewhere=True, subject=Subject(plate_id=1))
NEWS: dict[str, Event] = {
    "viewers": FactTold(
        viewer="nobody", sequence=0, fact=WellStateChanged(plate_id=1, job="", well="A01", state="done")
    ),
    "publisher": WellStateChanged(plate_id=1, job="", well="A01", state="done"),
}
"""What an actor takes and can be refused."""


@asynccontextmanager
async def dialled(
    mesh: Any, hear: Any = lambda link, envelope: None, *, key: KeyPair | None = None
) -> AsyncIterator[Dialer]:
    context = zmq.Context()
    dialer = mesh.dial(context, hear, key=key)
    try:
        yield dialer
    finally:
        dialer.close()
        context.term()


def fill(mesh: Any, actor: str) -> None:
    """Have nothing more fit into the mailbox of an actor that is paused."""
    mesh.node.cells[actor].pause()
    try:
        while True:
            mesh.node.find(actor).tell(NEWS[actor])
    except MailboxFull:
        pass


async def test_the_slots_of_a_viewer_that_hangs_up_come_back_though_the_mailboxes_were_full(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        async with dialled(mesh) as dialer:
            attached = await dialer.link.ask("viewers", ATTACH)
            dialer.link.tell("viewers", StartStream(viewer=attached.viewer))
            await streaming.until(lambda: mesh.slots_held == 2)
            (link,) = mesh.node.fronts[0].links.values()
            fill(mesh, "viewers")
            fill(mesh, "publisher")
        await streaming.until(lambda: link.gone)
        mesh.node.cells["viewers"].resume()
        await streaming.until(lambda: mesh.statistics("viewers")["viewers"] == 0, 30)
        mesh.node.cells["publisher"].resume()
        await streaming.until(lambda: mesh.slots_held == 0, 30)
        assert await mesh.node.find("publisher").ask(ListStreams()) == ()


async def test_a_viewer_that_attaches_again_and_again_leaves_nothing_behind_on_its_link(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data") as mesh, dialled(mesh) as dialer:
        for _ in range(5):
            await dialer.link.ask("viewers", ATTACH)
        (link,) = mesh.node.fronts[0].links.values()
        assert len(link.on_lost) == 1
        await asyncio.gather(*(dialer.link.ask("viewers", ATTACH) for _ in range(5)), return_exceptions=True)
        assert len(link.on_lost) == 1


async def test_a_viewer_is_shown_its_planes_once_there_is_room_for_them(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        heard: list[Envelope] = []
        async with dialled(mesh, lambda link, envelope: heard.append(envelope)) as dialer:
            attached = await dialer.link.ask("viewers", ATTACH)
            publisher = mesh.node.find("publisher")
            fill(mesh, "viewers")
            publisher.tell(BeginStream(viewer=attached.viewer))
            await streaming.until(lambda: mesh.node.cells["publisher"].life is None or mesh.slots_held)
            # It is told again and again, and there is no room still.
            n_handled = mesh.statistics("publisher")["handled"]
            await streaming.until(lambda: mesh.statistics("publisher")["handled"] >= n_handled + 3)
            assert not heard
            mesh.node.cells["viewers"].resume()
            await streaming.until(lambda: len(heard) == 2)
            assert mesh.statistics("publisher")["last_error"] == ""


async def test_what_a_viewer_takes_that_it_was_not_shown_is_not_passed_on(tmp_path: Path, streaming: Any) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        heard: list[Envelope] = []
        async with dialled(mesh, lambda link, envelope: heard.append(envelope)) as dialer:
            attached = await dialer.link.ask("viewers", ATTACH)
            dialer.link.tell("viewers", StartStream(viewer=attached.viewer))
            await streaming.until(lambda: len(heard) == 2)
            n_handled = mesh.statistics("publisher")["handled"]
            for sequence in (*range(100, 200), *[1] * 100):
                dialer.link.tell("viewers", FrameTaken(viewer=attached.viewer, sequence=sequence))
            await streaming.until(lambda: len(heard) == 3)
            # The plane that was let go of, and the one that was read in its place.
            assert mesh.statistics("publisher")["handled"] <= n_handled + 2


async def test_a_viewer_that_says_again_and_again_that_it_is_ready_is_passed_on_once(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh, dialled(mesh) as dialer:
        attached = await dialer.link.ask("viewers", ATTACH)
        publisher = mesh.node.cells["publisher"]
        publisher.pause()
        for _ in range(200):
            dialer.link.tell("viewers", StartStream(viewer=attached.viewer))
        n_handled = mesh.statistics("viewers")["handled"]
        await streaming.until(lambda: mesh.statistics("viewers")["handled"] >= n_handled + 200)
        assert len(publisher.box) == 1
        publisher.resume()


async def test_what_a_viewer_says_of_its_stream_is_passed_on_though_the_publisher_has_no_room(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        heard: list[Envelope] = []
        async with dialled(mesh, lambda link, envelope: heard.append(envelope)) as dialer:
            attached = await dialer.link.ask("viewers", ATTACH)
            fill(mesh, "publisher")
            dialer.link.tell("viewers", StartStream(viewer=attached.viewer))
            n_handled = mesh.statistics("viewers")["handled"]
            await streaming.until(lambda: mesh.statistics("viewers")["handled"] > n_handled)
            mesh.node.cells["publisher"].resume()
            await streaming.until(lambda: len(heard) == 2)
            fill(mesh, "publisher")
            dialer.link.tell("viewers", FrameTaken(viewer=attached.viewer, sequence=1))
            n_handled = mesh.statistics("viewers")["handled"]
            await streaming.until(lambda: mesh.statistics("viewers")["handled"] > n_handled)
            mesh.node.cells["publisher"].resume()
            await streaming.until(lambda: len(heard) == 3)
            assert mesh.statistics("viewers")["last_error"] == ""


async def test_who_attaches_again_and_again_has_nothing_said_to_a_publisher_without_room(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh, dialled(mesh) as dialer:
        publisher = mesh.node.cells["publisher"]
        fill(mesh, "publisher")
        n_waiting = len(publisher.box)
        answers = await asyncio.gather(*(dialer.link.ask("viewers", ATTACH) for _ in range(50)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {MailboxFull}
        # The bridge has heard all of it, and what it says to itself about it.
        await streaming.until(lambda: not len(mesh.node.cells["viewers"].box))
        assert len(publisher.box) == n_waiting
        publisher.resume()


async def test_a_viewer_that_there_is_no_room_to_let_in_again_keeps_the_stream_it_has(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ViewerBridge, "mailbox", MailboxLimits(max_deferred=1))
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh, dialled(mesh) as dialer:
        publisher = mesh.node.cells["publisher"]
        publisher.pause()
        first = dialer.link.ask("viewers", ATTACH)
        with pytest.raises(MailboxFull):
            await dialer.link.ask("viewers", ATTACH)
        publisher.resume()
        attached = await first
        assert [one.viewer for one in await mesh.node.find("publisher").ask(ListStreams())] == [attached.viewer]


async def test_a_viewer_that_hangs_up_before_it_is_let_in_is_not_let_in(
    tmp_path: Path, streaming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = ViewerBridge.receive

    @functools.wraps(receive)
    async def receive_and_lose(self: ViewerBridge, message: Any) -> Any:
        answer = await receive(self, message)
        if isinstance(message, Attach):
            mesh.node.fronts[0].forget(self.context.caller, "it hung up")
        return answer

    monkeypatch.setattr(ViewerBridge, "receive", receive_and_lose)
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh, dialled(mesh) as dialer:
        asked = dialer.link.ask("viewers", ATTACH)
        await streaming.until(lambda: mesh.statistics("viewers")["handled"])
        assert await mesh.node.find("viewers").ask(ListViewers()) == ()
        assert mesh.statistics("viewers")["viewers"] == 0
        asked.cancel()


async def test_a_viewer_comes_in_and_is_shown_its_planes_however_much_another_key_says(
    tmp_path: Path, streaming: Any
) -> None:
    async with streaming.mesh(tmp_path / "data", n_credits=2) as mesh:
        heard: list[Envelope] = []
        cell = mesh.node.cells["viewers"]
        async with (
            dialled(mesh, key=mesh.let_in("greedy")) as greedy,
            dialled(mesh, lambda link, envelope: heard.append(envelope)) as modest,
        ):
            cell.pause()
            for _ in range(8_000):
                greedy.link.tell("viewers", FrameTaken(viewer="nobody", sequence=0))
            await streaming.until(lambda: len(cell.box) + cell.box.n_refused == 8_000)
            n_said = len(cell.box)
            asked = modest.link.ask("viewers", ATTACH)
            await streaming.until(lambda: len(cell.box) == n_said + 1)
            cell.resume()
            modest.link.tell("viewers", StartStream(viewer=(await asked).viewer))
            await streaming.until(lambda: len(heard) == 2)
