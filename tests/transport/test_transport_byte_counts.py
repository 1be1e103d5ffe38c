"""What Linux tells of a connection, and what is made of it where a kernel tells less."""

import socket
import sys
from collections.abc import Iterator

import pytest

from hcs_mesh.transport.byte_counts import counted, missing_of, told_by, what_is_not_counted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bytes of a connection are counted by Linux")
BYTES = 216
SENT = 1_000
"""More than a handshake that does not succeed."""


@pytest.fixture
def _ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname(), timeout=10.0) as far,
    ):
        near, _ = listening.accept()
        with near:
            yield near, far


@pytest.fixture
def info(_ends: tuple[socket.socket, socket.socket]) -> bytes:
    """What is told of a connection over which 50 bytes have come, and many have gone."""
    near, far = _ends
    far.sendall(bytes(50))
    near.sendall(bytes(SENT))
    assert len(near.recv(50, socket.MSG_WAITALL)) == 50
    assert len(far.recv(SENT, socket.MSG_WAITALL)) == SENT
    assert counted(near.fileno()) == (50, True)
    return near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES)


@pytest.mark.parametrize(
    ("n_bytes", "told"), [(216, (50, True)), (192, (50, False)), (136, (50, False)), (104, (0, False))]
)
def test_as_much_is_counted_as_a_kernel_tells(info: bytes, n_bytes: int, told: tuple[int, bool]) -> None:
    assert told_by(info[:n_bytes]) == told


def test_what_a_kernel_does_not_tell_is_said() -> None:
    assert missing_of(216) == missing_of(240) == ""
    assert "no key is shut out" in missing_of(192)
    assert "has come over" in missing_of(104)
    assert what_is_not_counted() == missing_of(_n_bytes_here())


def _n_bytes_here() -> int:
    with socket.socket() as one:
        return len(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512))


def test_what_is_no_tcp_connection_counts_for_nothing() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert counted(near.fileno()) == (0, False)
    assert counted(1 << 30) == (0, False)
