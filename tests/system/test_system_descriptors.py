"""A process with few descriptors: strangers never take the last ones, who is revoked is out although there is none."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from socket import socket
from typing import Any

import psutil
import pytest
import zmq
from free_ports import free_port
from waiting import eventually

from hcs_mesh.transport import (
    Dialer,
    Envelope,
    KeyPair,
    KeyRing,
    Link,
    Principal,
    Request,
    ServerKey,
    TransportError,
    new_pair,
    tcp_endpoint,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")

N_DESCRIPTORS = 120
N_LEFT = 20
"""So many are free at least, once the node has looked at who came."""

SMALL_NODE = f"""
import asyncio, os, resource, sys
from pathlib import Path
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import KeyRing, Request, load_or_create_pair, tcp_endpoint


class Number(Request[int], frozen=True, kw_only=True, tag="descriptors.number"):
    audience = "viewer"


class TakeAll(Request[int], frozen=True, kw_only=True, tag="descriptors.take_all"):
    audience = "viewer"


class Desk(Actor[Number | TakeAll]):
    async def receive(self, message):
        if isinstance(message, TakeAll):
            try:
                while True:
                    os.dup(0)
            except OSError as error:
                return error.errno
        return 7


async def main(folder, port):
    resource.setrlimit(resource.RLIMIT_NOFILE, ({N_DESCRIPTORS}, {N_DESCRIPTORS}))
    node = Node("small")
    pair = load_or_create_pair(folder / "server")
    await node.start_actor("desk", Desk)
    node.listen_front(tcp_endpoint("127.0.0.1", port), pair, KeyRing(folder / "keys"))
    print(pair.public, flush=True)
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


class Number(Request[int], frozen=True, kw_only=True, tag="descriptors.number"):
    """What the small node's desk answers."""


class TakeAll(Request[int], frozen=True, kw_only=True, tag="descriptors.take_all"):
    """Has the small node open what it can; answered with the errno of what it could not."""


@contextmanager
def crowd(port: int, n: int) -> Iterator[None]:
    """So many connections that say nothing."""
    with ExitStack() as stack:
        for _ in range(n):
            peer = stack.enter_context(socket())
            peer.setblocking(False)
            with suppress(BlockingIOError):
                peer.connect(("127.0.0.1", port))
        yield


class SmallNode:
    """A node in a process of its own, and the keys that it lets in."""

    def __init__(self, folder: Path, child: asyncio.subprocess.Process, port: int, server: str) -> None:
        self.folder = folder
        self.child = child
        self.port = port
        self.server = ServerKey(public=server)
        self.ring = KeyRing(folder / "keys")
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dialers: list[Dialer] = []
        self._silent: list[zmq.Socket[bytes]] = []

    def let_in(self, name: str) -> KeyPair:
        pair = new_pair()
        self.ring.allow(Principal(name=name, role="user"), pair.public)
        return pair

    def dial(self, key: KeyPair) -> Link:
        endpoint = tcp_endpoint("127.0.0.1", self.port)
        self._dialers.append(Dialer(self.context, endpoint, never, name="one", key=key, server=self.server))
        return self._dialers[-1].link

    def say_nothing(self, key: KeyPair, n: int) -> None:
        """So many connections under a key, of which not one says a word."""
        self.context.set(zmq.MAX_SOCKETS, 4_096)
        for _ in range(n):
            one = self.context.socket(zmq.DEALER)
            one.setsockopt(zmq.LINGER, 0)
            one.curve_publickey, one.curve_secretkey = key.public.encode(), key.secret.encode()
            one.curve_serverkey = self.server.public.encode()
            one.connect(f"tcp://127.0.0.1:{self.port}")
            self._silent.append(one)

    def n_free(self) -> int:
        assert self.child.returncode is None
        return N_DESCRIPTORS - psutil.Process(self.child.pid).num_fds()

    def close(self) -> None:
        for dialer in self._dialers:
            dialer.close()
        for one in self._silent:
            one.close(0)
        self.context.destroy(linger=0)


@asynccontextmanager
async def small_node(folder: Path) -> AsyncIterator[SmallNode]:
    (folder / "keys").mkdir()
    port = free_port()
    words = [sys.executable, "-c", SMALL_NODE, str(folder), str(port)]
    with (folder / "stderr").open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, stderr=stderr)
    assert child.stdout is not None
    server = (await asyncio.wait_for(child.stdout.readline(), 30.0)).decode().strip()
    node = SmallNode(folder, child, port, server)
    try:
        yield node
        assert child.returncode is None
        assert "src/" not in (folder / "stderr").read_text(), "libzmq gave up"
    finally:
        node.close()
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def never(link: Link, envelope: Envelope) -> None:
    raise AssertionError("nobody asks this peer")


async def comes_in(node: SmallNode, name: str) -> None:
    """Wait until somebody who dials now is answered."""
    link = node.dial(node.let_in(name))

    async def is_in() -> bool:
        # While a crowd still comes there may be no room for a moment, or the oldest is hung up on: it dials again.
        with suppress(TransportError):
            return await link.ask("desk", Number(), timeout_s=30.0) == 7
        return False

    assert await eventually(is_in, 60.0, f"{name} is in")


@pytest.mark.anyio
async def test_others_come_in_while_strangers_have_more_connections_than_there_are_descriptors(tmp_path: Path) -> None:
    async with small_node(tmp_path) as node:
        key = node.let_in("anna")
        here = node.dial(key)
        assert await here.ask("desk", Number(), timeout_s=30.0) == 7
        with crowd(node.port, 300):
            await eventually(lambda: node.n_free() < 60, 30.0, "the crowd")
            await eventually(lambda: node.n_free() >= N_LEFT, 30.0, "room")
            await comes_in(node, "late")
            for _ in range(20):
                assert await here.ask("desk", Number(), timeout_s=30.0) == 7
            # The last of the crowd may only just have been let in.
            await eventually(lambda: node.n_free() >= N_LEFT, 30.0, "room, as long as the crowd is there")
        told = (tmp_path / "stderr").read_text()
        assert 0 < told.count("the oldest are hung up on") < 12


@pytest.mark.anyio
async def test_the_connections_of_one_key_that_say_nothing_are_bounded(tmp_path: Path) -> None:
    async with small_node(tmp_path) as node:
        here = node.dial(node.let_in("anna"))
        assert await here.ask("desk", Number(), timeout_s=30.0) == 7
        n_free = node.n_free()
        node.say_nothing(node.let_in("mallory"), 300)
        told = "too many connections under the key of mallory"
        await eventually(lambda: told in (tmp_path / "stderr").read_text(), 30.0, "that mallory is refused")
        await comes_in(node, "late")
        # A quarter of those that connections may have, and what is in the middle of a handshake.
        await eventually(lambda: n_free - node.n_free() <= 44, 30.0, "few connections")
        assert (tmp_path / "stderr").read_text().count(told) < 12


@pytest.mark.anyio
async def test_a_revoked_key_is_not_heard_though_no_descriptor_is_free_to_look_at_the_keys(tmp_path: Path) -> None:
    async with small_node(tmp_path) as node:
        anna, mallory = node.dial(node.let_in("anna")), node.dial(node.let_in("mallory"))
        # Both are in before nobody can come in any more.
        for link in (anna, mallory):
            assert await link.ask("desk", Number(), timeout_s=30.0) == 7
        assert await mallory.ask("desk", TakeAll(), timeout_s=30.0) > 0
        assert node.n_free() == 0
        assert await mallory.ask("desk", Number(), timeout_s=30.0) == 7
        node.ring.revoke("mallory")

        async def is_heard() -> bool:
            with suppress(TransportError):
                return await mallory.ask("desk", Number(), timeout_s=5.0) == 7
            return False

        async def is_out() -> bool:
            return not await is_heard()

        await eventually(is_out, 30.0, "the end of mallory")
        assert not await is_heard()
        assert await anna.ask("desk", Number(), timeout_s=30.0) == 7


@pytest.mark.timeout(150)
def test_strangers_never_leave_the_mesh_without_a_descriptor_for_its_own(mesh_up: Callable[..., Any]) -> None:
    port = free_port()
    more = f'\n[front]\ntcp_host = "127.0.0.1"\ntcp_port = {port}\n'
    with mesh_up(prefix=("prlimit", "--nofile=300:300"), more_settings=more) as mesh:
        hub = psutil.Process(mesh("status").value["pid"])
        with crowd(port, 400):
            asyncio.run(eventually(lambda: hub.num_fds() < 280, 30.0, "room"))
            for _ in range(3):
                # By ipc, where libzmq ends the process that finds no descriptor for who comes.
                assert mesh("status").value["pid"] == hub.pid
        assert hub.is_running()


def test_a_mesh_may_hold_as_many_descriptors_as_the_system_allows(mesh_up: Callable[..., Any]) -> None:
    with mesh_up(prefix=("prlimit", "--nofile=1024:4096")) as mesh:
        assert psutil.Process(mesh("status").value["pid"]).rlimit(psutil.RLIMIT_NOFILE) == (4096, 4096)
