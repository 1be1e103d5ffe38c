"""A key is shut out for what is done under it alone, and for a while."""

import asyncio
import struct
import sys
from pathlib import Path

import pytest
import zmq
from waiting import eventually

sys.path.append(str(Path(__file__).parent))

from open_port import GREETING, Count, OpenPort, half_open, open_port

from hcs_mesh.supervisors.node import Node
from hcs_mesh.transport import Kind, codec, shut_outs, unheard
from hcs_mesh.transport.unheard import Unheard

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="the bytes of a connection are counted by Linux"),
]

MESSAGE_BYTES = 16 << 20
PATIENCE_LOOKS = 5
"""Half a second, so that a test need not last longer."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unheard, "PATIENCE_LOOKS", PATIENCE_LOOKS)


def unheard_of(node: Node) -> Unheard:
    assert node._authenticator is not None
    return node._authenticator.unheard


async def some_looks(port: OpenPort, n: int) -> None:
    until = unheard_of(port.node).n_looks + n
    await eventually(lambda: unheard_of(port.node).n_looks >= until, 60.0, "some looks")


async def test_what_strangers_send_shuts_out_nobody_who_is_slow_to_speak(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_port(tmp_path, max_message_bytes=MESSAGE_BYTES) as port:
        anna = port.key("anna")
        slow = [port.raw(anna) for _ in range(2)]
        await eventually(lambda: len(unheard_of(port.node)._waiting.get(anna.public, ())) == 2, 60.0, "handshakes")
        # In the place of a handshake, the beginning of a large frame.
        strangers = [
            half_open(port.port, GREETING + b"\x06" + struct.pack(">Q", MESSAGE_BYTES - 1_000)) for _ in range(4)
        ]
        for stranger in strangers:
            try:
                await asyncio.to_thread(stranger.sendall, bytes(MESSAGE_BYTES - 2_000))
            except OSError:
                break
        told = "bytes came over connections of which nothing can be heard"
        await eventually(lambda: told in caplog.text, 60.0, "the end of the strangers")
        await some_looks(port, 4 * PATIENCE_LOOKS)
        assert port.ring.by_public(anna.public) is not None
        for one in slow:
            one.send(codec.join([codec.seal(Kind.ASK, 1, "counter", 5.0, Count())]))
            await eventually(lambda one=one: one.poll(0, zmq.POLLIN), 60.0, "an answer")
            one.close(0)
        for stranger in strangers:
            stranger.close()


async def test_who_is_shut_out_comes_in_again_by_itself_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shut_outs, "FIRST_LOOKS", 10)
    async with open_port(tmp_path) as port:
        anna = port.key("anna")
        silent = [port.raw(anna) for _ in range(2)]
        await eventually(lambda: len(unheard_of(port.node)._waiting.get(anna.public, ())) == 2, 60.0, "handshakes")
        unheard_of(port.node).suspect()
        await eventually(lambda: port.ring.by_public(anna.public) is None, 60.0, "that anna is shut out")
        for one in silent:
            one.close(0)
        await eventually(lambda: port.ring.by_public(anna.public) is not None, 60.0, "that anna is let in again")
        assert "the key of anna is shut out for 1 s" in caplog.text
        again = port.dial("anna", anna)
        assert await again.link.ask("counter", Count(), timeout_s=60.0) == 0
        again.close()
