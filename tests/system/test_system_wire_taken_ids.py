"""Connections under a routing id that is taken: libzmq keeps what comes over them, and never hands it on."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import eventually

sys.path.append(str(Path(__file__).parent))

from open_port import SERVER, Count, OpenPort, memory_mib, open_port

from hcs_mesh.transport import KeyRing, Principal

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="the bytes of a connection are counted by Linux"),
]

MESSAGE_BYTES = 4 << 20
ATTACK_MIB = 5_000
MEMORY_MIB = 3_000
"""What a peer on this very host, which sends as fast as memory does, can have the node hold before it is shut out.

Mostly it is under 400. But libzmq's own thread goes on reading while a busy computer does not let the node look.
"""

PEER = """
import sys
import time
import zmq
from hcs_mesh.transport import Kind, codec

port, public, secret, server = sys.argv[1:]
context = zmq.Context()

def dial():
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.ROUTING_ID, b"taken")
    socket.setsockopt(zmq.SNDHWM, 4)
    socket.curve_publickey, socket.curve_secretkey = public.encode(), secret.encode()
    socket.curve_serverkey = server.encode()
    socket.connect(f"tcp://127.0.0.1:{port}")
    return socket

first = dial()
first.send(codec.join([codec.seal(Kind.ASK, 1, "nobody", 5.0, {})]))
assert first.poll(60_000)
body = bytes(1 << 20)
"""

FLOOD = (
    PEER
    + f"""
second = dial()
for _ in range({ATTACK_MIB}):
    # Hung up on, it dials again by itself, until it is let in no more.
    if not second.poll(10_000, zmq.POLLOUT):
        break
    second.send(body, zmq.NOBLOCK)
"""
)

A_LITTLE_AT_A_TIME = (
    PEER
    + """
while True:
    second = dial()
    for _ in range(3):
        second.send(body)
    time.sleep(0.4)
    second.close()
"""
)


class Mallory:
    """Somebody whose key is allowed, in a process of her own."""

    def __init__(self, port: OpenPort, program: str) -> None:
        self.port = port
        self.key = port.key("mallory")
        words = [str(port.port), self.key.public, self.key.secret, SERVER.public]
        self.process = subprocess.Popen([sys.executable, "-c", program, *words])

    def is_shut_out(self) -> bool:
        return self.port.ring.by_public(self.key.public) is None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", [FLOOD, A_LITTLE_AT_A_TIME], ids=["a flood", "a little at a time"])
async def test_who_fills_the_memory_under_a_routing_id_that_is_taken_is_shut_out(
    tmp_path: Path, program: str, caplog: pytest.LogCaptureFixture, tell: Callable[[str], None]
) -> None:
    async with open_port(tmp_path, max_message_bytes=MESSAGE_BYTES) as port:
        before_mib = memory_mib()
        mallory = Mallory(port, program)
        slowest_s, most_mib, loop = 0.0, 0.0, asyncio.get_running_loop()
        try:
            while not mallory.is_shut_out():
                began_s = loop.time()
                await port.answers()
                slowest_s = max(slowest_s, loop.time() - began_s)
                # The node has the loop to itself: it counts by its looks.
                most_mib = max(most_mib, memory_mib(collected=False) - before_mib)
                assert most_mib < MEMORY_MIB
                await asyncio.sleep(0.01)
            tell(f"a routing id that is taken: {most_mib:.0f} MiB held at most, others answered in {slowest_s:.2f} s")
            # What is said of handshakes that she tries after it is another line.
            told = [one.getMessage() for one in caplog.records if one.getMessage().startswith("the key of ")]
            assert len(told) == 1
            assert "the key of mallory is shut out for " in told[0]
            await eventually(lambda: len(port.listener.links) == 1, what="the end of her other connection")
        finally:
            mallory.end()
        assert await port.answers() == 0
        KeyRing(tmp_path / "keys").allow(Principal(name="mallory", role="user"), mallory.key.public)
        again = port.dial("mallory", mallory.key)
        assert await eventually(lambda: again.connected, within_s=60.0), "who is allowed again comes in"
        again.close()


@pytest.mark.timeout(120)
async def test_the_first_words_of_honest_peers_are_heard_over_each_of_their_connections(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        assert port.node._authenticator is not None
        key, waiting = port.key("anna"), port.node._authenticator.unheard._waiting
        for _ in range(10):
            anna = port.dial("anna", key)
            await anna.link.ask("counter", Count(), timeout_s=20.0)
            await eventually(lambda: not waiting, within_s=20.0, what="the first words over both channels")
            anna.close()
