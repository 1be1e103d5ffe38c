"""What a node bears on its open port: noise, half-open peers, strangers and floods, while it answers the others."""

import asyncio
import gc
import random
import resource
import struct
import sys
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import psutil
import pytest
import zmq
from waiting import eventually

sys.path.append(str(Path(__file__).parent))

from open_port import GREETING, MEMORY_MIB, SERVER, Count, Noted, OpenPort, Unknown, half_open, memory_mib, open_port

from hcs_mesh.transport import AskTimedOut, KeyPair, Kind, PeerGone, codec, new_pair
from hcs_mesh.transport.zap import MAX_STRANGERS

pytestmark = pytest.mark.anyio

N_KINDS = 12
"""Kinds of offences that noise can hit upon: what is no batch, what is no envelope, and the errors of receivers."""


def good_batches() -> list[bytes]:
    """What a well-behaved peer says: the seeds of the mutations."""
    ask = codec.seal(Kind.ASK, 7, "counter", 5.0, Count())
    told = codec.seal(Kind.TELL, 0, "counter", 0.0, Noted(number=3, text="A01"))
    sent = codec.seal(Kind.SEND, 9, "counter", 5.0, Noted(number=4))
    hello = codec.seal(Kind.HELLO, 0, "", 0.0, {"name": "x", "pid": 1})
    bye = codec.seal(Kind.BYE, 0, "", 0.0)
    failed = codec.seal(Kind.FAIL, 0, "", 0.0, {"type": "failure", "kind": "x", "message": "y"})
    return [codec.join([one]) for one in (ask, told, sent, hello, bye, failed)] + [codec.join([ask, told, sent] * 20)]


def mutated(batch: bytes, dice: random.Random) -> bytes:
    """A batch with some of its bytes flipped, cut, doubled or put elsewhere."""
    found = bytearray(batch)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(found) + 1)
        match dice.randrange(6):
            case 0 if found:
                found[at % len(found)] ^= 1 << dice.randrange(8)
            case 1:
                del found[at : at + dice.randint(1, 16)]
            case 2:
                found[at:at] = dice.randbytes(dice.randint(1, 16))
            case 3:
                found[at:at] = found[: dice.randint(0, 64)]
            case 4:
                # Lengths and counts that promise far more than there is.
                found[at:at] = b"\xdd" + struct.pack(">I", dice.choice([0, 1, 2**16, 2**32 - 1]))
            case _:
                found[at : at + 1] = bytes([dice.choice([0x80, 0x90, 0xC0, 0xC1, 0xC6, 0xCB, 0xDC, 0xDF, 0xFF])])
    return bytes(found)


def lines_for(n_offences: int) -> int:
    """How many lines there are at most for so many offences under one key."""
    return N_KINDS * n_offences.bit_length()


async def shout(port: OpenPort, key: KeyPair, n_messages: int, seed: int) -> None:
    """Send so many random and mutated messages under a key that is allowed."""
    dice = random.Random(seed)
    socket = port.raw(key)
    seeds = good_batches()
    for number in range(n_messages):
        batch = dice.randbytes(dice.randint(0, 200)) if number % 4 == 0 else mutated(dice.choice(seeds), dice)
        while True:
            try:
                socket.send(batch, zmq.NOBLOCK)
                break
            except zmq.Again:
                await asyncio.sleep(0.001)
        if number % 64 == 0:
            # Whatever it answers is read, as a peer would; and the node gets its turn.
            while socket.poll(0):
                socket.recv_multipart(zmq.NOBLOCK)
            await asyncio.sleep(0)
    # The last word is a good one, and it is answered; what lies in one go with a goodbye among the noise is not.
    heard: set[tuple[int, int]] = set()

    def answered() -> bool:
        socket.send(codec.join([codec.seal(Kind.ASK, 123, "counter", 60.0, Count())]))
        while socket.poll(0):
            heard.update((one.kind, one.id) for one in codec.split(socket.recv(zmq.NOBLOCK)))
        return (Kind.REPLY, 123) in heard

    await eventually(answered, 60.0)
    await port.answers()
    socket.close(0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_noise_is_refused_in_few_lines_and_the_others_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    # What earlier tests have left behind says its last words now, and not among those that are looked at.
    gc.collect()
    caplog.clear()
    async with open_port(tmp_path) as port:
        await shout(port, port.key("fuzzer"), 3_000, seed)
        n = port.listener.offences.n
        assert n > 500
        refused = [record for record in caplog.records if "refused on" in record.getMessage()]
        assert len(refused) <= lines_for(n), "a flood of offences is no flood of lines"
        assert all(record.exc_info is None for record in caplog.records)
        assert await port.answers() >= 0
        assert "counter" in port.node.cells
        assert port.node.cells["counter"].last_error == ""


@pytest.mark.slow
async def test_a_long_noise_leaves_memory_and_descriptors_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_port(tmp_path) as port:
        key = port.key("fuzzer")
        await shout(port, key, 5_000, 0)
        before_mib, before_fds = memory_mib(), psutil.Process().num_fds()
        for seed in range(1, 11):
            await shout(port, key, 20_000, seed)
        assert memory_mib() - before_mib < MEMORY_MIB
        assert psutil.Process().num_fds() <= before_fds + 4
        refused = [record for record in caplog.records if "refused on" in record.getMessage()]
        assert len(refused) <= lines_for(port.listener.offences.n)


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.randoms(use_true_random=False), st.integers(0, 6))
def test_a_mutated_batch_is_read_or_refused_and_nothing_else(dice: random.Random, which: int) -> None:
    batch = mutated(good_batches()[which], dice)
    reader = codec.union_decoder((Count, Noted))
    try:
        for envelope in codec.split(batch):
            codec.decode(envelope.body, reader)
    except codec.BadMessage:
        pass


async def test_a_tag_that_nobody_knows_is_told_to_its_sender_and_costs_it_nothing(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        with pytest.raises(Exception, match=r"wire\.unknown_here"):
            await port.honest.link.ask("counter", Unknown(), timeout_s=5.0)
        assert await port.answers() == 0


OVERSIZED = """
import sys
import zmq

port, public, secret, server = sys.argv[1:]
context = zmq.Context()
body = bytes(32 << 20)
for _ in range(8):
    socket = context.socket(zmq.DEALER)
    socket.curve_publickey, socket.curve_secretkey = public.encode(), secret.encode()
    socket.curve_serverkey = server.encode()
    monitor = socket.get_monitor_socket(zmq.Event.DISCONNECTED)
    socket.connect(f"tcp://127.0.0.1:{port}")
    socket.send(body, copy=False)
    assert monitor.poll(60_000), "the node did not hang up"
    socket.disable_monitor()
    socket.close(0)
"""


async def test_a_message_over_the_bound_never_lies_in_memory(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        before_mib = memory_mib()
        key = port.key("big")
        words = ["-c", OVERSIZED, str(port.port), key.public, key.secret, SERVER.public]
        sender = await asyncio.create_subprocess_exec(sys.executable, *words)
        most_mib = before_mib
        while sender.returncode is None:
            assert await port.answers() == 0
            most_mib = max(most_mib, memory_mib(collected=False))
            await asyncio.sleep(0.01)
        assert sender.returncode == 0
        assert most_mib - before_mib < 16
        assert len(port.listener.links) == 1


async def test_wrong_and_revoked_keys_are_not_heard_however_often_they_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_port(tmp_path) as port:
        ask = codec.join([codec.seal(Kind.TELL, 0, "counter", 0.0, Noted(number=1))])
        revoked = port.key("revoked")
        known = port.raw(revoked)
        known.send(ask)
        await eventually(lambda: len(port.listener.links) == 2)
        port.ring.revoke("revoked")
        for _ in range(50):
            known.send(ask)
        strangers = [port.raw(new_pair()) for _ in range(20)]
        for stranger in strangers:
            stranger.send(ask)
        assert port.node._authenticator is not None
        refusals = port.node._authenticator.refusals
        # The revoked one's connection is ended at its first word; it dials again, and is a stranger.
        await eventually(lambda: refusals.n >= 21 and port.listener.offences.n >= 1)
        assert await port.answers() <= 1
        for socket in (known, *strangers):
            socket.close(0)
        lines = [record for record in caplog.records if "refused on" in record.getMessage()]
        assert len(lines) <= MAX_STRANGERS + refusals.n.bit_length() + lines_for(port.listener.offences.n)


@pytest.mark.parametrize(
    "said",
    [b"", b"\xff", GREETING[:11], GREETING, GREETING + b"\x04\xc8\x05HELLO", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["nothing", "a byte", "half a greeting", "a greeting", "half a hello", "another protocol"],
)
async def test_peers_that_never_finish_their_handshake_hold_up_nobody(tmp_path: Path, said: bytes) -> None:
    async with open_port(tmp_path) as port:
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(half_open(port.port, said))
                stack.enter_context(half_open(port.port + 1000, said))
            assert await port.answers() == 0
            assert len(port.listener.links) == 1
            late = port.dial("late")
            try:
                assert await late.link.ask("counter", Count(), timeout_s=30.0) == 0
            finally:
                late.close()


async def test_who_never_finishes_a_handshake_is_hung_up_on(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        before = psutil.Process().num_fds()
        began_s = asyncio.get_running_loop().time()
        peers = [half_open(port.port, GREETING[:5]) for _ in range(10)]
        try:
            for peer in peers:
                peer.setblocking(False)
            loop = asyncio.get_running_loop()
            # libzmq says its own greeting first; after its time it says nothing more and closes.
            for peer in peers:
                while await asyncio.wait_for(loop.sock_recv(peer, 4096), 90.0):
                    pass
            # Its own patience is 30 s.
            assert 8.0 < loop.time() - began_s < 28.0
        finally:
            for peer in peers:
                peer.close()
        await eventually(lambda: psutil.Process().num_fds() <= before + 2)
        assert await port.answers() == 0


async def test_a_peer_that_is_cut_off_in_the_middle_of_a_message_holds_up_nobody(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        gone = port.dial("gone")
        assert await gone.link.ask("counter", Count()) == 0
        pending = gone.link.ask("counter", Unknown(), timeout_s=1.0)
        gone.close()
        with pytest.raises((PeerGone, AskTimedOut)):
            await pending
        assert await port.answers() == 0


def descriptors_for(n: int) -> int:
    """How many connections this process may open at most, with some to spare."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, max(soft, n + 500))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(n, wanted - 400)


async def connect_often(port: OpenPort, n_attempts: int, at_once: int) -> None:
    """Open so many connections, a few at a time, each of which says a little or nothing and goes."""
    dice = random.Random(n_attempts)
    for start in range(0, n_attempts, at_once):
        with ExitStack() as stack:
            for _ in range(min(at_once, n_attempts - start)):
                try:
                    stack.enter_context(half_open(port.port, GREETING[: dice.choice([0, 1, 11, 64])]))
                except OSError:
                    # A port that takes no more for the moment has answered, too.
                    await asyncio.sleep(0.01)
            if start // at_once % 10 == 0:
                assert await port.answers() == 0


@pytest.mark.parametrize(
    ("n_attempts", "at_once"),
    [(500, 50), pytest.param(10_000, 100, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
    ids=["500", "10000"],
)
async def test_a_flood_of_connections_leaves_the_node_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, n_attempts: int, at_once: int
) -> None:
    at_once = min(at_once, descriptors_for(2 * at_once) // 2)
    async with open_port(tmp_path) as port:
        await connect_often(port, at_once, at_once)
        before_mib, before_fds = memory_mib(), psutil.Process().num_fds()
        await connect_often(port, n_attempts, at_once)
        assert await port.answers() == 0
        await eventually(lambda: psutil.Process().num_fds() <= before_fds + 4)
        assert memory_mib() - before_mib < MEMORY_MIB
        assert len(port.listener.links) == 1
        assert len([record for record in caplog.records if record.name.startswith("hcs_mesh")]) < 20
