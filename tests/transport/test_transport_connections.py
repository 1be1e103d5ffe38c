"""Of a descriptor that may be another's by now nothing is changed before it is known whose it is."""

import os
import socket
from collections.abc import Iterator

import pytest
import zmq

from hcs_mesh.transport.connections import connection_at, hang_up_on


@pytest.fixture
def listening() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as one:
        one.bind("tcp://127.0.0.1:*")
        yield one


@pytest.fixture(params=["tcp", "a pair without addresses"])
def strange(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of somebody else's connection, who waits when he reads."""
    if request.param == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as server:
            far = socket.create_connection(server.getsockname())
            far.settimeout(None)
            near, _ = server.accept()
    else:
        near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_a_number_that_is_somebody_elses_by_now_is_left_as_it_was(
    listening: zmq.Socket[bytes], strange: tuple[socket.socket, socket.socket]
) -> None:
    near, far = strange
    hang_up_on(near.fileno(), listening)
    assert connection_at(near.fileno(), listening) is None
    assert os.get_blocking(near.fileno())
    near.sendall(b"still")
    assert far.recv(5) == b"still"
