"""A node and its child processes: who is found where, what fails when one dies, and that it comes back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zmq
from waiting import eventually

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    ActorUnknown,
    BadMessage,
    Beat,
    Dialer,
    Endpoint,
    KeyRing,
    PeerGone,
    Ping,
    Request,
    ServerKey,
    ipc_endpoint,
    new_pair,
    tcp_endpoint,
)

pytestmark = pytest.mark.anyio

CHILD = """
import asyncio, os, sys
from pathlib import Path
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Request, ipc_endpoint


class WhatPid(Request[int], frozen=True, kw_only=True, tag="links.pid"):
    pass


class AskHome(Request[int], frozen=True, kw_only=True, tag="links.ask_home"):
    pass


class Hang(Request[int], frozen=True, kw_only=True, tag="links.hang"):
    pass


class Inner(Actor[WhatPid | AskHome | Hang]):
    async def receive(self, message):
        match message:
            case WhatPid():
                return os.getpid()
            case AskHome():
                return self.defer(self.ask_home())
            case Hang():
                return self.defer(asyncio.Event().wait())

    async def ask_home(self):
        return await self.context.find("home").ask(WhatPid())


async def main():
    node = Node("child")
    await node.start_actor("child", Inner)
    dialer = node.dial_parent(ipc_endpoint(Path(sys.argv[1]), "inner"))
    dialer.beat(busy="a test")
    await asyncio.Event().wait()


asyncio.run(main())
"""


class WhatPid(Request[int], frozen=True, kw_only=True, tag="links.pid"):
    """Which process answers."""


class AskHome(Request[int], frozen=True, kw_only=True, tag="links.ask_home"):
    """Is answered with what the parent's actor says."""


class Hang(Request[int], frozen=True, kw_only=True, tag="links.hang"):
    """Is never answered."""


class Home(Actor[WhatPid]):
    """An actor at the parent."""

    async def receive(self, message: WhatPid) -> int:
        return 42


class Household:
    """A parent node and the child it has just now."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.child: subprocess.Popen[bytes] | None = None

    async def start_child(self) -> int:
        """Start the child; return its pid once it has said hello."""
        expected = self.node.expect("child")
        self.child = subprocess.Popen([sys.executable, "-c", CHILD, str(self.folder)])  # noqa: ASYNC220
        link = await asyncio.wait_for(expected, 30)
        return link.pid

    async def kill_child(self) -> None:
        """As a supervisor does: kill it, and say so once it is proven dead."""
        if self.child is not None:
            self.child.kill()
            await asyncio.to_thread(self.child.wait)
            self.node.peer_died("child", "SIGKILL")


@pytest.fixture
async def household(tmp_path: Path) -> AsyncIterator[Household]:
    """A parent node that listens for a child."""
    node = Node("parent")
    node.listen_inner(ipc_endpoint(tmp_path, "inner"))
    life = await node.start_actor("home", Home)
    house = Household(node, tmp_path)
    yield house
    await house.kill_child()
    await life.stop()
    await life.wait()
    await node.close()


async def test_an_actor_of_a_child_process_is_asked_by_its_name(household: Household) -> None:
    beats: list[Beat] = []
    household.node.on_beat["child"] = beats.append
    pid = await household.start_child()
    child = household.node.find("child")
    assert await child.ask(WhatPid()) == pid
    assert (await child.ask(Ping())).handled == 1
    assert await child.ask(AskHome()) == 42
    assert [beat.busy for beat in beats] == ["a test"]


async def test_asks_fail_at_once_when_the_child_is_proven_dead_and_work_when_it_is_back(household: Household) -> None:
    first = await household.start_child()
    child = household.node.find("child")
    held = [child.ask(Hang(), timeout_s=60.0) for _ in range(3)]
    await child.ask(WhatPid())
    await household.kill_child()
    for one in held:
        with pytest.raises(PeerGone, match="SIGKILL"):
            await one
    with pytest.raises(ActorUnknown):
        await child.ask(WhatPid())
    second = await household.start_child()
    assert second != first
    assert await child.ask(WhatPid()) == second


async def test_what_an_actor_does_not_take_is_refused_by_its_process(household: Household) -> None:
    await household.start_child()

    class Strange(Request[int], frozen=True, kw_only=True, tag="links.strange"):
        pass

    with pytest.raises(BadMessage, match=r"links\.strange"):
        await household.node.find("child").ask(Strange())


async def test_all_fronts_of_a_node_share_one_ring(tmp_path: Path) -> None:
    node, key = Node("n"), new_pair()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    node.listen_front(ipc_endpoint(tmp_path, "1"), key, KeyRing(tmp_path / "a"))
    with pytest.raises(ValueError, match="share one key ring"):
        node.listen_front(ipc_endpoint(tmp_path, "2"), key, KeyRing(tmp_path / "b"))
    await node.close()


async def test_a_node_that_is_closed_leaves_its_address_free(tmp_path: Path) -> None:
    for _ in range(3):
        node = Node("n")
        node.listen_inner(ipc_endpoint(tmp_path, "inner"))
        await node.close()


def ends(context: zmq.Context[zmq.Socket[bytes]]) -> bool:
    """Whether nothing keeps a context; in a thread of its own, or a failure would be a test that never ends."""
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    ending.join(10.0)
    return not ending.is_alive()


async def test_who_dials_again_when_the_node_hangs_up_on_it_keeps_no_node_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, server = Node("n"), ServerKey(public=new_pair().public)

    def dial() -> Dialer:
        return node.dial(ipc_endpoint(tmp_path, "nobody"), new_pair(), server)

    dialled = [dial()]
    asked = dialled[0].link.ask("nobody", Ping())
    # As an uplink does it that has no pause: at once, while the node is closing.
    asked.add_done_callback(lambda asked: dialled.append(dial()) if asked.exception() else None)
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: failed.append(what["exception"]))
    monkeypatch.setattr(node.context, "term", lambda: None)
    await node.close()
    monkeypatch.undo()
    assert await asyncio.to_thread(ends, node.context)
    assert [type(one) for one in failed] == [PeerGone]


class Never(Request[int], frozen=True, kw_only=True, tag="links.never"):
    pass


class Hanging(Actor[Never]):
    async def receive(self, message: Never) -> object:
        raise AssertionError("it never comes to that")


@pytest.mark.parametrize("n_asks", [1, 3])
async def test_everybody_who_asked_hears_that_the_node_is_closing(tmp_path: Path, n_asks: int) -> None:
    hub, peer = Node("hub"), Node("peer")
    endpoint = ipc_endpoint(tmp_path, "inner")
    hub.listen_inner(endpoint)
    peer.dial_parent(endpoint)
    # A mailbox that no life of the actor reads.
    box = hub.open_mailbox("hanging", Hanging).box
    asked = [peer.find("hanging").ask(Never(), timeout_s=60.0) for _ in range(n_asks)]
    await eventually(lambda: len(box) == n_asks)
    await hub.close()
    done = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10.0)
    assert [str(one) for one in done] == ["Never to hanging: the node is closing"] * n_asks
    await peer.close()


async def test_a_dialer_that_cannot_dial_leaves_no_socket_behind() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = Endpoint(control="tcp://127.0.0.1:7777", data="nowhere://")
    with pytest.raises(zmq.ZMQError):
        Dialer(context, endpoint, lambda link, envelope: None, name="n")
    assert await asyncio.to_thread(ends, context)


def test_the_data_channel_lies_a_thousand_ports_above() -> None:
    assert tcp_endpoint("127.0.0.1", 7777) == Endpoint(control="tcp://127.0.0.1:7777", data="tcp://127.0.0.1:8777")
    assert tcp_endpoint("::1", 7777).control == "tcp://[::1]:7777"
