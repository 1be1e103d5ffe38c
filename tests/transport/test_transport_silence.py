"""A peer that is reset while more of it waits than is read takes nobody along."""

import subprocess
import sys
from pathlib import Path

import pytest

RESET = """
import time
import zmq
from hcs_mesh.transport import new_pair
from hcs_mesh.transport.silence import notice_silence

context = zmq.Context()
server, peer = new_pair(), new_pair()
router = context.socket(zmq.ROUTER)
router.curve_server = True
router.curve_publickey, router.curve_secretkey = server.public.encode(), server.secret.encode()
router.setsockopt(zmq.RCVHWM, 10_000)
notice_silence(router, 5.0)
port = router.bind_to_random_port("tcp://127.0.0.1")

elsewhere = zmq.Context()
dealer = elsewhere.socket(zmq.DEALER)
dealer.curve_publickey, dealer.curve_secretkey = peer.public.encode(), peer.secret.encode()
dealer.curve_serverkey = server.public.encode()
dealer.setsockopt(zmq.ROUTING_ID, b"anna")
dealer.setsockopt(zmq.SNDHWM, 0)
dealer.setsockopt(zmq.RCVHWM, 1)
dealer.connect(f"tcp://127.0.0.1:{port}")
for _ in range(60_000):
    dealer.send(bytes(50))
# Nothing here tells when libzmq has taken what it takes; a heartbeat is due every 1.25 s.
time.sleep(0.7)
router.getsockopt(zmq.EVENTS)
# What a peer has not read when it goes resets the connection.
for _ in range(3_000):
    router.send_multipart([b"anna", bytes(10_000)])
time.sleep(0.3)
elsewhere.destroy(0)
time.sleep(2.5)
context.destroy(0)
"""


def test_a_peer_that_is_reset_behind_a_backlog_does_not_abort_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", RESET], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


CLOSING = """
import asyncio, subprocess, sys, time
from pathlib import Path
import msgspec
from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import Event, KeyRing, Listener, Principal, ipc_endpoint, new_pair

folder, way, peer_program = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
close = Listener.close

class Much(Event, frozen=True, kw_only=True, tag="much"):
    body: bytes

def slowly(listener):
    close(listener)
    # As on a machine that gives this process no time.
    time.sleep(1.0)

async def main():
    ring, server, anna = KeyRing(folder / "keys"), new_pair(), new_pair()
    ring.allow(Principal(name="anna", role="user"), anna.public)
    node = Node("hub")
    endpoint = ipc_endpoint(folder, "front")
    front = node.listen_front(endpoint, server, ring, silence_s=0.5)
    keys = [anna.public, anna.secret, server.public]
    peer = subprocess.Popen([sys.executable, "-c", peer_program, endpoint.control, *keys])
    while not front.links:
        await asyncio.sleep(0.01)
    [link] = front.links.values()
    if way == "with words unsaid":
        for _ in range(3_000):
            link.tell("nobody", Much(body=bytes(10_000)))
            await asyncio.sleep(0)
    else:
        Listener.close = slowly
    loop = asyncio.get_running_loop()
    dying = loop.run_in_executor(None, lambda: (time.sleep(0.05), peer.kill(), peer.wait()))
    await node.close()
    await dying

asyncio.run(main())
"""
SPEAKING = """
import sys, time
import zmq
from hcs_mesh.transport import codec
from hcs_mesh.transport.codec import Hello, Kind

dealer = zmq.Context().socket(zmq.DEALER)
dealer.curve_publickey, dealer.curve_secretkey, dealer.curve_serverkey = (one.encode() for one in sys.argv[2:5])
dealer.setsockopt(zmq.RCVHWM, 1)
dealer.connect(sys.argv[1])
hello = codec.join([codec.seal(Kind.HELLO, 0, "", 0.0, Hello(name="anna", pid=1))])
while True:
    dealer.send(hello)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("way", ["with words unsaid", "slowly"])
def test_a_peer_that_speaks_and_dies_while_a_node_closes_does_not_abort_it(tmp_path: Path, way: str) -> None:
    program = [sys.executable, "-c", CLOSING, str(tmp_path), way, SPEAKING]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
