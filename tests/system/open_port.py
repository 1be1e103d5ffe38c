"""A node on an open port, and one well-behaved peer of it."""

import gc
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import psutil
import zmq
from free_ports import free_port

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    Dialer,
    Envelope,
    Event,
    KeyPair,
    KeyRing,
    Link,
    Listener,
    Principal,
    Request,
    Role,
    ServerKey,
    new_pair,
    tcp_endpoint,
)

SERVER = new_pair()
MESSAGE_BYTES = 100_000
MEMORY_MIB = 64
"""What a node may hold more after a flood than before: its allocator keeps some of what it once had."""


class Count(Request[int], frozen=True, kw_only=True, tag="wire.count"):
    audience: ClassVar[Role | None] = "viewer"


class Noted(Event, frozen=True, kw_only=True, tag="wire.noted"):
    audience: ClassVar[Role | None] = "viewer"

    number: int
    text: str = ""


class Unknown(Request[int], frozen=True, kw_only=True, tag="wire.unknown_here"):
    audience: ClassVar[Role | None] = "viewer"


class Counter(Actor[Count | Noted]):
    """Counts what comes through."""

    def __init__(self) -> None:
        self.n = 0

    async def receive(self, message: Count | Noted) -> int | None:
        match message:
            case Count():
                return self.n
            case Noted():
                self.n += 1
        return None


class OpenPort:
    """A node that listens on TCP, and one well-behaved peer of it."""

    def __init__(self, node: Node, listener: Listener, ring: KeyRing) -> None:
        self.node = node
        self.listener = listener
        self.ring = ring
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.port = int(listener.endpoint.control.rpartition(":")[2])
        self.honest = self.dial("honest")

    def key(self, name: str, role: Role = "user") -> KeyPair:
        pair = new_pair()
        self.ring.allow(Principal(name=name, role=role), pair.public)
        return pair

    def dial(self, name: str, key: KeyPair | None = None) -> Dialer:
        def hear(link: Link, envelope: Envelope) -> None:
            raise AssertionError("nobody asks this peer")

        key = key or self.key(name)
        server = ServerKey(public=SERVER.public)
        return Dialer(self.context, self.listener.endpoint, hear, name=name, key=key, server=server)

    def raw(self, key: KeyPair) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
        socket.curve_serverkey = SERVER.public.encode()
        socket.connect(self.listener.endpoint.control)
        return socket

    async def answers(self) -> int:
        """What the counter says to the honest peer, however many others shout."""
        return await self.honest.link.ask("counter", Count(), timeout_s=30.0)


@asynccontextmanager
async def open_port(folder: Path, *, max_message_bytes: int = MESSAGE_BYTES) -> AsyncIterator[OpenPort]:
    keys = folder / "keys"
    keys.mkdir()
    ring = KeyRing(keys)
    node = Node("hub")
    endpoint = tcp_endpoint("127.0.0.1", free_port())
    listener = node.listen_front(endpoint, SERVER, ring, max_message_bytes=max_message_bytes)
    life = await node.start_actor("counter", Counter)
    port = OpenPort(node, listener, ring)
    try:
        assert await port.answers() == 0
        yield port
    finally:
        port.honest.close()
        port.context.destroy(linger=0)
        await life.stop()
        await life.wait()
        await node.close()


def memory_mib(*, collected: bool = True) -> float:
    """The memory of this process; to collect its garbage first may take seconds, behind thousands of other tests."""
    if collected:
        gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def forget_peak() -> None:
    """Have ``peak_mib`` begin anew (see clear_refs in proc(5))."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mib() -> float:
    """The most memory that this process has held since."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def half_open(port: int, said: bytes) -> sockets.socket:
    """A connection that says the beginning of a handshake, and then nothing."""
    peer = sockets.create_connection(("127.0.0.1", port), timeout=5.0)
    peer.sendall(said)
    return peer


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + b"\0" + bytes(31)
