"""Who has a key and says more than a peer may: it is told, hung up on and logged once; the others are answered."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq
from waiting import eventually

sys.path.append(str(Path(__file__).parent))

from open_port import SERVER, Count, OpenPort, forget_peak, memory_mib, open_port, peak_mib

from hcs_mesh.transport import Kind, codec

pytestmark = pytest.mark.anyio

MESSAGE_BYTES = 64 << 20
"""As a mesh has it where nothing is set."""
SLOWEST_S = 8.0
"""An honest peer's answer takes milliseconds; such a message took tens of seconds when all of it was heard at once."""
MOST_OF_A_KEY_MIB = 200
"""What waits, what libzmq has read and not handed over, and what is being decoded."""

PEER = """
import sys
import zmq
from hcs_mesh.transport import Kind, codec

port, public, secret, server = sys.argv[1:]
context = zmq.Context()
socket = context.socket(zmq.DEALER)
socket.setsockopt(zmq.LINGER, 0)
socket.curve_publickey, socket.curve_secretkey = public.encode(), secret.encode()
socket.curve_serverkey = server.encode()
monitor = socket.get_monitor_socket(zmq.Event.DISCONNECTED)
socket.connect(f"tcp://127.0.0.1:{port}")

def hung_up_on():
    said = []
    # What it is told comes before its end.
    assert monitor.poll(60_000), "the node did not hang up"
    while socket.poll(200):
        said += codec.split(socket.recv())
    (failed,) = [one for one in said if one.kind == Kind.FAIL and one.id == 0]
    print(bytes(failed.body))
"""

ONE_MESSAGE = (
    PEER
    + """
ask = codec.seal(Kind.ASK, 1, "nobody", 5.0, {})
socket.send(codec.join([ask] * 2_500_000), copy=False)
hung_up_on()
"""
)

MANY_FRAMES = (
    PEER
    + """
frame = bytes(1 << 16)
for _ in range(500):
    socket.send(frame, zmq.SNDMORE, copy=False)
for _ in range(20_000):
    socket.send(b"x", zmq.SNDMORE)
socket.send(frame, copy=False)
hung_up_on()
"""
)

FLOOD = (
    PEER
    + """
batch = codec.join([codec.seal(Kind.ASK, 1, "nobody", 5.0, {})] * codec.MAX_BATCH)
while True:
    socket.send(batch)
    while socket.poll(0):
        socket.recv()
"""
)

MANY_CONNECTIONS = (
    PEER
    + """
sockets = [socket]
for _ in range(15):
    one = context.socket(zmq.DEALER)
    one.setsockopt(zmq.LINGER, 0)
    one.setsockopt(zmq.SNDHWM, 3)
    one.curve_publickey, one.curve_secretkey = public.encode(), secret.encode()
    one.curve_serverkey = server.encode()
    one.connect(f"tcp://127.0.0.1:{port}")
    sockets.append(one)
batch = codec.join([codec.seal(Kind.ASK, 1, "nobody", 5.0, bytes(4000))] * 250)
while True:
    for one in sockets:
        try:
            one.send(batch, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            pass
        while one.poll(0):
            one.recv()
"""
)


@asynccontextmanager
async def peer(port: OpenPort, what: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that speaks under a key of its own; killed in the end."""
    key = port.key(name)
    words = ["-c", what, str(port.port), key.public, key.secret, SERVER.public]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def slowest_answer_s(port: OpenPort, n: int) -> float:
    slowest_s = 0.0
    for _ in range(n):
        start_s = time.monotonic()
        await port.answers()
        slowest_s = max(slowest_s, time.monotonic() - start_s)
        await asyncio.sleep(0.01)
    return slowest_s


@pytest.mark.parametrize(
    ("what", "why", "most_mib"),
    # The message itself, once in libzmq and once for the decoder; its envelopes would be 900 MiB more.
    [(ONE_MESSAGE, "a batch of 2500000 envelopes", 200), (MANY_FRAMES, "more frames than 2", 100)],
    ids=["millions of asks in one message", "a message of many frames"],
)
async def test_who_says_too_much_at_once_is_told_and_hung_up_on_and_the_others_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str, why: str, most_mib: int
) -> None:
    async with open_port(tmp_path, max_message_bytes=MESSAGE_BYTES) as port:
        before_mib = memory_mib()
        forget_peak()
        slowest_s = 0.0
        async with peer(port, what, "loud") as loud:
            ended = asyncio.ensure_future(loud.wait())
            while not ended.done():
                slowest_s = max(slowest_s, await slowest_answer_s(port, 1))
            assert loud.stdout is not None
            assert why in (await loud.stdout.read()).decode()
        print(f"slowest answer {slowest_s:.2f} s, {peak_mib() - before_mib:.0f} MiB more")
        assert slowest_s < SLOWEST_S
        assert peak_mib() - before_mib < most_mib
        assert len(port.listener.links) == 1
        lines = [one.getMessage() for one in caplog.records if why in one.getMessage()]
        assert len(lines) == 1
        assert "hung up on" in lines[0]


def hung_up_on(name: str, told: str) -> bool:
    """Whether the log tells that a peer said more than could be heard."""
    return re.search(rf"from {name}: .* came faster than they could be heard; it is hung up on", told) is not None


@pytest.mark.timeout(180)
async def test_floods_of_full_batches_wait_behind_themselves_and_are_hung_up_on_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        open_port(tmp_path, max_message_bytes=MESSAGE_BYTES // 4) as port,
        peer(port, FLOOD, "flood"),
        peer(port, FLOOD, "another-flood"),
    ):
        slowest_s, n_answers = 0.0, 0
        # They dial again, and go on; how often both are there at once is chance.
        while n_answers < 30 or not all(hung_up_on(name, caplog.text) for name in ("flood", "another-flood")):
            slowest_s = max(slowest_s, await slowest_answer_s(port, 1))
            n_answers += 1
        print(f"slowest of {n_answers} answers {slowest_s:.2f} s")
        assert slowest_s < SLOWEST_S


async def test_who_was_hung_up_on_is_heard_again_once_it_dials_anew_and_says_less(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        socket = port.raw(port.key("careless"))
        ask = codec.seal(Kind.ASK, 7, "counter", 60.0, Count())
        socket.send(codec.join([ask] * (codec.MAX_BATCH + 1)))
        await eventually(lambda: socket.poll(0), 60.0)
        assert b"a batch of 2049" in socket.recv()
        assert len(port.listener.links) == 1

        async def answered() -> bool:
            socket.send(codec.join([ask]))
            return bool(socket.poll(0)) and any(one.kind == Kind.REPLY for one in codec.split(socket.recv(zmq.NOBLOCK)))

        await eventually(answered, 60.0)
        assert port.listener.offences.n == 1
        socket.close(0)


@pytest.mark.timeout(180)
async def test_a_key_has_no_more_waiting_over_many_connections_than_over_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 32 MiB may wait of a key; with as much for each of 16 connections it would be 512.
    async with open_port(tmp_path, max_message_bytes=MESSAGE_BYTES // 4) as port:
        before_mib = memory_mib()
        forget_peak()
        slowest_s, n_answers = 0.0, 0
        async with peer(port, MANY_CONNECTIONS, "flood"):
            while n_answers < 50 or not re.search(r"over \d\d? connections of its key", caplog.text):
                slowest_s = max(slowest_s, await slowest_answer_s(port, 1))
                n_answers += 1
        print(f"slowest of {n_answers} answers {slowest_s:.2f} s, {peak_mib() - before_mib:.0f} MiB more")
        assert slowest_s < SLOWEST_S
        assert peak_mib() - before_mib < MOST_OF_A_KEY_MIB, caplog.text[-2000:]
